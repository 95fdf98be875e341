"""Where gradients go: measured against the same figures computed one by one, for models of three libraries."""

import dataclasses
import functools
import html.parser

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import gdjax as gd
from gdjax import tree
from gdjax.backprop import flow, watch
from gdjax.backprop.layers import activations, find_layers
from gdjax.losses import per_example, softmax_cross_entropy_with_integer_labels, stateful, supervised
from gdjax.models import mlp, normal
from gdjax.plots import layer_flow
from gdjax.training import make_epoch, make_state, make_step

X = jax.random.normal(jax.random.key(1), (12, 4))
Y = jnp.arange(12) % 3


def nightly(*case):
    """One more case of a kind that the others have."""
    return pytest.param(*case, marks=pytest.mark.nightly)


@functools.cache  # one loss for all tests that ask for the same, and so one program
def network(activation="tanh", hidden=(5, 6), scale=None):
    weights = None if scale is None else normal(scale)
    model = mlp((4, *hidden, 3), activation=activation, weights=weights)
    return per_example(supervised(model, softmax_cross_entropy_with_integer_labels)), model.init(jax.random.key(0))


def hidden_values(params, x, function):
    values = []
    for layer in params[:-1]:
        x = function(x @ layer["w"] + layer["b"])
        values.append(np.asarray(x, float))
    return values


def norm(*arrays):
    return np.sqrt(sum(float(jnp.sum(x**2)) for x in arrays))


