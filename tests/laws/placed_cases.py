"""What is trained on one device and on several: a small network, the optimizers, and how rows and parameters may lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from wrapped import TRANSFORMED, WRAPPED

import gdjax as gd
from gdjax import models
from gdjax.certify.examples import example_calls

ROWS, BATCH, STEPS = 45, 13, 50  # 8 divides neither 13 nor the 6 rows of an epoch's last batch


def rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """No two rows are alike, so that it shows which of them a device has read."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(ROWS, 6))
    return x, np.tanh(x[:, :3] + x[:, 3:]) + 0.1 * draw.normal(size=(ROWS, 3))


def start(seed: int = 1) -> dict[str, np.ndarray]:
    """Two layers; 8 devices divide every leaf but "b"."""
    draw = np.random.default_rng(seed)
    return {"w1": draw.normal(size=(6, 16)) / 3, "w2": draw.normal(size=(16, 3)) / 3, "b": draw.normal(size=3)}


def network(params: Any, batch: Any, mask: Any = None) -> Any:
    """The mean squared error over the rows that count, and how many those are."""
    x, y = batch
    losses = jnp.sum((jnp.tanh(x @ params["w1"]) @ params["w2"] + params["b"] - y) ** 2, 1)
    mask = jnp.ones_like(losses) if mask is None else mask
    weight = jnp.sum(mask.astype(losses.dtype))
    return jnp.sum(losses * mask) / jnp.maximum(weight, 1), {"weight": weight}


class Case(NamedTuple):
    """A run of 50 steps: an optimizer, and what else may be another than usual."""

    optimizer: Callable[[], Any]
    loss: Any = network
    microbatches: int = 1
    dtype: Any = np.float64
    start: Callable[[], Any] = start
    model_state: Any = ()
    steps: int = STEPS

    def epoch(self, placement: Any = None, batch_size: int = BATCH) -> Any:
        step = gd.make_step(self.loss, microbatches=self.microbatches)
        return gd.make_epoch(step, batch_size, order="sequence", steps=self.steps, placement=placement)

    def state(self) -> gd.TrainState:
        params = jax.tree.map(lambda x: jnp.asarray(x, self.dtype), self.start())
        return gd.make_state(params, self.optimizer(), 0, self.model_state)


def on(axes: dict[str, int], devices: Sequence[Any], **options: Any) -> gd.Placement:
    """A placement on a mesh of these axes."""
    return gd.placement(Mesh(np.array(devices).reshape(*axes.values()), tuple(axes)), **options)


