"""Layers of sequences: equal to Flax and torch, causal, and blind to padding."""

import copy
import pickle

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import gdjax as gd
from gdjax import laws
from gdjax.calls import parse
from gdjax.models import (
    INITIALIZERS,
    MODELS,
    Padded,
    attention,
    batch_norm,
    conv,
    dense,
    dropout,
    embedding,
    ensemble,
    gru,
    gru_layer,
    layer_norm,
    lstm_layer,
    orthogonal,
    padded,
    positions,
    rate_code,
    residual,
    serial,
    spiking,
    transformer,
)

KEY = jax.random.key(0)
TOKENS = jnp.array([1, 2, 0, 3])
FEATURES = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
MASK = jnp.array([True, True, False, True])

# model, a sequence, shape of the output
CASES = [
    (embedding(5, 6), TOKENS, (4, 6)),
    (positions(6), FEATURES, (4, 6)),
    (positions(6, 5, "learned"), FEATURES, (4, 6)),
    (attention(6, 2), FEATURES, (4, 6)),
    (attention(6, 3, causal=False), FEATURES, (4, 6)),
    (gru_layer(6, 3), FEATURES, (4, 3)),
    (lstm_layer(6, 3, recurrent=orthogonal(0.5)), FEATURES, (4, 3)),
    (gru(6, 3, None), FEATURES, ()),
    (gru(6, 3, 2, layers=2, cell="lstm", readout="all", dropout=0.5), FEATURES, (4, 2)),
    (transformer(5, 8, width=6, layers=1, heads=2, dropout=0.1), TOKENS, (4, 5)),
    (
        serial(
            embedding(5, 6), positions(6), residual(serial(layer_norm(6), attention(6, 2))), dropout(0.1), dense(6, 2)
        ),
        TOKENS,
        (4, 2),
    ),
]
IDS = [repr(case[0]) for case in CASES]
over_cases = pytest.mark.parametrize(("case", "x", "y_shape"), CASES, ids=IDS)


# to one of the others, or parts of one
ALIKE = ("positions(6)", "attention", "gru_layer", "lstm_layer", "gru(6, 3, None)", "serial")


@pytest.mark.parametrize(
    ("case", "x", "y_shape"),
    [
        pytest.param(*case, marks=[pytest.mark.nightly] * repr(case[0]).startswith(ALIKE), id=repr(case[0]))
        for case in CASES
    ],
)
def test_the_laws_of_models_hold_with_padding(case, x, y_shape):
    """Where nothing is masked, the result is that without a mask; the laws hold for both kinds of sequence."""
    laws.check_model(case, Padded(x, MASK))
    params = random_params(case)
    y, whole = jax.jit(lambda x: (case.apply(params, x), case.apply(params, Padded(x, MASK | True))))(x)
    assert (y.shape, y.dtype) == (y_shape, jnp.float32)
    chex.assert_trees_all_close(whole.values if isinstance(whole, Padded) else whole, y, rtol=1e-5, atol=1e-6)


@over_cases
def test_a_model_is_its_call(case, x, y_shape):
    for twin in (parse(repr(case), {**MODELS, **INITIALIZERS}), pickle.loads(pickle.dumps(case)), copy.deepcopy(case)):
        assert twin == case and hash(twin) == hash(case) and repr(twin) == repr(case)
    assert jax.eval_shape(case.apply, jax.eval_shape(case.init, KEY), x[None][:0]).shape == (0, *y_shape)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, jnp.float64), jax.eval_shape(case.init, KEY))
        x = jax.ShapeDtypeStruct(x.shape, jnp.float64 if x.dtype == np.float32 else x.dtype)
        y = jax.eval_shape(case.apply, wide, x, KEY)
        assert y.dtype == jnp.float64 and y.shape == y_shape


def random_params(case, seed=1, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: rng.normal(size=p.shape).astype(dtype), jax.eval_shape(case.init, KEY))


# Equal to Flax.


def of_flax_attention(params, heads):
    """Our parameters as those of `MultiHeadDotProductAttention`."""
    width = len(params["out"]["w"])
    parts = zip(np.split(params["qkv"]["w"], 3, 1), np.split(params["qkv"]["b"], 3), strict=True)
    named = {
        name: {"kernel": w.reshape(width, heads, -1), "bias": b.reshape(heads, -1)}
        for name, (w, b) in zip(("query", "key", "value"), parts, strict=True)
    }
    return {**named, "out": {"kernel": params["out"]["w"].reshape(heads, -1, width), "bias": params["out"]["b"]}}