class TestFlow:
    def test_gradients_and_updates_are_those_of_jax_grad(self):
        loss, params = network()
        seen = flow(loss, params, (X, Y), gd.sgd(0.5))
        grads = jax.jit(jax.grad(lambda p: loss(p, (X, Y))[0]))(params)
        assert [layer.name for layer in seen.layers] == ["[0]", "[1]", "[2]"]
        for i, (g, p) in enumerate(zip(grads, params, strict=True)):
            assert seen.gradient_norm[i] == pytest.approx(norm(g["w"], g["b"]), rel=1e-5)
            assert seen.update_ratio[i] == pytest.approx(0.5 * norm(g["w"], g["b"]) / norm(p["w"], p["b"]), rel=1e-5)

    @pytest.mark.parametrize(
        ("name", "function"),
        [("tanh", jnp.tanh), nightly("sigmoid", jax.nn.sigmoid), nightly("soft_sign", jax.nn.soft_sign)],
    )
    def test_bounded_units(self, name, function):
        loss, params = network("softsign" if name == "soft_sign" else name, (5, 5), scale=2.0)
        seen = flow(loss, params, (X, Y))
        slope = jax.jit(jax.vmap(jax.vmap(jax.grad(function))))
        steepest = slope(jnp.zeros((12, 5)))[0, 0]
        inputs = X
        for i, values in enumerate(hidden_values(params, X, function)):
            z = inputs @ params[i]["w"] + params[i]["b"]
            low = np.mean(slope(z) < 0.05 * steepest)
            assert seen.layers[i].tap.kind == name
            assert seen.activation_mean[i] == pytest.approx(values.mean(), abs=1e-5)
            assert seen.activation_std[i] == pytest.approx(values.std(), rel=1e-4)
            assert seen.saturated[i] == pytest.approx(low) and np.isnan(seen.dead[i])
            inputs = values
        assert 0 < seen.saturated[0] < 1 and np.isnan(seen.saturated[2]) and np.isnan(seen.activation_mean[2])
        assert np.isnan(seen.update_ratio).all()

    def test_dead_units(self):
        loss, params = network("relu")
        b = params[0]["b"].at[:2].set(-100.0)
        seen = flow(loss, ({**params[0], "b": b}, *params[1:]), (X, Y))
        assert seen.dead[0] == pytest.approx(0.4) and seen.dead[1] < 0.4
        assert np.isnan(seen.saturated).all()

    def test_a_rectifier_written_by_hand(self):
        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 3))}
        seen = watch(lambda p, b, key: jnp.mean(jnp.maximum(b @ p["w1"], 0) @ p["w2"]), params, X)
        assert [(layer.name, layer.tap and layer.tap.kind) for layer in seen.layers] == [("1", "relu"), ("2", None)]

    @pytest.mark.parametrize(
        ("written", "kind"),
        [
            (lambda z: jnp.where(z > 0, z, 0), "relu"),
            nightly(lambda z: jnp.clip(z, 0), "relu"),
            nightly(lambda z: jnp.clip(z, 0, None) * 1.0, "relu"),
            nightly(lambda z: z * (z > 0), "relu"),
            (lambda z: (z + jnp.abs(z)) / 2, "relu"),
            nightly(lambda z: jax.jit(lambda t: jnp.where(t <= 0, 0.0, t))(z), "relu"),
            (lambda z: 1 / (1 + jnp.exp(-z)), "sigmoid"),
            nightly(lambda z: (jnp.exp(z) - jnp.exp(-z)) / (jnp.exp(z) + jnp.exp(-z)), "tanh"),
            (lambda z: jnp.clip(z, -1, 1), "hard_tanh"),
            nightly(lambda z: z / (1 + jnp.abs(z)), "soft_sign"),
            nightly(lambda z: 1.7 * jnp.tanh(2 * z / 3), "tanh"),
            nightly(lambda z: z * jax.nn.sigmoid(z), "silu"),
            nightly(lambda z: jnp.where(z > 0, z, jnp.exp(z) - 1), "elu"),
            (lambda z: jnp.maximum(z, 0.01 * z), "leaky_relu"),
            (lambda z: z * jax.nn.sigmoid(1.7 * z), None),
            nightly(lambda z: z + jnp.tanh(z), None),
            nightly(lambda z: jnp.maximum(z, 0) + 0.3 * jnp.minimum(z, 0), None),
            nightly(lambda z: jnp.where(z > 0, z, 0.2 * z), None),
            nightly(lambda z: z**2 - 1, None),
        ],
    )
    def test_a_unit_is_told_by_its_values_not_by_its_words(self, written, kind):
        """However it is written; a sigmoid that multiplies its own input, or a rectifier that leaks, is neither."""
        params = {"w1": jax.random.normal(jax.random.key(0), (4, 5)), "b1": jnp.array([-30.0, 30.0, 0, 0, 0])}
        params["w2"] = jnp.ones((5, 3))
        z = X @ params["w1"] + params["b1"]
        seen = flow(lambda p, b, key: jnp.mean(jnp.sin(written(b @ p["w1"] + p["b1"]) @ p["w2"])), params, X)
        tap = seen.layers[0].tap
        assert (tap and tap.kind) == kind and seen.layers[1].tap is None
        middle = jnp.linspace(-0.1, 0.1, 5)
        slope, near_zero = jnp.split(jax.jit(jax.vmap(jax.vmap(jax.grad(written))))(jnp.vstack([z, middle])), [len(z)])
        if kind in ("relu", "relu6"):
            assert (
                seen.dead[0] == pytest.approx(float(np.mean(np.all(np.asarray(slope) == 0, axis=0))))
                and seen.dead[0] >= 0.2
            )
        elif kind in ("sigmoid", "tanh", "hard_tanh", "soft_sign"):
            low = np.mean(np.asarray(slope < 0.05 * near_zero.max()))
            assert seen.saturated[0] == pytest.approx(float(low), abs=0.02)
            assert seen.saturated[0] >= 0.3
        else:
            assert np.isnan(seen.saturated[0]) and np.isnan(seen.dead[0])

    def test_a_gate_with_a_parameter_is_no_unit(self):
        params = {"w1": jnp.ones((4, 5)), "beta": jnp.full((5,), 9.0), "w2": jnp.ones((5, 3))}

        def loss(p, b, key):
            z = b @ p["w1"]
            return jnp.mean(z * jax.nn.sigmoid(p["beta"] * z) @ p["w2"])

        assert np.isnan(flow(loss, params, X).saturated).all()

    def test_the_loss_is_no_layer(self):
        """Its logarithms and rectifiers are not the units of the last layer; a bounded output is."""
        params = {"w1": jnp.ones((4, 1))}
        kinds = []
        for f in (
            lambda z: jnp.maximum(1 - z, 0),
            jax.nn.softplus,
            lambda z: -jax.nn.log_sigmoid(z),
            lambda z: (jax.nn.sigmoid(z) - 1) ** 2,
        ):
            (layer,) = watch(lambda p, b, key, f=f: jnp.mean(f(b @ p["w1"])), params, X).layers
            kinds.append(layer.tap and layer.tap.kind)
        assert kinds == [None, None, None, "sigmoid"]

    def test_the_gate_of_a_gelu_is_no_tanh(self):
        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 3))}
        seen = watch(lambda p, b, key: jnp.mean(jax.nn.gelu(b @ p["w1"]) @ p["w2"]), params, X)
        assert seen.layers[0].tap is None

    def test_one_array_is_one_layer(self):
        (layer,) = flow(lambda p, b, key: jnp.mean(b @ p), jnp.ones(4), X).layers
        assert layer == ("parameters", (0,), None)

    def test_no_layer_and_an_unused_one(self):
        params = {"w1": jnp.ones((4, 3)), "w9": jnp.ones(3), "n1": jnp.arange(3)}
        seen = flow(lambda p, b, key: jnp.mean(b @ p["w1"]), params, X)
        assert [layer.name for layer in seen.layers] == ["1", "9"] and seen.gradient_norm[1] == 0
        assert "layer 2 receives no gradient" in str(seen)

    def test_a_table_for_people_and_for_notebooks(self):
        loss, params = network()
        seen = flow(loss, params, (X, Y))
        assert str(seen).splitlines()[0].split()[:3] == ["layer", "place", "units"] and "dead" not in str(seen)
        assert "<td>tanh</td>" in seen._repr_html_() and "gradients reach all layers" in seen._repr_html_()


