"""Models: pairs of pure functions.

    init(key) -> params                   any pytree of arrays
    apply(params, x, key=None) -> y       random only if a key is given

A model is a call node: `mlp((64, 128, 10), dropout=0.1)` prints, compares and pickles as that call, and its numbers are
leaves. Parameters are separate, in plain tuples and dicts, so that every function of a pytree takes them. Leading axes of x
are free: `apply` works on one example and on a batch.

To write a model, return its `init` and its `apply` from a function decorated with `@model`; an `Init` draws all parameters
of a tree at once. Models of other libraries can be used without this, since training needs only parameters and a loss.

In reading order: initializers, layers, linear, mlp, ensemble, summary.
"""

from collections.abc import Callable

from gdjax.calls import Model
from gdjax.models._ensemble import ensemble
from gdjax.models._mlp import mlp
from gdjax.models._summary import Summary, summary
from gdjax.models.initializers import (
    INITIALIZERS,
    Init,
    Initializer,
    Parameter,
    he_normal,
    he_uniform,
    initializer,
    lecun_normal,
    lecun_uniform,
    normal,
    orthogonal,
    uniform,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from gdjax.models.layers import ACTIVATIONS, activation, dense, dropout, flatten, serial
from gdjax.models.linear import (
    linear_regression,
    linear_svm,
    logistic_regression,
    perceptron,
    softmax_regression,
)

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "MODELS",
    "Init",
    "Initializer",
    "Parameter",
    "Summary",
    "activation",
    "dense",
    "dropout",
    "ensemble",
    "flatten",
    "he_normal",
    "he_uniform",
    "initializer",
    "lecun_normal",
    "lecun_uniform",
    "linear_regression",
    "linear_svm",
    "logistic_regression",
    "mlp",
    "normal",
    "orthogonal",
    "perceptron",
    "serial",
    "softmax_regression",
    "summary",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

MODELS: dict[str, Callable[..., Model]] = {
    factory.__name__: factory
    for factory in (
        linear_regression,
        logistic_regression,
        softmax_regression,
        linear_svm,
        perceptron,
        mlp,
        dense,
        activation,
        dropout,
        flatten,
        serial,
        ensemble,
    )
}