COLUMNS_THEN_ROWS = {"w1": PartitionSpec(None, "model"), "w2": PartitionSpec("model", None)}
LAYOUTS: dict[str, Callable[..., gd.Placement]] = {
    "data": lambda devices: on({"data": len(devices)}, devices),
    "fsdp": lambda devices: on({"data": len(devices)}, devices, params="fsdp"),
    "tensor": lambda devices: on(
        {"data": 2, "model": len(devices) // 2}, devices, params=COLUMNS_THEN_ROWS, rows="sharded"
    ),
}

TEN: dict[str, Case] = {  # one for every kind of state and of norm; those of KINDS in the suite
    "sgd": Case(lambda: gd.sgd(0.05, 0.9)),
    "adam": Case(lambda: gd.adam(0.01)),
    "lion": Case(lambda: gd.lion(0.003)),
    "adafactor": Case(lambda: gd.adafactor(0.01, min_dim_size_to_factor=2)),
    "lars": Case(lambda: gd.lars(0.1)),
    "muon": Case(lambda: gd.muon(0.01)),
    "shampoo": Case(lambda: gd.shampoo(0.01)),
    "prodigy": Case(lambda: gd.prodigy()),
    "schedule_free": Case(lambda: gd.schedule_free(gd.rmsprop(0.01), 0.01)),
    "lbfgs": Case(lambda: gd.lbfgs()),
}

KINDS = (
    "adam",
    "adafactor",
    "lars",
    "muon",
    "lbfgs",
)  # moments, factors, norms of leaves, matrices, a history with a search


def bias(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim == 1, params)


NESTED: dict[str, Case] = {  # each wrapper once, several in a program
    "searched": Case(lambda: gd.average(gd.lookahead(gd.line_search(gd.sgd(1.0), gd.backtracking()), 5), 0.9)),
    "uphill": Case(
        lambda: gd.freeze(
            gd.tail_average(
                gd.sam(
                    gd.chain(gd.clip_by_global_norm(0.7), gd.stable(gd.decay_weights(gd.rmsprop(0.01), 0.1), 0.5)), 0.05
                ),
                20,
                2,
            ),
            frozen="b",
        )
    ),
    "guarded": Case(lambda: gd.scale_loss(gd.gsam(gd.reduce_on_plateau(gd.cautious(gd.adam(0.01)), 0.5)))),
    "parts": Case(
        lambda: gd.skip_non_finite(
            gd.partition(
                {
                    "w1": gd.looksam(gd.hyperball(gd.accumulate(gd.adam(0.01), 3), 0.05), period=2),
                    "w2": gd.project(
                        gd.mechanize(gd.sgd(1.0), weight_decay=0.0, s_init=0.01), gd.projections.l2_ball(1.0)
                    ),
                    "b": gd.schedule_free(gd.kahan(gd.rmsprop(0.01)), 0.01),
                }
            )
        )
    ),
    "rounded": Case(
        lambda: gd.partition(
            {"w1": gd.stochastic_rounding(gd.adam(0.01), 3), "w2|b": gd.master_weights(gd.stacked(gd.adam(0.01)))}
        ),
        dtype=jnp.bfloat16,
    ),
}

BEGIN = models.dense(6, 16, bias=False), models.batch_norm(16)  # which a bias before it would not change
LAYERS = models.serial(*BEGIN, models.dropout(0.3), models.dense(16, 3))
OTHERS: dict[str, Case] = {
    "microbatches": Case(lambda: gd.sgd(0.05, 0.9), microbatches=3),  # of 5, 5 and 3 rows
    "layers": Case(  # statistics of a batch, noise of each row, and a norm of all leaves
        lambda: gd.chain(gd.clip_by_global_norm(0.3), gd.sgd(0.05)),
        gd.per_example(gd.supervised(LAYERS, gd.squared_error)),
        start=lambda: LAYERS.init(jax.random.key(0)),
        model_state=LAYERS.init_state(),
    ),
}


def residuals(params: Any) -> Any:
    x, y = (part[:BATCH] for part in rows())
    return jnp.tanh(x @ params["w1"]) @ params["w2"] + params["b"] - y


FEW = 3  # steps of what solves a system in each, with an exchange at every iteration of the solver
SOLVERS = {
    "newton": Case(lambda: gd.newton(), steps=FEW),
    "gauss_newton": Case(lambda: gd.gauss_newton(residuals), steps=FEW),
    "levenberg_marquardt": Case(lambda: gd.levenberg_marquardt(residuals), steps=FEW),
}


def case_of(name: str) -> Case:
    """A case above; the example of any optimizer, wrapper or transform by its name."""
    named = {**TEN, **NESTED, **OTHERS, **SOLVERS, **{each: Case(call) for each, call in ALONE.items()}}
    return named[name] if name in named else Case(lambda: example_calls(name)[0])


ALONE = {**WRAPPED, **TRANSFORMED}
EVERY = [*dict.fromkeys([*gd.OPTIMIZERS, *ALONE])]

# Name -> why it is held only to ten times what a change of one unit in the last place does.
SENSITIVE: dict[str, str] = {
    "rounded": "its parameters have 16 bits",
    "newton": "the systems of its steps are not far from singular",
    "sophia": "it divides by a diagonal of the Hessian that may be near 0",
    "soap": "where the gradients seen span less than the space, rounding chooses the rest of its eigenvectors",
}
# Name -> why it is not held at all.
EXCEPTIONS: dict[str, str] = {}
# Name -> why make_step does not run it.
NOT_RUN: dict[str, str] = {
    "dpsgd": "it takes the gradients of single examples",
}