class TestOtherLibraries:
    def test_layers_are_in_the_order_of_the_data_not_of_their_names(self):
        class Deep(nn.Module):
            @nn.compact
            def __call__(self, x):
                for _ in range(11):
                    x = nn.relu(nn.Dense(3)(x))
                return nn.Dense(1)(x)

        model = Deep()
        params = model.init(jax.random.key(0), X)
        layers = find_layers(lambda p, x: jnp.mean(model.apply(p, x) ** 2), params, X)
        assert [layer.name for layer in layers] == [f"['params']['Dense_{i}']" for i in range(12)]
        assert [layer.tap.index if layer.tap else None for layer in layers] == [*range(11), None]

    @pytest.mark.parametrize("width", [nightly(5), 12])  # 12 rows: the shape alone cannot tell rows from units
    def test_rows_are_found_where_vmap_puts_them(self, width):
        """Equinox multiplies w @ x for one example; under vmap the rows may be any axis."""
        module = eqx.nn.MLP(4, 3, width, 1, key=jax.random.key(0))
        dead = module.layers[0].bias.at[0].set(-100.0)
        module = eqx.tree_at(lambda m: m.layers[0].bias, module, dead)
        seen = flow(lambda m, batch, key: jnp.mean(jax.vmap(m)(batch[0]) ** 2), module, (X, Y))
        rows = np.asarray(jax.nn.relu(X @ module.layers[0].weight.T + dead))
        assert seen.layers[0].name == ".layers[0]"
        assert seen.dead[0] == pytest.approx((rows == 0).all(0).mean()) and seen.dead[0] >= 1 / width

        def column_form(params, batch, key):
            hidden = jax.nn.relu(params["w1"] @ batch[0].T)
            return jnp.mean((params["w2"] @ hidden) ** 2)

        params = {"w1": module.layers[0].weight, "w2": module.layers[1].weight}
        assert watch(column_form, params, (X, Y)).layers[0].tap.rows == 1

    def test_casts_and_masks_on_weights_hide_no_layer(self):
        def loss(params, batch, key):
            low = jax.tree.map(lambda p: p.astype(jnp.bfloat16) * 0.5, params)
            return jnp.mean(jnp.tanh(batch.astype(jnp.bfloat16) @ low["w2"]) @ low["w1"])

        params = {"w1": jnp.ones((5, 3)), "w2": jnp.ones((4, 5))}
        seen = flow(loss, params, X)
        assert [(layer.name, layer.tap and layer.tap.kind) for layer in seen.layers] == [("2", "tanh"), ("1", None)]

    def test_weighted_examples_and_pruned_weights_hide_no_layer(self):
        """The weight of an example switches every parameter; a mask of weights is a constant of the weights' shape."""
        model = mlp((4, 5, 6, 3), activation="relu")
        weighted = per_example(
            supervised(model, softmax_cross_entropy_with_integer_labels), weight=lambda example: example[0][0] ** 2
        )
        params = model.init(jax.random.key(0))
        masks = jax.tree.map(lambda p: jnp.asarray(np.random.default_rng(0).integers(0, 2, p.shape)), params)
        plain, _ = network("relu")
        pruned = lambda p, batch, key: plain(jax.tree.map(jnp.multiply, p, masks), batch, key)  # noqa: E731
        for loss in (weighted, pruned):
            layers = watch(loss, params, (X, Y)).layers
            assert [(layer.name, layer.tap and layer.tap.index) for layer in layers] == [
                ("[0]", 0),
                ("[1]", 1),
                ("[2]", None),
            ]

    def test_data_captured_as_a_constant_is_no_mask(self):
        params = {"w2": jnp.ones((4, 4)), "w1": jnp.ones((4, 4))}
        data = jnp.eye(4)
        seen = watch(lambda p, b, key: jnp.mean(b @ (jnp.tanh(data @ p["w2"]) @ p["w1"])), params, X)
        assert [layer.name for layer in seen.layers] == ["2", "1"]

    @pytest.mark.parametrize("norm", [nn.LayerNorm, lambda: nn.BatchNorm(use_running_average=False)])
    def test_the_variance_of_a_normalization_is_no_rectifier(self, norm):
        class WithNorm(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = norm()(nn.relu(nn.Dense(7)(x)))
                return nn.Dense(1)(x)

        model = WithNorm()
        params = model.init(jax.random.key(0), X)["params"]
        bias = jnp.where(jnp.arange(7) < 2, -100.0, 0.0)
        params = {**params, "Dense_0": {**params["Dense_0"], "bias": bias}}

        def loss(p, batch, key):
            return jnp.mean(model.apply({"params": p}, batch, mutable=["batch_stats"])[0] ** 2)

        seen = flow(loss, params, X)
        kinds = [(layer.name[2:7], layer.tap and layer.tap.kind) for layer in seen.layers]
        assert [kind for _, kind in kinds] == ["relu", None, None] and kinds[0][0] == "Dense"
        assert 2 / 7 <= seen.dead[0] < 0.8

    def test_functions_of_parameters_alone_are_no_units(self):
        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 3)), "scale3": jnp.ones(())}

        def loss(p, batch, key):
            hidden = jnp.tanh(batch @ p["w1"])
            return jnp.mean((hidden @ jax.nn.softplus(p["w2"])) * jax.nn.sigmoid(p["scale3"]))

        kinds = [layer.tap and layer.tap.kind for layer in watch(loss, params, X).layers]
        assert kinds == ["tanh", None, None]

    def test_a_variable_of_nnx_is_no_layer(self):
        class Two(nnx.Module):
            def __init__(self, rngs):
                self.a, self.b = nnx.Linear(4, 5, rngs=rngs), nnx.Linear(5, 3, rngs=rngs)

        graph, state = nnx.split(Two(nnx.Rngs(0)))

        def loss(state, batch, key):
            module = nnx.merge(graph, state)
            return jnp.mean(module.b(nnx.relu(module.a(batch))))

        layers = flow(loss, state, X).layers
        assert [(len(layer.leaves), layer.tap and layer.tap.kind) for layer in layers] == [(2, "relu"), (2, None)]

    def test_a_loss_for_one_size_of_batch(self):
        def loss(params, batch, key):
            hidden = jax.nn.relu(params["w1"] @ batch.reshape(12, 4).T)
            return jnp.mean((params["w2"] @ hidden).T * jnp.ones((12, 3)))

        params = {"w1": jnp.ones((5, 4)), "w2": jnp.ones((3, 5))}
        assert flow(loss, params, X).layers[0].tap.rows == 1

    def test_every_place_of_a_feature_map_is_a_unit(self):
        """Channels first: a channel that is 0 everywhere is dead at each of its places."""
        images = jax.random.normal(jax.random.key(3), (6, 2, 5, 5))
        conv = eqx.nn.Conv2d(2, 3, 3, key=jax.random.key(0))
        conv = eqx.tree_at(lambda c: c.bias, conv, conv.bias.at[0].set(-100.0))
        params = {"1": {"w": conv.weight, "b": conv.bias}, "2": {"w": jnp.ones(27)}}

        def loss(p, batch, key):
            layer = eqx.tree_at(lambda c: (c.weight, c.bias), conv, (p["1"]["w"], p["1"]["b"]))
            return jnp.mean(jax.nn.relu(jax.vmap(layer)(batch)).reshape(6, -1) @ p["2"]["w"])

        assert 1 / 3 <= flow(loss, params, images).dead[0] < 0.5

    def test_functions_with_a_derivative_of_their_own_are_looked_into(self):
        @jax.custom_vjp
        def layer(w, x):
            return jnp.tanh(x @ w)

        layer.defvjp(lambda w, x: (layer(w, x), (w, x)), lambda kept, d: (kept[1].T @ d, d @ kept[0].T))
        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 3))}
        seen = watch(lambda p, b, key: jnp.mean(jax.jit(layer)(p["w1"], b) @ p["w2"]), params, X)
        assert seen.layers[0].tap.kind == "tanh"

    def test_activations_are_the_values(self):
        _, params = network()
        apply = mlp((4, 5, 6, 3), activation="tanh").apply
        found = activations(apply, params, X)
        for (_, got), expected in zip(found, hidden_values(params, X, jnp.tanh), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)