def of_flax_cell(params, names):
    """Our parameters as those of `GRUCell` ("rzn") or `LSTMCell` ("ifgo")."""
    found = {}
    parts = [np.split(params[name], len(names), axis=-1) for name in ("w", "u", "b")]
    for name, w, u, b in zip(names, *parts, strict=True):
        found[f"i{name}"], found[f"h{name}"] = {"kernel": w}, {"kernel": u}
        found[f"i{name}" if "c" in params else f"h{name}"]["bias"] = b
    if "c" in params:
        found["hn"]["bias"] = params["c"]
    return found


def peer(kind, causal, mask, hidden, dtype):
    """(our layer, Flax's function of our parameters and x), both (batch, time, features) -> (batch, time, features)."""
    if kind == "attention":
        layer = attention(4, 2, causal)
        seen = np.broadcast_to(mask[:, None, None, :], (*mask.shape[:1], 1, mask.shape[1], mask.shape[1]))
        seen = seen & np.tril(np.ones(mask.shape[1:] * 2, bool)) if causal else seen
        module = nn.MultiHeadDotProductAttention(2)
        return layer, lambda params, x: module.apply({"params": of_flax_attention(params, 2)}, x, x, mask=seen)
    layer, cell, names = (
        (gru_layer(4, hidden), nn.GRUCell(hidden, param_dtype=dtype), "rzn")
        if kind == "gru"
        else (lstm_layer(4, hidden), nn.LSTMCell(hidden, param_dtype=dtype), "ifgo")
    )
    module, lengths = nn.RNN(cell), mask.sum(1)
    return layer, lambda params, x: module.apply(
        {"params": {"cell": of_flax_cell(params, names)}}, x, seq_lengths=lengths
    )


TOLERANCES = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 0.05}  # of bfloat16: the truth is Flax's, in float32


def check_against_flax(kind, time, batch, hidden, causal, lengths, dtype):
    mask = np.arange(time) < np.array(lengths[:batch])[:, None].clip(1, time)
    wide = np.dtype(np.float64 if dtype == "float64" else np.float32)
    layer, theirs = peer(kind, causal, mask, hidden, wide)
    draw = random_params(layer, dtype=np.float64), np.random.default_rng(time).normal(size=(batch, time, 4))
    slopes = np.random.default_rng(2).normal(size=(*mask.shape, 1)) * mask[..., None]

    def observe(apply, params, x):
        y, back = jax.vjp(lambda params, x: apply(params, x) * mask[..., None], params, x)
        return y, back(jnp.broadcast_to(slopes, y.shape).astype(y.dtype))

    def both(params, x):
        fine = jax.tree.map(lambda p: p.astype(wide), (params, x))
        ours = observe(lambda params, x: layer.apply(params, Padded(x, mask)).values, params, x)
        return ours, observe(theirs, *fine)

    with jax.enable_x64(dtype == "float64"):
        given = jax.tree.map(lambda p: jnp.asarray(0.5 * p, dtype), draw)
        (y, grads), (their_y, their_grads) = jax.jit(both)(*given)
        assert {g.dtype.name for g in jax.tree.leaves((y, grads))} == {dtype}
        scale = max(1, max(float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(their_grads)))
        as_wide = lambda tree: jax.tree.map(lambda p: np.asarray(p, wide), tree)  # noqa: E731
        chex.assert_trees_all_close(as_wide(y), their_y, rtol=0, atol=TOLERANCES[dtype])
        chex.assert_trees_all_close(as_wide(grads), their_grads, rtol=0, atol=TOLERANCES[dtype] * scale)


SHAPES = {
    "kind": st.sampled_from(["attention", "gru", "lstm"]),
    "time": st.integers(1, 6),
    "batch": st.integers(1, 3),
    "hidden": st.integers(1, 4),
    "causal": st.booleans(),
    "lengths": st.lists(st.integers(1, 6), min_size=3, max_size=3),
    "dtype": st.sampled_from(list(TOLERANCES)),
}
USUAL = {"time": 5, "batch": 3, "hidden": 3, "causal": True, "lengths": [5, 2, 1]}


