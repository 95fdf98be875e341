"""Error messages for calls with wrong arguments: the factory, the argument, and the argument that was probably meant."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

from gdjax.calls.spec import render
from gdjax.text import near

# Names of arguments in torch, Keras, scikit-learn and papers -> names here, of which the first that exists is suggested.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "max_learning_rate", "peak_value", "init_value", "step"),
    "learning_rate": ("max_learning_rate", "step"),
    "step_size": ("learning_rate", "every", "transition_steps", "step"),
    "eta0": ("learning_rate", "init_value"),
    "betas": ("b1 b2 b3", "b1 b2", "beta", "momentum"),
    "beta_1": ("b1", "beta", "momentum"),
    "beta_2": ("b2", "decay", "rho"),
    "beta1": ("b1", "beta", "momentum"),
    "beta2": ("b2", "decay", "rho"),
    "beta": ("b1", "momentum"),
    "epsilon": ("eps",),
    "alpha": ("decay", "rho"),
    "rho": ("decay", "b2"),
    "decay": ("rho", "weight_decay", "decay_rate"),
    "momentum": ("b1", "beta"),
    "momentum_decay": ("momentum", "b1"),
    "wd": ("weight_decay", "weight_decay_rate"),
    "l2": ("weight_decay", "weight_decay_rate"),
    "weight_decay": ("weight_decay_rate",),
    "lambda": ("weight_decay",),
    "initial_accumulator": ("initial_accumulator_value",),
    "history_size": ("memory_size",),
    "line_search_fn": ("linesearch",),
    "etas": ("eta_minus eta_plus",),
    "step_sizes": ("min_step_size max_step_size",),
    "optimizer": ("inner", "base_optimizer"),
    "base_optimizer": ("inner",),
    "opt": ("inner", "base_optimizer"),
    "inner": ("base_optimizer",),
    "max_grad_norm": ("max_norm",),
    "clip_value": ("max_delta",),
    "delta": ("max_delta",),
    "steps": ("every", "transition_steps", "decay_steps"),
    "every_k_schedule": ("every",),
    "k": ("every", "sync_period"),
    "seed": ("key", "random_seed"),
    "key": ("seed", "random_seed"),
    "rng": ("key", "seed", "random_seed"),
    "patience": ("evaluations",),
    "threshold": ("min_delta", "rtol"),
    "max_epochs": ("epochs",),
    "max_steps": ("steps",),
    "max_iter": ("steps", "max_linesearch_steps", "max_backtracking_steps"),
    "tol": ("eps", "delta", "xtol"),
    "min_lr": ("min_scale", "end_value"),
    "T_max": ("decay_steps", "transition_steps", "total_steps"),
    "T_0": ("cycle_steps",),
    "T_mult": ("growth",),
    "eta_min": ("end_value", "alpha"),
    "gamma": ("factor", "decay_rate", "decay"),
    "milestones": ("boundaries",),
    "max_lr": ("peak_value",),
    "base_lr": ("init_value",),
    "initial_learning_rate": ("init_value", "peak_value"),
    "end_learning_rate": ("end_value",),
    "total_iters": ("transition_steps", "warmup_steps"),
    "decay_steps": ("transition_steps", "total_steps"),
    "num_warmup_steps": ("warmup_steps",),
    "in_features": ("in_size", "sizes"),
    "out_features": ("out_size", "num_classes", "sizes"),
    "features": ("out_size", "sizes"),
    "units": ("out_size", "sizes"),
    "hidden_sizes": ("sizes",),
    "hidden_layer_sizes": ("sizes",),
    "layers": ("sizes", "models"),
    "use_bias": ("bias",),
    "kernel_init": ("weights",),
    "kernel_initializer": ("weights",),
    "p": ("rate", "dropout"),
    "std": ("stddev",),
    "population_size": ("population",),
}
# Arguments of other libraries that are something else here.
ELSEWHERE: dict[str, str] = {
    "amsgrad": "that is amsgrad(...)",
    "momentum": "that is momentum(...)",
    "weight_decay": "that is decay_weights(...)",
    "clipnorm": "that is clip_by_norm(...)",
    "clipvalue": "that is clip(...)",
    "global_clipnorm": "that is clip_by_global_norm(...)",
    "max_grad_norm": "that is clip_by_global_norm(...)",
    "use_ema": "that is average(...)",
    "ema_momentum": "that is average(...)",
    "gradient_accumulation_steps": "that is accumulate(...)",
    "nesterov": "that is sgd(..., nesterov=True) or nadam(...)",
    "maximize": "descend on the negative",
    "params": "the parameters come later, in init(params)",
    "dampening": "a buffer that is an average is b1 of adam(...)",
    **dict.fromkeys(
        ("foreach", "fused", "capturable", "differentiable", "jit_compile"), "every step is compiled whole"
    ),
    "verbose": "nothing is printed",
    "last_epoch": "a schedule is a function of the step",
}


def unknown(who: str, name: str, known: Iterable[str]) -> str:
    """The message about an argument that `who` does not take."""
    known = list(known)
    for meant in SYNONYMS.get(name, ()):
        if set(meant.split()) <= set(known):
            return f"{who}: no argument {name!r}; did you mean {', '.join(meant.split())}?"
    if name in ELSEWHERE:
        return f"{who}: no argument {name!r}; {ELSEWHERE[name]}"
    close = near(name, known)
    if close:
        return f"{who}: no argument {name!r}; did you mean {close}?"
    return f"{who}: no argument {name!r}; " + (f"it takes {', '.join(known)}" if known else "it takes none")


def misbound(who: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The message about a call that does not fit the signature."""
    parameters = signature.parameters.values()
    placed = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    spread = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in () if anything else kwargs:
        if name not in named:
            return unknown(who, name, named)
    if len(args) > len(placed) and not spread:
        only = [name for name in named if name not in placed]
        by_name = f"; by name only: {', '.join(only)}" if only else ""
        return f"{who}: at most {len(placed)} arguments by position ({', '.join(placed)}), got {len(args)}{by_name}"
    for name in placed[: len(args)]:
        if name in kwargs:
            return f"{who}: {name} is given twice, by position and by name"
    needed = {p.name for p in parameters if p.default is p.empty and p.name in {*placed, *named}}
    missing = [name for name in (*placed, *named) if name in needed - {*placed[: len(args)], *kwargs}]
    missing = list(dict.fromkeys(missing))
    words = f"{missing[0]} is" if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]} are"
    return f"{who}: {words} missing"


def brief(value: Any) -> str:
    """A value as a short text."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of about {round(0.30103 * value.bit_length())} digits"
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and math.prod(shape) > 8:
        return f"an array of shape {shape}"
    text = render(value)
    return text if len(text) <= 60 else text[:57] + "..."