class TestWatch:
    def test_a_run_carries_what_single_looks_see(self):
        """Steps 0, 3, 6, ...: the history has the mean of an epoch's looks, and training is not touched by them."""
        loss, params = network()
        watching = watch(loss, params, (X, Y), every=3)
        optimizer = gd.adam(0.01)
        options = {"epochs": 3, "batch_size": 4, "order": "sequence"}
        with_flow = gd.fit(make_step(loss, probes=watching), params, optimizer, (X, Y), **options)
        without = gd.fit(loss, params, optimizer, (X, Y), **options)
        for a, b in zip(*(jax.tree.leaves(r.last.params) for r in (with_flow, without)), strict=True):
            np.testing.assert_array_equal(a, b)
        seen = watching.read(with_flow.history)
        assert seen.gradient_norm.shape == (3, 3) and np.isnan(seen.dead).all()
        first = flow(loss, params, (X[:4], Y[:4]), optimizer)
        np.testing.assert_allclose(seen.gradient_norm[0], first.gradient_norm, rtol=1e-5)
        np.testing.assert_allclose(seen.update_ratio[0], first.update_ratio, rtol=1e-5)
        np.testing.assert_allclose(seen.saturated[0], first.saturated, rtol=1e-5)
        assert str(seen) == str(seen.last) and seen.last.gradient_norm.shape == (3,)

    def test_epochs_without_a_look_are_nan_and_the_mean_is_over_looks(self):
        loss, params = network()
        watching = watch(loss, params, (X, Y), every=6)
        step = make_step(loss, probes=watching)
        epoch = jax.jit(make_epoch(step, 4, order="sequence"))
        state, metrics = epoch(make_state(params, gd.sgd(0.0)), (X, Y))
        assert np.isfinite(metrics["flow_gradient_norm"]).all()
        state, metrics = epoch(state, (X, Y))
        assert np.isnan(metrics["flow_gradient_norm"]).all() and np.isfinite(metrics["loss"])
        history = {name: np.stack([np.asarray(value)] * 2) for name, value in metrics.items()}
        assert np.isnan(watching.read(history).last.gradient_norm).all()

    def test_masked_rows_do_not_count(self):
        """12 rows in batches of 8: the second batch is half padding."""
        loss, params = network("relu")
        watching = watch(loss, params, (X, Y), every=1)
        state = make_state(params, gd.sgd(0.0))
        mask = jnp.arange(12) < 7
        _, metrics = jax.jit(make_step(loss, probes=watching))(state, (X.at[7:].set(1e3), Y), mask)
        expected = flow(loss, params, (X[:7], Y[:7]))
        for name in ("gradient_norm", "activation_mean", "activation_std", "dead"):
            got, taken = metrics[f"flow_{name}"]
            assert taken == 1
            np.testing.assert_allclose(got, getattr(expected, name), rtol=1e-4, atol=1e-6, err_msg=name)

    def test_no_second_program_and_equal_by_value(self):
        loss, params = network()
        one, two = (watch(loss, params, (X, Y), every=2) for _ in range(2))
        assert one == two and hash(one) == hash(two) and make_step(loss, probes=one) == make_step(loss, probes=two)
        assert one != dataclasses.replace(one, every=3)

    def test_a_loss_with_a_state(self):
        @stateful
        def loss(params, state, batch, key):
            value = jnp.mean(jnp.tanh(batch @ params["w1"]) @ params["w2"])
            return value, {}, {"seen": state["seen"] + 1}

        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 3))}
        watching = watch(loss, params, X, every=1, model_state={"seen": 0})
        result = gd.fit(make_step(loss, probes=watching), params, gd.sgd(0.1), X, epochs=2, model_state={"seen": 0})
        assert np.isfinite(watching.read(result.history).gradient_norm).all()
        assert flow(loss, params, X, model_state={"seen": 0}).layers == watching.layers

    @pytest.mark.parametrize(
        "optimizer", [gd.freeze(gd.sgd(0.1), r"^0\."), nightly(gd.partition({r"^0\.": None, r"^[12]\.": gd.sgd(0.1)}))]
    )
    def test_frozen_layers_stay_out_of_the_backward_pass(self, optimizer):
        """The gradient of layer 1 is neither shown nor computed: its product with the inputs is in no program."""
        loss, params = network()
        watching = watch(loss, params, (X, Y), every=1)
        state = make_state(params, optimizer)
        stepping = jax.jit(make_step(loss, probes=watching))
        _, metrics = stepping(state, (X, Y))
        norms = metrics["flow_gradient_norm"].value
        assert np.isnan(norms[0]) and np.isfinite(norms[1:]).all()
        assert "gradients reach all layers" in watching.read(metrics).diagnosis()[0]

        def products(state):
            return stepping.lower(state, (X, Y)).compile().as_text().count(" dot(")

        assert products(state) < products(make_state(params, gd.sgd(0.1)))

    def test_several_rows_of_one_example_are_masked_together(self):
        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 1))}

        def loss(p, batch, key, mask=None):
            return jnp.mean(jnp.tanh(batch.reshape(-1, 4) @ p["w1"]) @ p["w2"]), {}

        watching = watch(loss, params, jnp.ones((6, 3, 4)), every=1)
        batch = jnp.where((jnp.arange(6) < 4)[:, None, None], 0.1, 100.0) * jnp.ones((6, 3, 4))
        state = make_state(params, gd.sgd(0.0))
        grads = jax.tree.map(jnp.zeros_like, params)
        seen = watching(state, lambda p: loss(p, batch, None), grads, grads, jnp.arange(6) < 4)
        assert seen["flow_activation_mean"].value[0] == pytest.approx(np.tanh(0.4))

    def test_another_computation_than_laid_out_is_refused(self):
        loss, params = network("tanh", (5,))
        other, _ = network("relu", (5,))
        watching = watch(loss, params, (X, Y), every=1)
        with pytest.raises(ValueError, match="must compute what it was laid out for"):
            make_step(other, probes=watching)(make_state(params, gd.sgd(0.1)), (X, Y))

    def test_mistakes(self):
        loss, params = network()
        with pytest.raises(ValueError, match=r"watch: every must be at least 1, got 0"):
            watch(loss, params, (X, Y), every=0)
        with pytest.raises(ValueError, match=r"history must come from a step with this watch"):
            watch(loss, params, (X, Y)).read({"loss": np.zeros(2)})