@example(kind="attention", dtype="float64", **USUAL)
@example(kind="gru", dtype="float32", **USUAL)
@example(kind="lstm", dtype="float64", **USUAL)
@settings(max_examples=2, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
@given(**SHAPES)
def test_layers_equal_flax(**case):
    check_against_flax(**case)


@pytest.mark.nightly
@settings(max_examples=150, deadline=None, database=None)
@given(**SHAPES)
def test_layers_equal_flax_at_many_shapes(**case):
    check_against_flax(**case)


# Equal to torch.


def torch_of(kind, params, torch):
    """(torch's module of float64 with our parameters, its weights and biases in the order of `grads_of_torch`)."""
    nn = torch.nn
    at = lambda x: torch.tensor(np.asarray(x, np.float64))  # noqa: E731
    with torch.no_grad():
        if kind == "attention":
            module = nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
            module.in_proj_weight.copy_(at(params["qkv"]["w"].T)), module.in_proj_bias.copy_(at(params["qkv"]["b"]))
            module.out_proj.weight.copy_(at(params["out"]["w"].T)), module.out_proj.bias.copy_(at(params["out"]["b"]))
            return module
        module = (nn.GRU if kind == "gru" else nn.LSTM)(4, 3, batch_first=True, dtype=torch.float64)
        module.weight_ih_l0.copy_(at(params["w"].T)), module.weight_hh_l0.copy_(at(params["u"].T))
        module.bias_ih_l0.copy_(at(params["b"])), module.bias_hh_l0.zero_()
        if kind == "gru":
            module.bias_hh_l0[-3:] = at(params["c"])
        return module


def grads_of_torch(kind, module):
    """The gradients of torch's module in the form of our parameters."""
    turn = lambda p: p.grad.numpy().T  # noqa: E731
    if kind == "attention":
        out = {"w": turn(module.out_proj.weight), "b": turn(module.out_proj.bias)}
        return {"qkv": {"w": turn(module.in_proj_weight), "b": turn(module.in_proj_bias)}, "out": out}
    grads = {"w": turn(module.weight_ih_l0), "u": turn(module.weight_hh_l0), "b": turn(module.bias_ih_l0)}
    return {**grads, "c": module.bias_hh_l0.grad.numpy()[-3:]} if kind == "gru" else grads


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["attention", "gru", "lstm"])
def test_a_layer_equals_torch(kind):
    """Outputs and gradients, of sequences of several lengths, in float64."""
    torch = pytest.importorskip("torch")
    layer = {"attention": attention(4, 2), "gru": gru_layer(4, 3), "lstm": lstm_layer(4, 3)}[kind]
    params, lengths = random_params(layer, dtype=np.float64), np.array([5, 2, 3])
    x, mask = np.random.default_rng(4).normal(size=(3, 5, 4)), np.arange(5) < lengths[:, None]
    module, given = torch_of(kind, params, torch), torch.tensor(x, requires_grad=True)
    if kind == "attention":
        later, padding = torch.ones(5, 5, dtype=bool).triu(1), torch.tensor(~mask)
        y, _ = module(given, given, given, key_padding_mask=padding, attn_mask=later, need_weights=False)
    else:
        pack, unpack = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
        y, _ = unpack(module(pack(given, lengths, batch_first=True, enforce_sorted=False))[0], batch_first=True)
    total = (torch.tensor(mask)[..., None] * y**3).sum()
    total.backward()

    def ours(params, x):
        y = layer.apply(params, Padded(x, mask)).values
        return jnp.sum(jnp.where(mask[..., None], y, 0) ** 3), y

    with jax.enable_x64(True):
        (value, found), grads = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(params, x)
        np.testing.assert_allclose(found[mask], y.detach().numpy()[mask], atol=1e-12)
        np.testing.assert_allclose(value, total.item(), rtol=1e-12)
        chex.assert_trees_all_close(grads, (grads_of_torch(kind, module), given.grad.numpy()), rtol=1e-11, atol=1e-12)


# The transformer, written again with NumPy.


def numpy_transformer(model, params, tokens):
    def norm(part, x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * part["scale"] + part["b"]

    h = params["tokens"][tokens] + params["positions"][: len(tokens)]
    d = model.width // model.heads
    for block in params["blocks"]:
        q, k, v = np.split(
            norm(block["norm_1"], h) @ block["attention"]["qkv"]["w"] + block["attention"]["qkv"]["b"], 3, 1
        )
        heads = []
        for i in range(model.heads):
            own = slice(i * d, (i + 1) * d)
            scores = np.exp(q[:, own] @ k[:, own].T / np.sqrt(d)) * np.tri(len(tokens))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, own])
        h = h + np.concatenate(heads, 1) @ block["attention"]["out"]["w"] + block["attention"]["out"]["b"]
        up = norm(block["norm_2"], h) @ block["up"]["w"] + block["up"]["b"]
        h = h + up * scipy.special.ndtr(up) @ block["down"]["w"] + block["down"]["b"]
    return norm(params["norm"], h) @ params.get("head", params["tokens"].T)


