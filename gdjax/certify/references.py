"""What each optimizer is held against, and how near it must come."""

from __future__ import annotations

import inspect
import warnings

import optax
from optax import contrib

from gdjax.calls.node import Optimizer, Schedule
from gdjax.certify.suite import Recording

LIMIT = 1e-12  # relative, in double precision

# The beginning of a call -> (its own limit, why it cannot be nearer).
LIMITS: dict[str, tuple[float, str]] = {
    "soap(": (1e-9, "eigenvectors lose the digits that the gaps between eigenvalues cost"),
    "shampoo(": (
        1e-4,
        "roots of matrices of condition 1e12 keep as many digits less: 7e-12 with one eigensolver, 9e-6 with another "
        "(that of jaxlib 0.11)",
    ),
    "sophia(0.01, hessian_diagonal_fn": (
        1e-10,
        "where a mean gradient cancels, division by gamma nu magnifies the rounding left of it, 1e4 times at g = 1",
    ),
    "lbfgs(": (3e-11, "pairs of noise that nearly depend on each other magnify the rounding of either order of sums"),
    "nonlinear_cg(learning_rate=0.01, method='dai_yuan'": (1e-8, "d'y passes through 0 and divides"),
    "nonlinear_cg(learning_rate=0.01, method='hager_zhang'": (1e-8, "d'y passes through 0 and divides"),
    **dict.fromkeys(
        ("momo(learning_rate=cosine", "momo_adam(learning_rate=0.1"),
        (1e-11, "the length of a step is what sums of products leave when they cancel"),
    ),
    "fromage(": (1e-6, "Optax takes 1 from 1/sqrt(1 + r²), which costs it the digits of r²"),
    "bfgs(": (1e-8, "pairs with s'y near 0 make an inverse Hessian of any condition: in noise 9e-10, elsewhere 5e-12"),
    "rmsprop(0.01, initial_scale=1, centered=True": (
        1e-9,
        "the variance of a constant gradient is a difference of equal numbers: rounding is all that is left of it",
    ),
}

UNSCHEDULED = {"sm3": {"learning_rate"}, "rprop": {"learning_rate"}}  # of Optax: what must be a number there
NO_COMPLEX = "Optax has no complex parameters"
NO_SCALARS = "Optax fails on scalars"
NOT_RUN = (NO_COMPLEX, NO_SCALARS)

# The beginning of a call, alone or with a dtype, whose Optax 0.2.8 twin is wrong, and how; a test of each shows it.
PARTS_FROM_OPTAX: dict[str | tuple[str, str], str] = {
    ("lbfgs(", "float64"): "Optax keeps pairs of negative curvature and of infinite gradients",
    ("lbfgs(", "complex128"): "Optax keeps pairs of negative curvature and of infinite gradients",
    ("adadelta(", "complex128"): "Optax averages g² instead of |g|²",
    ("simplified_ademamix(", "complex128"): "Optax averages g² instead of |g|²",
    ("madgrad(", "float64"): "Optax takes sqrt(t) in float32",
    ("sophia(", "complex128"): NO_COMPLEX,
    ("galore(", "complex128"): NO_COMPLEX,
    ("cocob(", "complex128"): NO_COMPLEX,
    ("sm3(", "complex128"): NO_COMPLEX,
    "sm3(": NO_SCALARS,
    "adafactor(learning_rate=0.01, decay_offset=1": "Optax gives NaN",
    ("adafactor(", "float64"): "Optax takes the power of t in float32",
    ("adafactor(", "complex128"): "Optax takes the power of t in float32",
    ("prodigy(", "complex128"): "Optax averages g² instead of |g|², and its distance is complex",
    ("dadapt_adamw(", "complex128"): "Optax averages g² instead of |g|²",
    ("momo_adam(", "complex128"): "Optax averages g² instead of |g|²",
    "polyak_sgd(scaling=0.5": "Optax scales the gradient before it takes |g|²: half the scaling doubles the step",
    ("momo(", "complex128"): "Optax's inner products are complex",
    ("madgrad(", "complex128"): NO_COMPLEX,
    ("adopt(", "complex128"): NO_COMPLEX,
    "schedule_free_sgd(learning_rate=0.01, warmup": "Optax never reads schedule(0) for the weights",
    "schedule_free_adamw(learning_rate=0.01, warmup": "Optax never reads schedule(0) for the weights",
}

