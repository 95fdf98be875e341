"""torch, eagerly: the usual loop over batches."""

from __future__ import annotations

import copy
import itertools

import torch

from ..training_case import TrainingCase

NAME, PACKAGES = "torch, eager", ("torch",)


def network(case: TrainingCase) -> torch.nn.Module:
    layers = []
    for (n, m), given in zip(itertools.pairwise(case.sizes), case.start(), strict=True):
        layer = torch.nn.Linear(n, m)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(given["w"].T.copy()))
            layer.bias.copy_(torch.from_numpy(given["b"]))
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def build(case: TrainingCase, compiled: bool = False):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    (x, y), (x_validation, y_validation) = (
        tuple(torch.from_numpy(part).to(device) for part in (x, y.astype("int64"))) for x, y in case.rows()
    )
    cross_entropy, model = torch.nn.CrossEntropyLoss(), network(case).to(device)
    start, forward = copy.deepcopy(model.state_dict()), torch.compile(model) if compiled else model

    def call():
        torch.manual_seed(2)
        model.load_state_dict(start)
        optimizer = torch.optim.Adam(model.parameters(), lr=case.rate)
        best, best_value, history = None, float("inf"), []
        for _ in range(case.epochs):
            measured = []
            for rows in torch.randperm(len(x), device=device).split(case.batch):
                optimizer.zero_grad()
                logits = forward(x[rows])
                loss = cross_entropy(logits, y[rows])
                loss.backward()
                optimizer.step()
                measured.append((loss.detach(), (logits.detach().argmax(-1) == y[rows]).float().mean()))
            with torch.no_grad():
                logits = forward(x_validation)
                value = float(cross_entropy(logits, y_validation))
                history.append(float((logits.argmax(-1) == y_validation).float().mean()))
            if value < best_value:
                best, best_value = copy.deepcopy(model.state_dict()), value
        assert best is not None
        return history

    return call
