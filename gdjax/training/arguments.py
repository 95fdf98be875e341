"""Checks of the arguments of `fit`: each usual mistake raises one sentence that says what to write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from gdjax import tree
from gdjax.calls import Model, Optimizer
from gdjax.forms import NamedErrors
from gdjax.params import check_parameters
from gdjax.stopping import check_stop
from gdjax.types import RunState, TrainState

ENTRIES = (
    "make_state",
    "make_step",
    "make_epoch",
    "make_evaluate",
    "make_run",
    "start_run",
    "segments",
    "fit",
    "num_rows",
)


def error_context(who: str) -> NamedErrors:
    """A context in which errors of inner functions name `who`, the function that the user has called."""
    return NamedErrors(who, ENTRIES)


def check_arguments(params: Any, optimizer: Any, data: Any, validation: Any, stop: Any, key: Any) -> None:
    """Raise TypeError for the first argument of the wrong kind."""
    check_params("fit", params)
    given = params, optimizer, data, validation, stop, key
    if any(isinstance(x, Tracer) for x in jax.tree.leaves(given, is_leaf=lambda x: isinstance(x, Iterator))):
        raise TypeError(
            "fit: a run that the host drives cannot be traced, got a tracer (is fit inside vmap, jit or grad?); write "
            "jax.vmap(lambda params: run(gd.start_run(run, gd.make_state(params, optimizer), stop, data, None), data, None, "
            "until)) with run = gd.make_run(gd.make_epoch(gd.make_step(loss)))"
        )
    if isinstance(validation, (bool, int, float)):
        raise TypeError(
            f"fit: validation must be data to evaluate on, got {validation!r}; to hold out a share of the rows write train, "
            "validation = gd.data.split((x, y), (0.8, 0.2), jax.random.key(0))"
        )
    check_stop("fit", stop)


def check_params(who: str, params: Any) -> None:
    """Raise TypeError for a model, a state or a result in place of the parameters."""
    kind = type(params).__name__
    go_on = "" if who == "make_evaluate" else ", or, to go on with a run, fit(..., resume=result)"
    if isinstance(params, Model) or (hasattr(params, "init") and hasattr(params, "apply")):
        got, write = f"the model {short(params)}", "model.init(jax.random.key(0)) for them"
    elif isinstance(params, (TrainState, RunState)):
        where = "state.params" if isinstance(params, TrainState) else "run_state.best[0]"
        got, write = f"a {kind}", f"{where}, result.params{go_on}"
    elif hasattr(params, "params") and hasattr(params, "stop"):  # a Result, a Minimum
        got, write = f"a {kind}", f"result.params, with result.model_state for a model with a state{go_on}"
    elif isinstance(params, Optimizer) or (callable(params) and not jax.tree.leaves(tree.part(params))):
        got, write = short(params), "fit(loss, params, optimizer, data), in this order"
    else:
        check_parameters(who, params)
        return
    raise TypeError(f"{who}: params must be a pytree of arrays, got {got}; write {write}")


def check_validation(data: Any, validation: Any) -> None:
    """Raise ValueError if the validation data have another structure than the data, such as x and y passed separately."""
    if validation is None:
        return
    if jax.tree.structure(validation) == jax.tree.structure(data):
        ranks = [[np.ndim(x) for x in jax.tree.leaves(rows)] for rows in (data, validation)]
        if ranks[0] == ranks[1]:
            return
    shapes = [jax.tree.map(np.shape, rows) for rows in (data, validation)]
    raise ValueError(
        f"fit: validation must be built as the data are, got {shapes[1]} beside {shapes[0]}; of inputs x and labels y write "
        "fit(loss, params, optimizer, (x, y), (x_validation, y_validation))"
    )


def short(x: Any) -> str:
    text = repr(x).partition("\n")[0]
    return text if len(text) <= 80 else f"a {type(x).__name__}"
