"""Models: pairs of pure functions.

    init(key) -> params                   any pytree of arrays
    apply(params, x, key=None) -> y       random only if a key is given

A model is a call node: `mlp((64, 128, 10), dropout=0.1)` prints, compares and pickles as that call, and its numbers are
leaves. Parameters are separate, in plain tuples and dicts, so that every function of a pytree takes them. Leading axes of x
are free: `apply` works on one example and on a batch.

To write a model, return its `init` and its `apply` from a function decorated with `@model`; an `Init` draws all parameters
of a tree at once. Models of other libraries can be used without this, since training needs only parameters and a loss.

A model whose layers keep statistics (batch norm) has a state beside its parameters: see `gdjax.calls.Model`. Sequences are
(..., time, features), (..., time) of tokens, or `Padded`: see `gdjax.models.padding`.

In reading order: initializers, padding, layers, augment, normalization, residual, linear, mlp, convolution, pooling, cnn,
embedding, attention, transformer, decoding, recurrent, gru, spikes, neurons, codes, spiking, ensemble, summary.
"""

from collections.abc import Callable

from gdjax.calls import Model
from gdjax.models._attention import attention
from gdjax.models._augment import augment
from gdjax.models._cnn import cnn
from gdjax.models._embedding import embedding, positions
from gdjax.models._ensemble import ensemble
from gdjax.models._gru import gru
from gdjax.models._mlp import mlp
from gdjax.models._network_summary import NetworkSummary
from gdjax.models._residual import residual
from gdjax.models._spiking import spiking
from gdjax.models._summary import Summary, summary
from gdjax.models._transformer import transformer
from gdjax.models.codes import CODES, latency_code, rate_code
from gdjax.models.convolution import conv
from gdjax.models.decoding import Cache, decode, generate, prefill
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
    ones,
    orthogonal,
    uniform,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from gdjax.models.layers import ACTIVATIONS, activation, dense, dropout, flatten, serial, unflatten
from gdjax.models.linear import (
    linear_regression,
    linear_svm,
    logistic_regression,
    perceptron,
    softmax_regression,
)
from gdjax.models.neurons import lif
from gdjax.models.normalization import batch_norm, layer_norm, rms_norm
from gdjax.models.padding import padded
from gdjax.models.pooling import global_mean_pool, max_pool, mean_pool
from gdjax.models.recurrent import gru_layer, lstm_layer
from gdjax.models.spikes import SURROGATES, spike
from gdjax.types import Padded

__all__ = [
    "ACTIVATIONS",
    "CODES",
    "INITIALIZERS",
    "MODELS",
    "SURROGATES",
    "Cache",
    "Init",
    "Initializer",
    "NetworkSummary",
    "Padded",
    "Parameter",
    "Summary",
    "activation",
    "attention",
    "augment",
    "batch_norm",
    "cnn",
    "conv",
    "decode",
    "dense",
    "dropout",
    "embedding",
    "ensemble",
    "flatten",
    "generate",
    "global_mean_pool",
    "gru",
    "gru_layer",
    "he_normal",
    "he_uniform",
    "initializer",
    "latency_code",
    "layer_norm",
    "lecun_normal",
    "lecun_uniform",
    "lif",
    "linear_regression",
    "linear_svm",
    "logistic_regression",
    "lstm_layer",
    "max_pool",
    "mean_pool",
    "mlp",
    "normal",
    "ones",
    "orthogonal",
    "padded",
    "perceptron",
    "positions",
    "prefill",
    "rate_code",
    "residual",
    "rms_norm",
    "serial",
    "softmax_regression",
    "spike",
    "spiking",
    "summary",
    "transformer",
    "unflatten",
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
        cnn,
        spiking,
        dense,
        activation,
        dropout,
        flatten,
        unflatten,
        conv,
        max_pool,
        mean_pool,
        global_mean_pool,
        lif,
        rate_code,
        latency_code,
        layer_norm,
        rms_norm,
        batch_norm,
        serial,
        augment,
        residual,
        embedding,
        positions,
        attention,
        transformer,
        gru_layer,
        lstm_layer,
        gru,
        ensemble,
    )
}