SEARCHED = gd.line_search(gd.sgd(1.0), gd.backtracking())  # asks for value, gradient and loss


@pytest.mark.parametrize("optimizer", [SEARCHED, nightly(gd.sam(gd.sgd(0.1), rho=0.05)), optax.sgd(0.1)])
def test_the_first_update_of_any_optimizer(optimizer):
    loss, params = network(hidden=(5,))
    assert (flow(loss, params, (X, Y), optimizer).update_ratio > 0).all()


class TestDiagnosis:
    def diagnosis(self, activation, scale=None, hidden=(8,) * 4, params=None, optimizer=None):
        loss, drawn = network(activation, hidden, scale)
        return " ".join(flow(loss, drawn if params is None else params(drawn), (X, Y), optimizer).diagnosis())

    def test_each_illness_has_its_words(self):
        assert "a sigmoid passes on at most 0.25" in self.diagnosis("sigmoid")
        assert "saturating activation" in self.diagnosis("sigmoid", params=lambda p: jax.tree.map(lambda x: x + 3.0, p))
        assert "of its units are saturated" in self.diagnosis("tanh", 50.0, (8,))
        assert "the weights are too small" in self.diagnosis("tanh", 0.02, (8,) * 7)
        assert "the weights are large" in self.diagnosis("sin", 8.0, (8,) * 3)
        assert "gradients reach all layers" in self.diagnosis("relu", hidden=(8, 8))

    def test_dead_units_cut_the_gradient(self):
        said = self.diagnosis("relu", hidden=(8, 8), params=lambda p: ({**p[0], "b": p[0]["b"] - 100}, *p[1:]))
        assert "layer 1 receives no gradient at all: dead relu units" in said
        assert "layer 1: 100 % of its units are dead" in said

    def test_a_layer_in_the_middle_that_nothing_reaches(self):
        params = {"w1": jnp.ones((4, 5)), "w2": jnp.ones((5, 5)), "w3": jnp.ones((5, 1))}

        def loss(p, batch, key):
            hidden = jnp.tanh(batch @ p["w1"])
            return jnp.mean((hidden + jax.lax.stop_gradient(hidden @ p["w2"])) @ p["w3"])

        said = flow(loss, params, X).diagnosis()
        assert said[0].startswith("layer 2 receives no gradient at all")

    def test_steps_that_are_too_large_or_too_small(self):
        assert "layer 1: one step moves it by" in self.diagnosis("relu", hidden=(4,), optimizer=gd.sgd(100.0))
        assert "it hardly learns" in self.diagnosis("relu", hidden=(4,), optimizer=gd.sgd(1e-9))

    def test_what_starts_at_zero_is_no_large_step(self):
        loss, params = network("relu", (4,))
        zero = (*params[:-1], jax.tree.map(jnp.zeros_like, params[-1]))
        seen = flow(loss, zero, (X, Y), gd.sgd(0.01))
        assert np.isnan(seen.update_ratio[-1]) and "one step moves" not in str(seen)

    def test_what_is_not_finite(self):
        assert "is not finite" in self.diagnosis(
            "relu", hidden=(4,), params=lambda p: jax.tree.map(lambda x: x * jnp.nan, p)
        )