# Optimizers whose references take the update as a difference of parameters, which loses digits where the step is small:
# what counts is where the parameters go.
BY_PARAMETERS = ("schedule_free_sgd", "schedule_free_adamw", "cocob")

NO_INFINITY = "what inf + i times a number is depends on how it is multiplied out"
NORMS = "what is not finite in one leaf is in the norms of all"

# Cases and leaves in which an optimizer is not defined to the last digits, and why.
LEFT_OUT: dict[str | tuple[str, str], tuple[tuple[str, ...], str]] = {
    "bfgs": (("large",), "it shrinks to nothing beside the other leaves, whose rounding the matrix mixes into it"),
    "shampoo": (("huge",), "directions that the gradient never had are rounding, and eps is nothing beside it"),
    "soap": (("huge", "matrix"), "where gradients span less than the axis, the eigenvectors of the rest are free"),
    **dict.fromkeys(("dadapt_adamw", "prodigy"), (("non_finite",), NORMS)),
    **dict.fromkeys(
        ("momo", "momo_adam"), (("non_finite", "huge"), f"{NORMS}; the value there is not that of the slope")
    ),
    **dict.fromkeys(
        (("rprop", "oracle"), ("rprop", "torch")),
        (("ravine",), "the product of slopes below 1e-154 is too small a number: 0 to XLA, not to others"),
    ),
    ("yogi", "oracle"): (
        ("rosenbrock",),
        "where nu has come to g² itself, rounding decides the sign of their difference",
    ),
    ("dadapt_adamw", "optax"): (("zeros", "non_finite"), "Optax gives NaN for a zero gradient"),
    ("prodigy", "optax"): (("zeros", "non_finite"), "Optax gives NaN for a zero gradient"),
}

# Optimizers that are fed the gradients of single examples, here of the last four steps.
PER_EXAMPLE = ("dpsgd",)

# Optimizers that keep a matrix of all parameters by all parameters, and see eight rows and columns of each leaf.
OF_FEW = ("bfgs",)

# Optimizers of real parameters only, and why.
REAL_ONLY: dict[str, str] = {
    "rprop": "whether a slope has turned is asked of real numbers",
}


def fed_to(name: str, recording: Recording) -> Recording:
    """The recording as an optimizer of this name is given it."""
    if name in PER_EXAMPLE:
        return recording.per_example(4)
    return recording.few(8) if name in OF_FEW else recording


def limit_of(ours: Optimizer) -> tuple[float, str]:
    text = repr(ours)
    return next((own for start, own in LIMITS.items() if text.startswith(start)), (LIMIT, ""))


def left_out(name: str, reference: str, dtype: str) -> tuple[tuple[str, ...], str]:
    """Cases and leaves that are not compared, and why; of an optimizer against a reference."""
    cases, why = LEFT_OUT.get((name, reference)) or LEFT_OUT.get(name, ((), ""))
    if dtype.startswith("complex"):
        return (*cases, "non_finite"), "; ".join(filter(None, (why, NO_INFINITY)))
    return cases, why


def defect_of(ours: Optimizer, dtype: str) -> str | None:
    """What is wrong with Optax's twin of a call, in a dtype; None if nothing."""
    text = repr(ours)
    for key, defect in PARTS_FROM_OPTAX.items():
        start, where = (key, dtype) if isinstance(key, str) else key
        if text.startswith(start) and where == dtype:
            return defect
    return None


def optax_reference(ours: Optimizer) -> optax.GradientTransformation | None:
    """The same call of Optax's function of the same name; None where it has none.

    Of Optax's arguments only the learning rate may be a schedule.
    """
    name = ours.recipe.name
    factory = getattr(contrib, name, None) or getattr(optax, name, None)
    if factory is None:
        return None
    known = inspect.signature(factory).parameters
    defaults = {key: p.default for key, p in ours.recipe.signature.parameters.items() if key not in known}
    if any(ours.arguments[key] != default for key, default in defaults.items()):
        return None  # a way that Optax's has not
    arguments = {key: value for key, value in ours.arguments.items() if key in known}
    scheduled = {key for key, value in arguments.items() if isinstance(value, Schedule)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Optax's about its own: dpsgd still passes on a seed
        return factory(**arguments) if scheduled <= ({"learning_rate"} - UNSCHEDULED.get(name, set())) else None
