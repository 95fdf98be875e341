"""The arguments with which an optimizer of torch equals one of gdjax; each pair is measured if torch is installed.

| torch                  | ours                                                                   |
|------------------------|------------------------------------------------------------------------|
| SGD(momentum, nesterov)| `sgd`, same arguments                                                  |
| Adagrad(eps=0)         | `adagrad(eps=0)` and its initial_accumulator_value; eps is outside the root there, inside here |
| RMSprop(alpha)         | `rmsprop(decay=alpha, eps_in_sqrt=False)`; the default alpha is 0.99   |
| Adadelta               | `adadelta(1.0)`, same arguments                                        |
| Adam, AdamW            | `adam`, `adamw`, same arguments; AdamW's default decay is 1e-2         |
| Adam(amsgrad=True)     | none: the maximum is taken of the raw moment and corrected afterwards  |
| Adamax                 | `adamax`, same arguments                                               |
| RAdam(eps=0)           | `radam(eps=0)`; eps enters before the correction there                 |
| Rprop                  | `rprop(delayed=False)`, the rate being the first step size             |
| ASGD                   | `asgd`, same arguments; its rate is held in single precision           |

NAdam has no counterpart: torch schedules b1 (momentum_decay), even at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from gdjax import optimizers
from gdjax.calls import Optimizer
from gdjax.certify.suite import Recording


class Twin(NamedTuple):
    ours: Callable[[], Optimizer]
    torch: str  # the class in torch.optim
    arguments: dict[str, Any]
    reads_params: bool = False  # its update depends on the parameters
    limit: float = 1e-11  # relative: its updates are differences of parameters, which loses digits


def _twins() -> dict[str, list[Twin]]:
    o = optimizers
    return {
        "sgd": [
            Twin(lambda: o.sgd(0.01, 0.9), "SGD", {"lr": 0.01, "momentum": 0.9}),
            Twin(lambda: o.sgd(0.01, 0.9, nesterov=True), "SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
        ],
        "adagrad": [
            Twin(
                lambda: o.adagrad(0.01, 0.1, eps=0.0),
                "Adagrad",
                {"lr": 0.01, "initial_accumulator_value": 0.1, "eps": 0.0},
            )
        ],
        "rmsprop": [
            Twin(lambda: o.rmsprop(0.01, 0.99, eps_in_sqrt=False), "RMSprop", {"lr": 0.01}),
            Twin(
                lambda: o.rmsprop(0.01, 0.99, eps_in_sqrt=False, momentum=0.9),
                "RMSprop",
                {"lr": 0.01, "momentum": 0.9},
            ),
        ],
        "adadelta": [Twin(lambda: o.adadelta(1.0), "Adadelta", {"lr": 1.0})],
        "adam": [Twin(lambda: o.adam(0.01), "Adam", {"lr": 0.01})],
        "adamax": [Twin(lambda: o.adamax(0.01), "Adamax", {"lr": 0.01})],
        "radam": [Twin(lambda: o.radam(0.01, eps=0.0), "RAdam", {"lr": 0.01, "eps": 0.0})],
        "rprop": [Twin(lambda: o.rprop(0.01, delayed=False), "Rprop", {"lr": 0.01})],
        "asgd": [Twin(lambda: o.asgd(0.01), "ASGD", {"lr": 0.01}, reads_params=True, limit=1e-6)],
        "adamw": [
            Twin(lambda: o.adamw(0.01, weight_decay=0.1), "AdamW", {"lr": 0.01, "weight_decay": 0.1}, reads_params=True)
        ],
    }


def updates_of_twin(twin: Twin, recording: Recording) -> Any:
    """The updates of the torch optimizer on a recording, in float64, (cases, steps, ...) NumPy.

    torch changes parameters in place, so an update is a difference. If the update does not depend on the parameters, they
    are set to zero first, so that the difference is exact.
    """
    import torch  # pyright: ignore[reportMissingImports]

    leaves, structure = jax.tree.flatten(recording.params)
    grads = jax.tree.leaves(recording.grads)
    out = [np.zeros(x.shape) for x in leaves]
    for case in range(len(recording.values)):
        start = [p[case, 0] if twin.reads_params else np.zeros_like(p[case, 0]) for p in leaves]
        params = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in start]
        optimizer = getattr(torch.optim, twin.torch)(params, foreach=False, **twin.arguments)
        for step in range(recording.values.shape[1]):
            with torch.no_grad():
                for x, p, g in zip(params, leaves, grads, strict=True):
                    x.copy_(torch.tensor(p[case, step])) if twin.reads_params else x.zero_()
                    x.grad = torch.tensor(g[case, step])
            before = [x.detach().numpy().copy() for x in params]
            optimizer.step()
            for leaf, x, old in zip(out, params, before, strict=True):
                leaf[case, step] = x.detach().numpy() - old
    return structure.unflatten(out)


TWINS = _twins()