def test_pictures_of_a_look_and_of_a_run():
    loss, params = network()
    look = layer_flow(flow(loss, params, (X, Y)), "one look")
    labels = [axes.get_ylabel().split("\n")[0] for axes in look.axes]
    assert labels == ["|gradient|", "activation", "saturated"]  # no optimizer, no relu
    watching = watch(loss, params, (X, Y), every=1)
    result = gd.fit(make_step(loss, probes=watching), params, gd.adam(0.01), (X, Y), epochs=4, order="sequence")
    nothing = watching.read({name: values[:0] for name, values in result.history.items()})
    assert "no step was looked at" in nothing.diagnosis()[0]
    assert len(layer_flow(nothing).axes) == 1 and np.isnan(nothing.last.gradient_norm).all()
    run = layer_flow(watching.read(result.history), "a run", result.history["epoch"])
    lines = run.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["layer 1", "layer 2", "layer 3"]
    np.testing.assert_allclose(lines[2].get_ydata(), result.history["flow_gradient_norm"][:, 2])
    assert run.axes[-1].get_xlabel() == "epoch"


def test_parameters_of_a_foreign_library_stay_whole():
    module = eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(0))
    layers = find_layers(lambda m, x: jnp.mean(jax.vmap(tree.whole(m))(x)), tree.part(module), X)
    assert [len(layer.leaves) for layer in layers] == [2, 2]