@pytest.mark.parametrize("tied", [False, True])
def test_a_transformer_is_its_formula(tied):
    model = transformer(5, 8, width=6, layers=2, heads=3, tied=tied)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: 0.3 * p, random_params(model, dtype=np.float64))
        logits = jax.jit(model.apply)(params, TOKENS)
    np.testing.assert_allclose(logits, numpy_transformer(model, params, np.asarray(TOKENS)), atol=1e-12)


def test_remat_keeps_one_block_and_changes_no_gradient():
    """Of 3 blocks the backward pass holds what is inside of one at a time."""
    plain = transformer(5, 64, width=8, layers=3, heads=4)
    params, x = plain.init(KEY), jnp.zeros((4, 64), jnp.int32)

    def compiled(model):
        return jax.jit(jax.grad(lambda params: jnp.sum(model.apply(params, x) ** 2))).lower(params).compile()

    both = [compiled(plain), compiled(plain.replace(remat=True))]
    kept, again = (each.memory_analysis().temp_size_in_bytes for each in both)
    if jax.__version_info__ >= (0, 12):  # before, XLA:CPU undid it
        assert again <= 0.6 * kept
    chex.assert_trees_all_close(both[0](params), both[1](params), rtol=1e-4, atol=1e-4)


def test_dropout_follows_the_key():
    plain = transformer(5, 8, width=6, layers=1, heads=2)
    params, noisy = random_params(plain), plain.replace(dropout=0.5)
    calls = (noisy, KEY), (noisy, None), (plain, KEY)
    dropped, whole, same = jax.jit(lambda params: [each.apply(params, TOKENS, key) for each, key in calls])(params)
    assert np.any(dropped != whole)
    chex.assert_trees_all_equal(whole, same)


def test_initial_weights_are_those_of_gpt2_and_the_first_loss_is_that_of_chance():
    model = transformer(50, 16, width=64, layers=2, heads=4)
    params = model.init(KEY)
    for name, stddev in (("up", 0.02), ("down", 0.02 / 2)):
        assert np.std(params["blocks"][1][name]["w"]) == pytest.approx(stddev, rel=0.05)
    logits = jax.jit(model.apply)(params, jnp.arange(16))
    assert gd.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(16)).mean() == pytest.approx(
        np.log(50), rel=0.05
    )
    gates = gru_layer(4, 32).init(KEY)["u"]
    for u in np.split(gates, 3, 1):
        np.testing.assert_allclose(u @ u.T, np.eye(32), atol=1e-5)


# What must not be seen.

BLIND = [case for case in CASES if case[2][:1] == (4,)]


@pytest.mark.parametrize(("case", "x", "y_shape"), BLIND, ids=[repr(case[0]) for case in BLIND])
def test_padding_has_no_influence_to_the_last_bit(case, x, y_shape):
    """Neither its content, NaN included, on values and gradients; nor its place, but for rounding."""
    params = random_params(case)
    other = jnp.where(jnp.expand_dims(MASK, tuple(range(1, x.ndim))), x, -7 if x.dtype == jnp.int32 else jnp.nan)
    short, shift = x[np.asarray(MASK)], np.array([0, 1, 3])

    @jax.jit
    def observe(params, x):
        def total(params, x):
            y = case.apply(params, Padded(x, MASK)).values
            return jnp.sum(jnp.where(MASK[:, None], y, 0) ** 2), y

        return jax.grad(total, has_aux=True)(params, x)

    (grads, y), (same_grads, same) = observe(params, x), observe(params, other)
    chex.assert_trees_all_equal(y[MASK], same[MASK])
    chex.assert_trees_all_equal(grads, same_grads)
    chex.assert_trees_all_close(y[shift], jax.jit(case.apply)(params, short), rtol=1e-4, atol=1e-5)


CAUSAL = [  # parts of a serial are cases themselves
    case
    for case in BLIND
    if not repr(case[0]).endswith("causal=False)") and case[0].recipe.name not in ("positions", "serial")
]


@pytest.mark.parametrize(("case", "x", "y_shape"), CAUSAL, ids=[repr(case[0]) for case in CAUSAL])
def test_a_later_token_has_no_influence_to_the_last_bit(case, x, y_shape):
    params, apply = random_params(case), jax.jit(case.apply)
    before = apply(params, x)
    for t in range(len(x)):
        after = apply(params, jnp.asarray(x).at[t].add(1))
        chex.assert_trees_all_equal(after[:t], before[:t])
        assert np.any(after[t] != before[t])


