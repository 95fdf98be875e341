"""Norms of numbers of any size, and what is made of them: clips, trust ratios, distances, nearest points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax import projections, tree
from gdjax.optimizers.newton_schulz import newton_schulz

FAR = (2.0**-84, 2.0**84)  # 5e-26 and 2e25: their squares are 0 and infinite in single precision


def numbers(dtype, s=1.0):
    draws = np.random.default_rng(1).normal(size=(2, 9))
    x = draws[0] + 1j * draws[1] if jnp.issubdtype(dtype, jnp.complexfloating) else draws[0]
    return {"w": jnp.asarray(s * x[:6].reshape(2, 3), dtype), "b": [jnp.asarray(s * x[6:], dtype), None]}


def flat(t, dtype=complex):
    return np.concatenate([np.asarray(x.astype(jnp.complex64), dtype).ravel() for x in jax.tree.leaves(t)])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
def test_norm_direction_and_shortening_are_those_of_double_precision(dtype):
    some = jax.jit(lambda x, limit: (*tree.norm(x), tree.direction(x), tree.shorten(x, limit)))
    for s in (*FAR, 1.0, 2e37, 2.0**-51, 2.0**63):
        x = numbers(dtype, s)
        true = np.linalg.norm(flat(x))
        for limit in (0.3 * true, 2 * true):
            size, scale, direction, short = some(x, np.float32(limit))
            np.testing.assert_allclose(float(size) / float(scale), true, rtol=1e-6)
            np.testing.assert_allclose(flat(direction), flat(x) / true, rtol=2e-6)
            np.testing.assert_allclose(flat(short), flat(x) * min(1, limit / true), rtol=2e-6)


@pytest.mark.parametrize("size", [0.0, 1e-30, 3.0, 1e30])
def test_the_norm_of_constants_in_a_program_is_that_of_arguments(size):
    """A compiler that knows the numbers may not square them before they are scaled."""
    x = size * np.array([3.0, 4.0], np.float32)
    np.testing.assert_allclose(jax.jit(lambda: tree.global_norm([jnp.asarray(x)]))(), 5 * size, rtol=1e-6)
    start = jnp.asarray(x)
    moved = jax.jit(lambda: tree.global_norm([start - start, start]))
    np.testing.assert_allclose(moved(), 5 * size, rtol=1e-6)


def test_derivatives_of_the_norm():
    x = jnp.array([0.6, -0.8, 0.0])
    for s in (*FAR, 1.0):
        np.testing.assert_allclose(jax.jit(jax.grad(tree.global_norm))(s * x), x, rtol=1e-6)
    np.testing.assert_allclose(jax.hessian(tree.global_norm)(x), np.eye(3) - np.outer(x, x), atol=1e-6)
    assert not np.any(jax.grad(tree.global_norm)(0 * x)) and not np.any(jax.hessian(tree.global_norm)(0 * x))
    z = jnp.array([3 + 4j])
    np.testing.assert_allclose(jax.grad(lambda z: tree.global_norm([z]))(z), [0.6 - 0.8j], rtol=1e-6)
    rows = jnp.array([[3.0, 4.0], [3e25, 4e25], [3e-25, 4e-25], [0.0, 0.0], [jnp.inf, 1.0], [jnp.nan, 1.0]])
    np.testing.assert_allclose(jax.vmap(tree.global_norm)(rows), [5, 5e25, 5e-25, 0, np.inf, np.nan], rtol=1e-6)


def update(node, g, p, **extra):
    return node.update(g, node.init(p), p, **extra)[0]


SGD = gd.sgd(1.0)
EQUIVARIANT = {  # s times as much for s times the gradient and the parameters
    "clip_by_global_norm": lambda g, p, s: update(gd.chain(gd.clip_by_global_norm(0.5 * s), SGD), g, p),
    "clip_by_norm": lambda g, p, s: update(gd.clip_by_norm(0.5 * s), g, p),
    "clip_by_block_rms": lambda g, p, s: update(gd.clip_by_block_rms(0.5 * s), g, p),
    "adaptive_grad_clip": lambda g, p, s: update(gd.adaptive_grad_clip(0.1, eps=s), g, p),
    "stable": lambda g, p, s: update(gd.stable(SGD, 0.5 * s), g, p),
    "dpsgd": lambda g, p, s: update(
        gd.dpsgd(1.0, 0.5 * s, 0.0, 0), jax.tree.map(lambda x: jnp.stack([x, 2 * x]), g), p
    ),
    "fromage": lambda g, p, s: update(gd.fromage(0.1, min_norm=0.0), g, p),
    "lars": lambda g, p, s: update(gd.lars(0.1), g, p),
    "lamb": lambda g, p, s: update(gd.lamb(0.1), jax.tree.map(lambda x: x / s, g), p),
    "adafactor": lambda g, p, s: update(gd.adafactor(0.1), jax.tree.map(lambda x: x / s, g), p),
    "l2_ball": lambda g, p, s: projections.l2_ball(0.5 * s)(p),
    "hyperplane": lambda g, p, s: projections.hyperplane(jax.tree.map(jnp.ones_like, p), s)(p),
    "mechanize": lambda g, p, s: update(gd.mechanize(gd.sgd(1.0), eps=0.0), g, p),
}
INVARIANT = {  # the same for s times the gradient
    "normalize": lambda g, p, s: update(gd.normalize(), g, p),
    "novograd": lambda g, p, s: update(gd.novograd(0.1, eps=0.0), g, p),
    "dog": lambda g, p, s: update(gd.dog(eps=0.0), g, p),
    "dowg": lambda g, p, s: update(gd.dowg(eps=1e-4 * s, init_estim_sq_dist=1e-4), g, p),
    "muon": lambda g, p, s: newton_schulz(g["w"], eps=0.0),
    "muon(spectral)": lambda g, p, s: newton_schulz(g["w"], eps=0.0, preconditioning="spectral"),
    "halfspace": lambda g, p, s: projections.halfspace(g, 0.0)(p),
    "momo": lambda g, p, s: scale(s, update(gd.momo(1e30), g, jax.tree.map(jnp.zeros_like, p), value=1.0)),
    "polyak_sgd": lambda g, p, s: scale(s, update(gd.polyak_sgd(1e30), g, p, value=1.0)),
    "shampoo": lambda g, p, s: update(gd.shampoo(0.1, eps=1e-12), g, p),
}
ABSOLUTE = {"adafactor", "momo", "polyak_sgd", "shampoo"}  # below some size the equation itself has a floor


def scale(s, x):
    return jax.tree.map(lambda leaf: s * leaf, x)


@pytest.mark.parametrize("name", [*EQUIVARIANT, *INVARIANT])
def test_no_scale_of_gradients_or_parameters_is_lost(name):
    """What holds at 1, where the certificates look, holds at 5e-26 and at 2e25; the powers of two round nothing."""
    rule = jax.jit({**EQUIVARIANT, **INVARIANT}[name])
    g, p = numbers(jnp.float32), jax.tree.map(lambda x: 0.5 * x + 1, numbers(jnp.float32))
    here = rule(g, p, 1.0)
    assert any(np.any(x) for x in jax.tree.leaves(here))
    for s in FAR[name in ABSOLUTE :]:
        there = rule(scale(s, g), scale(s, p) if name in EQUIVARIANT else p, s)
        for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
            np.testing.assert_allclose(np.float64(b) / (s if name in EQUIVARIANT else 1), a, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["clip_by_global_norm", pytest.param("momo_adam", marks=pytest.mark.nightly), "polyak_sgd"]
)
def test_a_norm_of_all_leaves_compiles_in_proportion_to_their_number(name):
    """Fused with what is made of it, it would be repeated at every leaf: 64 leaves once made 8 MB of program."""
    node = {"clip_by_global_norm": gd.chain(gd.clip_by_global_norm(1.0), gd.adam(0.1))}.get(name) or getattr(gd, name)()

    def size(leaves):
        p = [jnp.ones((3, 2))] * leaves
        program = jax.jit(lambda g, s, p: node.update(g, s, p, value=1.0)).lower(p, node.init(p), p).compile()
        return len(program.as_text())

    assert size(32) < 5 * size(8)


def test_points_of_sets_in_16_bits_are_in_the_set():
    x = np.random.default_rng(2).normal(size=150) * 4
    normal = jnp.asarray(np.random.default_rng(3).normal(size=150), jnp.float32)
    for dtype in (jnp.bfloat16, jnp.float16):
        for size in (0.3, 2.7):

            def point(onto, dtype=dtype):
                return np.asarray(onto(jnp.asarray(x, dtype)).astype(jnp.float32), np.float64)

            assert np.linalg.norm(point(projections.l2_ball(size))) <= size * (1 + 1e-6)
            assert np.abs(point(projections.l1_ball(size))).sum() <= size * (1 + 1e-6)
            assert np.abs(point(projections.linf_ball(size))).max() <= size
            inside = point(projections.box(-1.1 * size, size))
            assert -1.1 * size <= inside.min() and inside.max() <= size
            assert point(projections.halfspace(normal, -size)) @ np.asarray(normal) <= -size + 1e-5
            assert point(projections.simplex(size)).sum() == pytest.approx(size, rel=2e-2)


def test_an_infinite_entry_leaves_nothing_for_the_others():
    x = jnp.array([jnp.inf, 1.0, -jnp.inf])
    for onto, right in (
        (projections.l2_ball(2.0), [2**0.5, 0, -(2**0.5)]),
        (projections.l1_ball(2.0), [1, 0, -1]),
        (projections.linf_ball(2.0), [2, 1, -2]),
        (projections.simplex(2.0), [2, 0, 0]),
        (projections.box(-1.0, 3.0), [3, 1, -1]),
        (projections.hyperplane(jnp.array([0.0, 1.0, 0.0]), 3.0), [jnp.inf, 3, -jnp.inf]),
    ):
        np.testing.assert_allclose(onto(x), right, rtol=1e-6)
    for onto in (projections.l2_ball(2.0), projections.l1_ball(2.0), projections.linf_ball(2.0)):
        np.testing.assert_allclose(onto(jnp.array([complex(0, jnp.inf), 0]))[0], 2j, rtol=1e-6)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (
            lambda: projections.box(0.5, 2.5)(jnp.array([3, 0])),
            TypeError,
            "box: x must be floating or complex, got int32",
        ),
        (lambda: projections.l2_ball()({"a": np.arange(3)}), TypeError, r"l2_ball: x\['a'\] must be floating"),
        (lambda: projections.box(jnp.array([0.0, 2.0]), 1.0), ValueError, "lower must be at most upper"),
        (lambda: projections.box({"a": 1.0}, {"a": np.zeros(2)})({"a": jnp.ones(2)}), ValueError, "at most upper"),
        (lambda: projections.box(float("nan"), 1.0), ValueError, "lower must be at most upper, got nan"),
    ],
)
def test_sets_refuse(call, error, words):
    with pytest.raises(error, match=words):
        call()


UPHILL = {
    "sam": lambda inner: gd.sam(inner, 0.01),
    "asam": lambda inner: gd.sam(inner, 0.01, adaptive=True, eta=0.0),
    "gsam": lambda inner: gd.gsam(inner, 0.01, alpha=0.0),
    "looksam": lambda inner: gd.looksam(inner, 0.01),
}
AROUND = {
    "bare": lambda node: node,
    "master_weights": gd.master_weights,
    "freeze": lambda node: gd.master_weights(gd.freeze(node, "frozen")),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("around, name", [*(("bare", name) for name in UPHILL), *((name, "sam") for name in AROUND)])
def test_the_point_uphill_is_as_far_as_rho_in_16_bits(dtype, around, name):
    """The gradient of sum (p - q)² / 2 uphill of p = q is the way there, which 16-bit parameters cannot go."""
    rng = np.random.default_rng(4)
    q = {"w": jnp.asarray(rng.uniform(1, 2, size=2000), dtype), "frozen": jnp.ones(3, dtype)}
    g = {"w": jnp.asarray(rng.normal(size=2000), dtype), "frozen": jnp.zeros(3, dtype)}
    node, rate = AROUND[around](UPHILL[name](gd.sgd(1024.0))), 1024.0

    def value_fn(p):
        return jnp.sum((p["w"].astype(jnp.float32) - q["w"].astype(jnp.float32)) ** 2) / 2

    way = -np.asarray(node.update(g, node.init(q), q, value_fn=value_fn)[0]["w"], np.float64) / rate
    w, h = (np.asarray(x["w"], np.float64) for x in (q, g))
    s = w if name == "asam" else np.ones_like(w)
    right = 0.01 * s * s * h / np.linalg.norm(s * h)
    assert np.abs(way - right).max() < 0.02 * np.abs(right).max()


def test_a_loss_that_refuses_float32_is_told_of():
    p = jnp.ones(4, jnp.bfloat16)
    node = gd.sam(gd.sgd(1.0))
    with pytest.warns(UserWarning, match="sam: the loss refuses float32 parameters"):
        updates, _ = node.update(p, node.init(p), p, value_fn=lambda x: jnp.sum(jax.lax.mul(x, p)))
    assert np.all(updates == -1)
