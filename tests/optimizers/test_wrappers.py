"""What is particular to one wrapper: Optax's transformation of the name in front of the inner one, and where it is wrong."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib, projections

import gdjax as gd
from gdjax.calls import as_key, parse
from gdjax.optimizers.newton_schulz import newton_schulz
from gdjax.optimizers.request import _batches_per_update
from gdjax.projections import PROJECTIONS


def params_like(dtype=jnp.float32):
    x = jnp.arange(1.0, 13.0)
    return {"w": jnp.sin(x).reshape(4, 3).astype(dtype), "b": [jnp.cos(x[:2]).astype(dtype), jnp.asarray(0.5, dtype)]}


def loss(params):
    return sum(jnp.sum(jnp.cosh(p) + p) for p in jax.tree.leaves(params))


def grads_at(params, i):
    return jax.tree.map(lambda p: 3 * jnp.sin(3 * p + i), params)


def assert_same_path(ours, theirs, number=12, rtol=1e-12, grads_at=grads_at):
    """Both follow recorded gradients in float64, the seventh of them zero."""
    with jax.enable_x64(True):
        start = params_like(jnp.float64)

        def body(carry, i):
            params, mine, theirs_ = carry
            grads = jax.tree.map(lambda g: g * (i != 6), grads_at(params, i))
            (updates, mine), (other, theirs_) = (
                ours.update(grads, mine, params),
                theirs.update(grads, theirs_, params),
            )
            return (optax.apply_updates(params, other), mine, theirs_), (updates, other)

        states = ours.init(start), theirs.init(start)
        mine, other = jax.jit(lambda: jax.lax.scan(body, (start, *states), jnp.arange(number))[1])()
        chex.assert_trees_all_close(mine, other, rtol=rtol, atol=1e-300)


def fed(wrapper, grads, params=None):
    """The gradient that the inner optimizer sees."""
    node = wrapper(gd.sgd(1.0))
    like = grads if params is None else params
    seen = jax.jit(lambda grads, like: node.update(grads, node.init(like), like, value_fn=loss)[0])(grads, like)
    return jax.tree.map(lambda u: -u, seen)


def change(transform, grads, params=None):
    """What a transform makes of the gradient."""
    like = grads if params is None else params
    return jax.jit(lambda grads, like: transform.update(grads, transform.init(like), like)[0])(grads, like)


CHANGES = {
    "clip": (gd.clip(0.7), lambda: optax.clip(0.7)),
    "clip_by_global_norm": (gd.clip_by_global_norm(2.0), lambda: optax.clip_by_global_norm(2.0)),
    "clip_by_block_rms": (gd.clip_by_block_rms(1.5), lambda: optax.clip_by_block_rms(1.5)),
    "adaptive_grad_clip": (gd.adaptive_grad_clip(0.8), lambda: optax.adaptive_grad_clip(0.8)),
    "adaptive_grad_clip(axis)": (
        gd.adaptive_grad_clip(0.8, eps=0.1, axis=()),
        lambda: optax.adaptive_grad_clip(0.8, eps=0.1, axis=()),
    ),
    "add_noise": (gd.add_noise(0.3, 0.55, 7), lambda: optax.add_noise(0.3, 0.55, 7)),
    "centralize": (gd.centralize(), optax.centralize),
}


LIKE_ANOTHER = ("clip", "clip_by_block_rms", "adaptive_grad_clip(axis)", "centralize")  # and certified in the suite


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x in LIKE_ANOTHER)) for x in CHANGES])
def test_a_change_of_the_gradient_is_that_of_optax(name):
    transform, theirs = CHANGES[name]
    with jax.enable_x64(True):
        assert_same_path(gd.chain(transform, gd.adam(0.1)), optax.chain(theirs(), optax.adam(0.1)))


def test_clipping_by_norm_is_global_clipping_leaf_by_leaf():
    grads = grads_at(params_like(), 2)
    mine = change(gd.clip_by_norm(1.2), grads)
    theirs = jax.jit(lambda g: optax.clip_by_global_norm(1.2).update(g, optax.EmptyState())[0])
    alone = jax.tree.map(theirs, grads)
    chex.assert_trees_all_close(mine, alone, rtol=1e-6)
    assert jnp.linalg.norm(grads["w"]) > 1.2 > jnp.linalg.norm(grads["b"][1])


def test_units_are_those_of_optax():
    grads = [np.random.default_rng(n).normal(size=(3, 2, 2, 2, 3)[-n:]).astype(np.float32) for n in range(1, 6)]
    params = jax.tree.map(lambda g: g / 2 + 0.1, grads)
    theirs = jax.jit(optax.adaptive_grad_clip(0.5).update)(grads, optax.EmptyState(), params)[0]
    mine = change(gd.adaptive_grad_clip(0.5), grads, params)
    chex.assert_trees_all_close(mine, theirs, rtol=1e-6)


def test_no_limit_gives_nan_at_zero_gradients_where_those_of_optax_do():
    zero = jnp.zeros((2, 2))
    transforms = [gd.clip, gd.clip_by_norm, gd.clip_by_global_norm, gd.clip_by_block_rms, gd.adaptive_grad_clip]
    for transform in transforms:
        np.testing.assert_array_equal(change(transform(0.0), zero), zero)
        np.testing.assert_array_equal(change(transform(0.0), zero + 3), zero)
    np.testing.assert_array_equal(change(gd.normalize(), zero), zero)
    np.testing.assert_array_equal(change(gd.orthogonalize(), zero), zero)
    empty = optax.EmptyState()
    for wrong in (optax.clip_by_block_rms(0.0), contrib.normalize()):
        assert np.isnan(np.asarray(wrong.update(zero, empty)[0])).all()


def test_a_clipped_complex_entry_keeps_its_direction():
    grads = jnp.array([3 + 4j, 0.3j])
    np.testing.assert_allclose(change(gd.clip(1.0), grads), [0.6 + 0.8j, 0.3j], rtol=1e-6)


def test_centered_over_the_inputs_a_kernel_sums_to_zero_for_each_output():
    w = change(gd.centralize(axis=0), grads_at(params_like(), 0))["w"]
    np.testing.assert_allclose(jnp.sum(w, axis=0), 0, atol=1e-6)
    assert np.abs(jnp.sum(w, axis=1)).max() > 0.1


def test_normalized_and_orthogonalized():
    grads = grads_at(params_like(), 0)
    chex.assert_trees_all_close(
        change(gd.normalize(), grads), contrib.normalize().update(grads, optax.EmptyState())[0], rtol=1e-6
    )
    fed_grads = change(gd.orthogonalize(), grads)
    chex.assert_trees_all_equal(fed_grads["b"], grads["b"])
    values = np.linalg.svd(fed_grads["w"], compute_uv=False)
    assert np.all((values > 0.6) & (values < 1.3)) and np.linalg.cond(grads["w"]) > 3
    u, _, v = np.linalg.svd(grads["w"], full_matrices=False)
    cubic = newton_schulz(grads["w"], (1.5, -0.5, 0.0), 30)  # slower, and to the end
    np.testing.assert_allclose(cubic, u @ v, atol=1e-5)


# Sharpness


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.nightly), 3])
def test_sam_is_that_of_optax(steps):
    with jax.enable_x64(True):
        params = params_like(jnp.float64)
        uphill = optax.chain(contrib.normalize(), optax.sgd(0.1))
        theirs = contrib.sam(optax.adam(0.1), uphill, sync_period=steps + 1, opaque_mode=True)
        ours = gd.sam(gd.adam(0.1), 0.1, steps=steps)
        state, other_state = ours.init(params), theirs.init(params)
        for _ in range(5):
            grads = jax.grad(loss)(params)
            updates, state = ours.update(grads, state, params, value_fn=loss)
            other, other_state = theirs.update(grads, other_state, params, grad_fn=lambda p, _: jax.grad(loss)(p))
            chex.assert_trees_all_close(updates, other, rtol=1e-12)
            params = optax.apply_updates(params, updates)


def test_asam_looks_relative_to_each_parameter():
    p = jnp.array([3.0, 0.01])
    seen = fed(lambda inner: gd.sam(inner, 0.5, adaptive=True, eta=0.0), jnp.array([1.0, 1.0]), p)
    uphill = p + 0.5 * p**2 / jnp.linalg.norm(p)
    np.testing.assert_allclose(seen, jnp.sinh(uphill) + 1, rtol=1e-5)


def test_gsam_and_looksam_take_what_is_orthogonal():
    params = params_like()
    grads = jax.grad(loss)(params)
    flat = lambda t: jax.flatten_util.ravel_pytree(t)[0]  # noqa: E731
    here, above = flat(grads), flat(fed(lambda inner: gd.sam(inner, 0.5), grads, params))
    chex.assert_trees_all_close(flat(fed(lambda inner: gd.gsam(inner, 0.5, 0.0), grads, params)), above, rtol=1e-5)
    across = (above - flat(fed(lambda inner: gd.gsam(inner, 0.5, 0.7), grads, params))) / 0.7
    assert abs(across @ above) < 1e-3 and jnp.linalg.norm(across) > 0.05
    np.testing.assert_allclose(across, here - above * (here @ above) / (above @ above), atol=1e-4)

    node = gd.looksam(gd.sgd(1.0), 0.5, alpha=0.3, period=2)
    updates, state = node.update(grads, node.init(params), params, value_fn=loss)
    np.testing.assert_allclose(-flat(updates), above, rtol=1e-5)
    kept = flat(state.across)
    np.testing.assert_allclose(kept, above - here * (here @ above) / (here @ here), atol=1e-4)
    never = lambda params: jnp.nan  # noqa: E731  (not looked at between)
    updates, _ = node.update(grads, state, params, value_fn=never)
    expected = here + 0.3 * jnp.linalg.norm(here) / jnp.linalg.norm(kept) * kept
    np.testing.assert_allclose(-flat(updates), expected, rtol=1e-4)


@pytest.mark.parametrize("wrapper", [gd.sam, gd.gsam, gd.looksam])
def test_without_a_loss_there_is_nothing_uphill_and_at_a_zero_gradient_no_way(wrapper):
    node, params = wrapper(gd.sgd(1.0)), jnp.zeros(3)
    with pytest.raises(ValueError, match=rf"{wrapper.__name__}: update needs params and value_fn="):
        node.update(params, node.init(params), params)
    updates, _ = node.update(params, node.init(params), params, value_fn=lambda p: jnp.sum(p**2))
    np.testing.assert_array_equal(updates, 0 * params)
    uphill = optax.chain(contrib.normalize(), optax.sgd(0.1))
    theirs = contrib.sam(optax.sgd(1.0), uphill, opaque_mode=True)
    wrong, _ = theirs.update(params, theirs.init(params), params, grad_fn=lambda p, _: 2 * p)
    assert np.isnan(np.asarray(wrong)).all()


# Partition


def layers(width=16):
    x = jnp.linspace(-1, 1, width * width).reshape(width, width)
    return {"layers": [{"w": x + i, "b": x[0]} for i in range(4)], "none": None}


def network(params, batch, key=None):
    y = batch
    for layer in params["layers"]:
        y = jnp.tanh(y @ layer["w"] + layer["b"])
    return jnp.sum(y**2), {}


def flops(optimizer):
    batch = jnp.ones((8, 16))
    state = gd.make_state(layers(), optimizer)
    return jax.jit(gd.make_step(network)).lower(state, batch).compile().cost_analysis()["flops"], state


FROZEN = r"layers\.[012]\."


def test_frozen_leaves_cost_no_backward_and_no_state():
    (all_flops, whole), (few_flops, few) = flops(gd.adam(0.01)), flops(gd.freeze(gd.adam(0.01), FROZEN))
    product = 2 * 8 * 16 * 16  # of one layer; forward 4 of them, backward 7 or, for the last weights alone, 1
    assert all_flops > 11 * product and few_flops < 6.5 * product
    count = lambda state: sum(x.size for x in jax.tree.leaves(state.opt_state))  # noqa: E731
    assert count(whole) == 4 * 2 * 272 + 1 and count(few) == 2 * 272 + 1
    masked = optax.masked(optax.adam(0.01), jax.tree.map(lambda p: p.ndim > 1, layers()))
    assert len(jax.tree.leaves(gd.freeze(masked, FROZEN).init(layers()))) == 2 + 1


def as_masks():
    starts = lambda path: path.startswith(("layers.0", "layers.1", "layers.2"))  # noqa: E731
    prefix = {"layers": [True, True, True, False], "none": None}
    return [FROZEN, gd.optimizers.by_path(FROZEN), gd.by_path(starts), prefix, lambda params: prefix]


@pytest.mark.parametrize("frozen", as_masks(), ids=["pattern", "by_path", "function of the path", "prefix", "function"])
def test_frozen_leaves_stay_and_the_others_move_as_alone(frozen):
    params = layers()
    node = gd.freeze(gd.chain(gd.clip_by_global_norm(0.1), gd.adam(0.01)), frozen)
    updates, _ = jax.jit(node.update)(params, node.init(params), params)
    chex.assert_trees_all_equal(updates["layers"][:3], jax.tree.map(jnp.zeros_like, params["layers"][:3]))
    alone, last = gd.chain(gd.clip_by_global_norm(0.1), gd.adam(0.01)), params["layers"][3]
    chex.assert_trees_all_close(updates["layers"][3], alone.update(last, alone.init(last), last)[0], rtol=1e-6)


def test_the_inner_optimizer_of_a_part_sees_the_loss_of_its_part():
    """SAM inside freeze looks uphill along the trained leaves, the frozen ones at their values."""
    params, grads = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
    value_fn = lambda tree, scale: scale * jnp.prod(tree["a"]) * jnp.sum(tree["b"] ** 2)  # noqa: E731
    node = gd.freeze(gd.sam(gd.sgd(1.0), 0.5), "b")
    tree = {"a": params, "b": jnp.array([3.0])}
    updates, _ = node.update({"a": grads, "b": grads}, node.init(tree), tree, value_fn=value_fn, scale=2.0, grad=tree)
    uphill = params + 0.5 * grads / 5
    np.testing.assert_allclose(updates["a"], -18 * uphill[::-1], rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], [0])
    of_grad = optax.GradientTransformationExtraArgs(optax.init_empty_state, lambda u, s, p, *, grad: (grad, s))
    echo = gd.freeze(of_grad, "a")
    chex.assert_trees_all_equal(echo.update(tree, echo.init(tree), tree, grad=tree)[0], {**tree, "a": jnp.zeros(2)})


def kinds(params):
    return jax.tree.map(lambda p: "matrix" if p.ndim > 1 else "vector", params)


def test_a_partition_is_that_of_optax():
    ours = {"matrix": gd.adam(0.1), "vector": gd.sgd(0.01, momentum=0.9)}
    theirs = optax.partition({"matrix": optax.adam(0.1), "vector": optax.sgd(0.01, momentum=0.9)}, kinds)
    with jax.enable_x64(True):
        assert_same_path(gd.partition(ours, kinds), theirs)
        by_path = gd.by_path({r"^w": "matrix", "": "vector"})
        assert_same_path(gd.partition(ours, by_path), theirs)
        assert_same_path(gd.partition({"w": ours["matrix"], "^b": ours["vector"]}), theirs)


def test_a_part_without_optimizer_is_frozen():
    params = params_like()
    node = gd.partition({"matrix": gd.sgd(0.1), "vector": None}, kinds)
    updates, state = node.update(params, node.init(params), params)
    chex.assert_trees_all_equal(updates["b"], jax.tree.map(jnp.zeros_like, params["b"]))
    np.testing.assert_allclose(updates["w"], -0.1 * params["w"])
    assert state.inner_states["vector"] == ()


class Double(NamedTuple):
    count: jax.Array

    def evaluation_params(self, params):
        return jax.tree.map(lambda p: 2 * p, params)


def test_averages_within_a_part_are_of_its_leaves():
    averaging = optax.GradientTransformation(lambda _: Double(jnp.zeros(())), lambda u, s, _=None: (u, s))
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    only_a = {"a": 2 * params["a"], "b": params["b"]}
    for node in (gd.freeze(averaging, "b"), gd.partition({"a": averaging, "b": gd.sgd(0.1)})):
        chex.assert_trees_all_equal(gd.training.evaluation_params(gd.make_state(params, node)), only_a)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (gd.freeze(gd.sgd(0.1), "c"), r"freeze: 'c' must be found in one of the paths 'b\.0', 'b\.1', 'w'"),
        (gd.freeze(gd.sgd(0.1), gd.by_path("W")), "freeze: 'W' must be found in one of the paths"),
        (
            gd.freeze(gd.sgd(0.1), "."),
            r"freeze: by_path\('\.'\) must leave one of the paths to train, got all: 'b.0', ",
        ),
        (gd.freeze(gd.sgd(0.1), gd.by_path({"": True})), "must leave one of the paths to train"),
        (gd.partition({"w": gd.sgd(0.1), "b": None, "c": None}), "partition: 'c' must be found in one of the paths"),
        (
            gd.partition({"x": gd.sgd(0.1), "y": None}, gd.by_path({"w": "x", "v": "y", "": "x"})),
            "partition: 'v' must be found in one of the paths 'b.0', 'b.1', 'w'",
        ),
    ],
)
def test_a_pattern_that_matches_nothing_or_leaves_nothing_is_refused_with_the_paths(node, message):
    with pytest.raises(ValueError, match=message):
        node.init(params_like())


def of_mask(mask):
    """Whatever takes a mask, with this one."""
    ways = [gd.adamw(0.1, mask=mask), gd.sgd(0.1), gd.lars(0.1, trust_ratio_mask=mask), gd.soap(0.1, mask=mask)]
    ways += [gd.adafactor(0.1, weight_decay_mask=mask), gd.dog(mask=mask), gd.dowg(mask=mask), gd.cocob(mask=mask)]
    ways[1] = gd.decay_weights(ways[1], 0.1, mask)
    ways += [gd.project(gd.sgd(0.1), gd.projections.box(0, 1), mask), gd.stacked(gd.adamw(0.1, mask=mask))]
    return [
        *ways,
        gd.galore(0.1, mask=mask),
        gd.average(gd.shampoo(0.1, mask=mask)),
        gd.dog(weight_decay=0.1, mask=mask),
    ]


@pytest.mark.parametrize("rule", ["W", {"bias": False, "": True}], ids=str)
def test_a_mask_whose_pattern_matches_nothing_is_refused_by_whatever_takes_one(rule):
    words = r"by_path: '(W|bias)' must be found in one of the paths 'b\.0', 'b\.1', 'w'"
    for node in of_mask(gd.by_path(rule)):
        with pytest.raises(ValueError, match=words):
            jax.eval_shape(node.init, params_like())


def test_a_mask_of_all_parameters_may_match_none_of_a_part():
    params = params_like()
    for mask in (gd.by_path("w"), gd.by_path(lambda path: False), False):  # the last two choose none, as they say
        node = gd.partition({"w": gd.sgd(0.1), "b": gd.adamw(0.1, weight_decay=0.5, mask=mask)})
        updates, state = node.update(params, node.init(params), params)
        plain = gd.adam(0.1)
        expected, _ = plain.update(params["b"], plain.init(params["b"]))
        chex.assert_trees_all_close(updates["b"], expected, rtol=1e-6)
        chex.assert_trees_all_equal(optax.tree.map_params(node, lambda x: x, state), state)
        optax.masked(gd.adamw(0.1, mask=mask), {"w": False, "b": True}).init(params)
        for each in of_mask(mask):  # asked for the state of a tree without leaves
            jax.eval_shape(each.init, {})


def test_a_bare_array_is_frozen_or_has_its_part():
    x, g = jnp.array([1.0, 2.0]), jnp.array([1.0, -1.0])
    part = gd.partition({"all": gd.average(gd.sgd(0.5), 0.5)}, "all")
    updates, state = part.update(g, part.init(x), x)
    np.testing.assert_array_equal(updates, [-0.5, 0.5])
    np.testing.assert_array_equal(gd.answers.evaluation_params(state, x + updates), x + updates)
    np.testing.assert_array_equal(
        gd.freeze(gd.sgd(0.5), True).update(g, gd.freeze(gd.sgd(0.5), True).init(x), x)[0], 0 * x
    )
    np.testing.assert_array_equal(
        gd.freeze(gd.sgd(0.5), False).update(g, gd.freeze(gd.sgd(0.5), False).init(x), x)[0], -g / 2
    )
    assert gd.partition({"all": gd.sgd(0.1), "none": None}, "none").init(x).trained.value == (False,)


def test_centralizing_never_makes_a_gradient_of_one_entry_zero():
    """Optax freezes a kernel (inputs, 1) without a word."""
    grads = {"out": jnp.array([[1.0], [3.0]]), "in": jnp.array([[1.0, 4.0, 1.0]]), "conv": jnp.ones((2, 1, 1)) * 3}
    seen = change(gd.centralize(), grads)
    np.testing.assert_array_equal(seen["out"], grads["out"])
    np.testing.assert_array_equal(seen["conv"], grads["conv"])
    np.testing.assert_allclose(seen["in"], [[-1, 2, -1]])
    np.testing.assert_array_equal(optax.centralize().update(grads, optax.EmptyState())[0]["out"], 0 * grads["out"])
    down = change(gd.centralize(axis=0), grads)
    np.testing.assert_allclose(down["out"], [[-1], [1]])
    np.testing.assert_array_equal(down["in"], grads["in"])


def test_leaves_of_no_optimizer_or_of_two_are_named():
    params = params_like()
    with pytest.raises(ValueError, match=r"the label of 'b\.0' must be one of 'matrix', got 'vector'"):
        gd.partition({"matrix": gd.sgd(0.1)}, kinds).init(params)
    with pytest.raises(ValueError, match=r"must match the path 'b\.0', got none of 'w'"):
        gd.partition({"w": gd.sgd(0.1)}).init(params)
    with pytest.raises(ValueError, match=r"must match the path 'b\.1', got '1' and 'b'"):
        gd.partition({"w": None, "b": gd.sgd(0.1), "1": gd.sgd(0.1)}).init(params)
    with pytest.raises(ValueError, match=r"a pattern must match 'b\.0', got 'w'"):
        gd.freeze(gd.sgd(0.1), gd.by_path({"w": True})).init(params)
    with pytest.raises(ValueError, match="freeze: the labels must be a tree like params"):
        gd.freeze(gd.sgd(0.1), {"w": True}).init(params)
    with pytest.raises(ValueError, match=r"grads must have the structure of params; it lacks \['b'\]\[0\]"):
        gd.freeze(gd.sgd(0.1), "w").update({"w": params["w"]}, gd.freeze(gd.sgd(0.1), "w").init(params), params)


def test_parts_are_values_and_their_numbers_leaves():
    node = gd.partition({"w": gd.adam(0.1), "b": gd.sgd(0.2)})
    assert len(jax.tree.leaves(node)) == 6 and jax.tree.structure(node) == jax.tree.structure(
        gd.partition({"b": gd.sgd(0.3), "w": gd.adam(0.5)})
    )
    catalogue = {**gd.OPTIMIZERS, **gd.WRAPPERS, **gd.TRANSFORMS, **PROJECTIONS, "by_path": gd.by_path}
    for text in (
        "partition({'b': sgd(0.2), 'w': adam(0.1)})",
        "freeze(adam(0.1), by_path('b$'))",
        "project(sgd(0.1), each_leaf(l2_ball(radius=3)))",
    ):
        assert repr(parse(text, catalogue)) == text
    assert gd.by_path("w") == gd.by_path("w") != gd.by_path("b")


# Steps that are not taken


def test_skipping_is_that_of_optax_and_the_inner_state_is_kept():
    def grads(params, i):
        return jax.tree.map(lambda g: jnp.where(jnp.isin(i, jnp.array([2, 3, 5])), jnp.inf * g, g), grads_at(params, i))

    with jax.enable_x64(True):
        theirs = optax.apply_if_finite(optax.adam(0.1), 3)
        assert_same_path(gd.skip_non_finite(gd.adam(0.1), 3), theirs, grads_at=grads)
        assert_same_path(gd.skip_non_finite(gd.adam(0.1)), theirs, grads_at=grads)


def test_bad_steps_are_counted_and_after_too_many_in_a_row_one_passes():
    params = jnp.ones(2)
    bad, good = jnp.array([jnp.nan, 1.0]), jnp.ones(2)
    node, seen = gd.skip_non_finite(gd.sgd(0.1, momentum=0.9), max_consecutive=2), []
    state = node.init(params)
    for grads in (good, bad, bad, good, bad, bad, bad):
        updates, state = jax.jit(node.update)(grads, state, params)
        seen.append((int(state.notfinite_count), int(state.total_notfinite), bool(jnp.isfinite(updates).all())))
    assert seen == [(0, 0, True), (1, 1, True), (2, 2, True), (0, 2, True), (1, 3, True), (2, 4, True), (3, 5, False)]
    forever = gd.skip_non_finite(gd.sgd(0.1, momentum=0.9))
    state = forever.init(params)
    for _ in range(5):
        updates, state = forever.update(bad, state, params)
    chex.assert_trees_all_equal((updates, state.inner), (0 * params, forever.init(params).inner))


def test_a_skipped_lane_has_a_finite_hypergradient():
    """vmap runs both branches of a condition; a choice after the fact would give 0 times NaN here."""
    grads = jnp.array([[jnp.nan, 1.0], [1.0, 1.0]])

    def move(rate, grads):
        node = gd.skip_non_finite(gd.adam(rate))
        return jnp.sum(node.update(grads, node.init(grads), jnp.ones(2))[0])

    slope = jax.grad(lambda rate: jnp.sum(jax.vmap(move, in_axes=(None, 0))(rate, grads)))(0.1)
    np.testing.assert_allclose(slope, -2, rtol=1e-5)


def test_an_inner_optimizer_of_optax_may_change_its_dtypes():
    params = jnp.ones(2, jnp.bfloat16)
    node = gd.skip_non_finite(optax.adam(0.1))
    updates, state = node.update(jnp.ones(2), node.init(params), params)
    assert updates.dtype == jnp.bfloat16
    chex.assert_trees_all_equal_shapes_and_dtypes(state, node.init(params))


def test_noise_takes_keys_of_both_kinds():
    grads = jnp.ones(3)
    seen = [
        change(noise, grads)
        for noise in (
            gd.add_noise(1.0, 0.5, 3),
            gd.add_noise(1.0, 0.5, seed=as_key(3)),
            gd.add_noise(1.0, 0.5, jax.random.PRNGKey(3)),
        )
    ]
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])
    assert np.abs(seen[0] - grads).min() > 0


# Sets

POINT = {"w": np.array([[1.5, -0.2], [0.4, -2.0]]), "b": [np.array([0.3, 0.1, -0.7]), np.array(0.9)]}
NORMAL = {"w": np.array([[1.0, 2.0], [-1.0, 0.5]]), "b": [np.array([0.0, 1.0, 1.0]), np.array(-2.0)]}
SETS = {
    "non_negative()": projections.projection_non_negative,
    "box(-0.5, 0.5)": lambda x: projections.projection_box(
        x, *(jax.tree.map(lambda _, b=b: b, x) for b in (-0.5, 0.5))
    ),
    "simplex(2)": lambda x: projections.projection_simplex(x, 2.0),
    "l1_ball(1.5)": lambda x: projections.projection_l1_ball(x, 1.5),
    "l2_ball(1.5)": lambda x: projections.projection_l2_ball(x, 1.5),
    "linf_ball(0.6)": lambda x: projections.projection_linf_ball(x, 0.6),
    "hyperplane": lambda x: projections.projection_hyperplane(x, NORMAL, 0.5),
    "halfspace": lambda x: projections.projection_halfspace(x, NORMAL, -7.0),
    "halfspace(inside)": lambda x: projections.projection_halfspace(x, NORMAL, 50.0),
}


def set_of(name):
    offsets = {"hyperplane": 0.5, "halfspace": -7.0, "halfspace(inside)": 50.0}
    if name in offsets:
        return PROJECTIONS[name.removesuffix("(inside)")](NORMAL, offsets[name])
    return parse(name, PROJECTIONS)


def test_the_nearest_point_is_that_of_optax():
    """And of the same derivative. All sets in one program."""

    def of_all(sets, x):
        def of_set(onto):
            nearest, back = jax.vjp(onto, x)
            return back(jax.tree.map(jnp.cosh, nearest))[0], nearest

        return {name: of_set(onto) for name, onto in sets.items()}

    with jax.enable_x64(True):
        mine = jax.jit(of_all)({name: set_of(name).canonicalize() for name in SETS}, POINT)
        theirs = jax.jit(lambda x: of_all(SETS, x))(POINT)
        chex.assert_trees_all_close(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_the_nearest_point_makes_an_obtuse_angle_with_the_set(name):
    """<x - P(x), y - P(x)> <= 0 for all y of the set: what makes a point the nearest of a convex set."""
    onto, rng = set_of(name), np.random.default_rng(0)
    flat = lambda t: jax.flatten_util.ravel_pytree(t)[0]  # noqa: E731
    others = jax.tree.map(lambda x: 3 * rng.normal(size=(20, *x.shape)).astype(np.float32), POINT)
    nearest, of_set = flat(onto(POINT)), jax.jit(jax.vmap(lambda x: flat(onto(x))))(others)
    assert jnp.max((of_set - nearest) @ (flat(POINT) - nearest)) < 1e-4


def test_bounds_are_trees_or_prefixes_and_leaves():
    onto = gd.projections.box({"w": 0.0, "b": [jnp.array([0.0, 0.2, -1.0]), -1.0]}, upper=1.0)
    nearest = onto(POINT)
    np.testing.assert_allclose(nearest["w"], np.clip(POINT["w"], 0, 1))
    np.testing.assert_allclose(nearest["b"][0], [0.3, 0.2, -0.7], rtol=1e-6)
    assert len(jax.tree.leaves(onto)) == 4
    radii = jax.vmap(lambda r: jnp.sum(jnp.abs(gd.projections.l1_ball(r)(jnp.arange(4.0)))))(jnp.array([1.0, 2.0, 9.0]))
    np.testing.assert_allclose(radii, [1, 2, 6], rtol=1e-6)
    with pytest.raises(ValueError, match="box: lower must be at most upper, got 1 > 0"):
        gd.projections.box(1, 0)
    with pytest.raises(ValueError, match="hyperplane: normal must have the structure of x"):
        gd.projections.hyperplane({"a": jnp.ones(2)})({"b": jnp.ones(2)})
    with pytest.raises(TypeError, match=r"simplex: x.* must be real to be ordered, got complex64"):
        gd.projections.simplex()(jnp.ones(2, complex))


@pytest.mark.parametrize(
    "onto", [p() for name, p in PROJECTIONS.items() if name not in ("hyperplane", "halfspace", "each_leaf")]
)
def test_sets_keep_dtypes_and_take_what_is_empty(onto):
    x = {"a": jnp.ones(3, jnp.bfloat16), "b": None, "c": jnp.ones((0, 2)), "d": jnp.zeros(())}
    chex.assert_trees_all_equal_shapes_and_dtypes(onto(x), x)
    assert onto({}) == {} and onto({"c": jnp.ones((0,))})["c"].shape == (0,)
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(onto(x)))


def test_complex_points_are_shortened_in_their_direction():
    x = jnp.array([3 + 4j, 0.5j])
    np.testing.assert_allclose(gd.projections.linf_ball(1.0)(x), [0.6 + 0.8j, 0.5j], rtol=1e-6)
    np.testing.assert_allclose(gd.projections.l1_ball(1.0)(x), [0.6 + 0.8j, 0], atol=1e-6)
    np.testing.assert_allclose(gd.projections.l2_ball(1.0)(x), x / jnp.linalg.norm(x), rtol=1e-6)


def test_projected_descent_finds_the_nearest_point_of_the_simplex():
    target, params = jnp.array([0.9, 0.5, -3.0]), jnp.zeros(3)
    node = gd.project(gd.sgd(0.3), gd.projections.simplex())
    state = node.init(params)
    for _ in range(50):
        updates, state = node.update(params - target, state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, [0.7, 0.3, 0], atol=1e-5)


def test_where_the_set_does_nothing_an_update_keeps_its_bits_and_masked_leaves_are_no_part_of_the_point():
    params = {"w": jnp.array([1000.0, 1.0]), "b": jnp.array([-3.0])}
    grads = {"w": jnp.array([1e-6, 1e-6]), "b": jnp.array([1.0])}
    free = gd.sgd(0.1)
    node = gd.project(free, gd.projections.box(0.0, None), mask={"w": True, "b": False})
    updates, _ = node.update(grads, node.init(params), params)
    chex.assert_trees_all_equal(updates, free.update(grads, free.init(params), params)[0])
    updates, _ = node.replace(mask=None).update(grads, node.init(params), params)
    np.testing.assert_array_equal(updates["b"], [3.0])


# Smaller updates


def test_cautious_steps_keep_what_agrees_and_lengthen_it():
    params = jnp.zeros(4)
    first, second = jnp.array([1.0, 1.0, 1.0, 1.0]), jnp.array([1.0, -0.1, -0.1, -0.1])
    node, plain = gd.cautious(gd.sgd(0.1, momentum=0.9)), gd.sgd(0.1, momentum=0.9)
    updates, state = node.update(first, node.init(params), params)
    np.testing.assert_allclose(updates, -0.1 * first)
    updates, _ = node.update(second, state, params)
    free, _ = plain.update(second, plain.update(first, plain.init(params), params)[1], params)
    np.testing.assert_allclose(updates, free * jnp.array([4, 0, 0, 0]), rtol=1e-6)
    updates, _ = node.update(-first, state._replace(slots={"trace": 5 * first}), params)
    np.testing.assert_array_equal(updates, 0 * params)


def test_cautious_steps_do_not_underflow():
    grads = jnp.full(2, 1e-30)
    node = gd.cautious(gd.sgd(1e-5))
    np.testing.assert_allclose(node.update(grads, node.init(grads), grads)[0], -1e-35, rtol=1e-5, atol=0)


def test_a_stable_step_is_stable_adamw_where_the_two_have_the_same_ratio():
    """b1 = 0: a jump of the gradient from 1 to 100 gives Adam a step of RMS r, here r / max(1, r) of it."""
    params = jnp.zeros(3)
    adam, node = gd.adam(0.1, b1=0.0), gd.stable(gd.adam(0.1, b1=0.0))
    state, plain = node.init(params), adam.init(params)
    for g in (jnp.ones(3), jnp.full(3, 100.0)):
        updates, state = node.update(g, state, params)
        free, plain = adam.update(g, plain, params)
    ratio = jnp.sqrt(jnp.mean((free / 0.1) ** 2))
    assert ratio > 1.3
    np.testing.assert_allclose(updates, free / ratio, rtol=1e-5)
    rest = gd.stable(gd.adam(gd.schedules.linear(0.0, 1.0, 10)))
    np.testing.assert_array_equal(rest.update(params + 1, rest.init(params), params)[0], 0 * params)
    with pytest.raises(ValueError, match="stable: inner must have a learning rate"):
        gd.stable(optax.sgd(0.1))


def hidden(inner):
    """A wrapper whose state has no field for that of the inner optimizer."""
    return lambda params: (inner.init(params),), lambda g, state, params=None: (g, state)


BEHIND = {
    "masked": lambda inner: gd.masked(inner, True),
    "flatten": lambda inner: gd.flatten(gd.average(inner, 0.9)),
    "conditionally_mask": lambda inner: gd.conditionally_mask(inner, lambda step: step >= 0),
    "conditionally_transform": lambda inner: gd.conditionally_transform(inner, lambda step: step >= 0),
    "selective_transform": lambda inner: gd.selective_transform(inner, freeze_mask=False),
    "split_real_and_imaginary": gd.split_real_and_imaginary,
    "deep": lambda inner: gd.average(gd.chain(gd.clip(1e6), gd.masked(gd.flatten(inner), True)), 0.9),
    "MultiSteps": lambda inner: gd.MultiSteps(inner, 1),
}


@pytest.mark.parametrize("name", BEHIND)
def test_a_schedule_behind_wrappers_of_optax_scales_decay_and_clipping(name):
    """The rates are 0.3 and 0.2: at a zero gradient the decay alone is left, at a long one the rate."""
    inner, params = BEHIND[name](gd.sgd(gd.schedules.linear(0.3, 0.1, 2))), jnp.array([2.0, -4.0])
    decayed, clipped = gd.decay_weights(inner, 0.25), gd.stable(inner)
    states = decayed.init(params), clipped.init(params)
    for rate in (0.3, 0.2):
        assert float(decayed.learning_rate_at(states[0])) == pytest.approx(rate)
        assert float(clipped.learning_rate_at(states[1])) == pytest.approx(rate)
        decay, first = decayed.update(0 * params, states[0], params)
        clip, second = clipped.update(jnp.array([500.0, -500.0]), states[1], params)
        np.testing.assert_allclose(decay, -rate * 0.25 * np.array([2.0, -4.0]), rtol=1e-5)
        np.testing.assert_allclose(clip, [-rate, rate], rtol=1e-5)
        states = first, second


def test_what_selective_transform_freezes_does_not_decay():
    node = gd.decay_weights(gd.selective_transform(gd.sgd(0.5), freeze_mask={"a": True, "b": False}), 0.2)
    params = {"a": jnp.ones(1), "b": jnp.ones(1)}
    updates, _ = node.update(jax.tree.map(jnp.zeros_like, params), node.init(params), params)
    chex.assert_trees_all_close(updates, {"a": jnp.zeros(1), "b": jnp.array([-0.1])})


@pytest.mark.parametrize("around", [lambda inner: gd.decay_weights(inner, 0.1), gd.stable], ids=["decay", "stable"])
def test_a_rate_that_the_state_does_not_show_is_an_error_and_not_none(around):
    node, params = around(gd.optimizer(hidden)(gd.sgd(gd.schedules.linear(0.3, 0.1, 2)))), jnp.ones(2)
    with pytest.raises(ValueError, match=r"(decay_weights|stable): inner must have a learning rate in each state"):
        node.update(params, node.init(params), params)


def test_a_run_counts_the_batches_of_every_accumulation():
    node = gd.chain(gd.clip(1.0), gd.MultiSteps(gd.average(gd.accumulate(gd.sgd(0.1), 4)), 3))
    assert _batches_per_update(node) == 12
    assert _batches_per_update(gd.accumulate(node, lambda step: 2)) == 12 and _batches_per_update(gd.sgd(0.1)) == 1