class Rendered(html.parser.HTMLParser):
    """The cells of a table, row by row, and the lines below it."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.lines, self.inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_data(self, data):
        if self.inside in ("td", "th"):
            self.cells[-1][-1] += data
        if self.inside == "p":
            self.lines.append(data)


def test_what_is_printed_as_a_table_is_one_in_a_notebook():
    loss, params = network()
    result = gd.fit(loss, params, gd.sgd(0.1), (X, Y), epochs=1, order="sequence")
    found = gd.minimize(lambda x: (x - 2) ** 2, 1.0, gd.sgd(0.1), max_steps=5)
    checked = gd.backprop.check_gradients(lambda x: jnp.sum(x**2), jnp.ones(2))
    by_hand = gd.backprop.table(
        [{"w": jnp.ones((2, 2)), "b": jnp.ones(2)}], jnp.ones((1, 2)), jnp.eye(2)[:1], ("softmax",)
    )
    drawn = gd.backprop.graph(lambda x, y: x * y + jnp.sin(x), 2.0, 3.0)
    for shown in (result, found, checked, by_hand, drawn, flow(loss, params, (X, Y)), gd.summary(params)):
        page = Rendered(shown._repr_html_())
        assert "<pre>" not in shown._repr_html_() and len(page.cells) >= 2 and len(page.cells[0]) >= 4
        assert len({len(row) for row in page.cells}) == 1
        assert all(cell in str(shown) for row in page.cells[1:] for cell in row), "it says what is printed"
        assert all(line in str(shown) for line in page.lines)
    page = drawn._repr_html_()
    assert 0 < page.index("<svg") < page.index("</svg>") < page.index("<table>"), "the picture above the table"
    with_key = gd.backprop.graph(lambda x: x * jax.random.normal(jax.random.key(0)), 2.0)
    for odd in (
        with_key,
        gd.backprop.graph(jnp.sum, jnp.zeros(0)),
        gd.backprop.graph(jnp.sum, jnp.full((2, 3), jnp.inf)),
    ):
        assert "<svg" in odd._repr_html_() and "<td>" in odd._repr_html_()
    assert "a random key" in str(with_key)
    total = gd.summary(params)
    assert Rendered(total._repr_html_()).cells[-1] == ["total", "", "", f"{total.total:,}", f"{total.bytes:,}"]
    assert len(result.plot().axes) == 2, "loss and rate"