def test_without_causality_a_later_token_is_seen():
    layer = attention(6, 3, causal=False)
    params = random_params(layer)
    assert np.any(layer.apply(params, FEATURES)[0] != layer.apply(params, jnp.asarray(FEATURES).at[3].add(1))[0])


def test_the_last_state_is_that_of_the_last_position_that_counts():
    model = gru(6, 3, 2, layers=2)
    params = random_params(model)
    batch = padded([FEATURES, FEATURES[:2]])
    assert batch.values.shape == (2, 4, 6) and batch.mask.sum() == 6
    found, *alone = jax.jit(lambda *each: [model.apply(params, x) for x in each])(batch, FEATURES, FEATURES[:2])
    chex.assert_trees_all_close(found, jnp.stack(alone), rtol=1e-5)


def test_sinusoids_are_their_formula():
    t, i = np.arange(7)[:, None], np.arange(5)
    angle = t / 10_000 ** (2 * (i // 2) / 5)
    p = positions(5).apply((), jnp.zeros((7, 5)))
    np.testing.assert_allclose(p, np.where(i % 2, np.cos(angle), np.sin(angle)), atol=1e-5)


# Errors.

BAD = {
    "heads": (lambda: attention(6, 4), "attention: width must be a multiple of heads, got width 6 and 4 heads"),
    "cell": (lambda: gru(6, 3, 2, cell="rnn"), "gru: cell must be one of gru, lstm, got 'rnn'"),
    "readout": (lambda: gru(6, 3, 2, readout="mean"), "gru: readout must be one of last, all, got 'mean'"),
    "kind": (lambda: positions(6, kind="rotary"), "positions: kind must be one of sinusoidal, learned, got 'rotary'"),
    "context": (lambda: positions(6, kind="learned"), "positions: context must be a positive int, got None"),
    "width": (
        lambda: gru_layer(5, 3).apply(random_params(gru_layer(5, 3)), FEATURES),
        r"gru_layer: x must be \(..., time, 5\), got shape \(4, 6\)",
    ),
    "long": (
        lambda: transformer(5, 3, 6, 1, 2).apply(random_params(transformer(5, 3, 6, 1, 2)), TOKENS),
        "transformer: a sequence must have at most 3 positions, got 4",
    ),
    "token": (
        lambda: embedding(3, 2).apply({"w": jnp.ones((3, 2))}, TOKENS),
        r"embedding: tokens must be in \[0, 3\), got 3",
    ),
    "mask": (
        lambda: attention(6, 2).apply(random_params(attention(6, 2)), Padded(FEATURES, MASK[:3])),
        r"attention: the mask of a sequence must be bool \(..., time\) as the values \(4, 6\), got bool \(3,\)",
    ),
    "empty": (
        lambda: gru(6, 3, 2).apply(random_params(gru(6, 3, 2)), FEATURES[:0]),
        "gru_layer: a sequence must have at least one position, got none",
    ),
    "lengths": (lambda: padded([[1, 2], [3]], 1), "padded: there must be sequences of at most 1 positions, got 2"),
    "numbers": (
        lambda: padded([1, 2]),
        r"padded: sequences must be \(time, ...\), alike but in time, got shapes \(\) and \(\)",
    ),
    "features": (
        lambda: padded([FEATURES, FEATURES[:2, :3]]),
        r"padded: sequences must be \(time, ...\), alike but in time, got shapes \(4, 6\) and \(2, 3\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    call, words = BAD[name]
    with pytest.raises(ValueError, match=f"^{words}$"):
        call()


@pytest.mark.parametrize("layer", [conv(6, 2, (3,)), batch_norm(6), rate_code(3), spiking((6, 2))], ids=repr)
def test_a_layer_that_would_mix_padding_in_turns_it_down(layer):
    with pytest.raises(TypeError, match=r"^a sequence with padding was given to what takes an array"):
        layer.apply_with_state(layer.init(KEY), layer.init_state(), Padded(FEATURES, MASK))


def test_an_ensemble_averages_arrays():
    several = ensemble(dense(6, 2), 2)
    with pytest.raises(TypeError, match=r"^ensemble: outputs of a member must be an array, got Padded$"):
        several.apply(several.init(KEY), Padded(FEATURES, MASK))


def test_tokens_outside_give_nan_where_they_are_traced():
    assert np.isnan(jax.jit(embedding(3, 2).apply)({"w": jnp.ones((3, 2))}, TOKENS)).tolist() == [[False] * 2] * 3 + [
        [True] * 2
    ]
    with pytest.raises(TypeError, match="embedding: tokens must be integers, got float32"):
        embedding(3, 2).apply({"w": jnp.ones((3, 2))}, jnp.ones(2))
