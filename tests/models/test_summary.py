"""What `summary` says of a model's work, against hand counts and what XLA says of the compiled step."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import gdjax as gd
from gdjax import losses
from gdjax.models import cnn, dense, mlp, summary, transformer
from gdjax.models._operations import count_operations

X, W = jnp.ones((4, 9, 8, 6)), jnp.ones((3, 2, 3, 10))


def convolution(x, w):
    names = lax.conv_dimension_numbers(x.shape, w.shape, ("NHWC", "HWIO", "NHWC"))
    return lax.conv_general_dilated(x, w, (2, 1), "VALID", None, (1, 2), names, feature_group_count=2)


PROGRAMS = {  # program, its inputs, kind -> operations
    "product": (lambda a, b: jnp.einsum("bij,bjk->bik", a, b), ((5, 2, 3), (5, 3, 4)), {"products": 2 * 5 * 2 * 3 * 4}),
    "convolution": (convolution, (X.shape, W.shape), {"products": 2 * (4 * 4 * 6 * 10) * (3 * 2 * 3)}),
    "elementwise": (lambda a, b: a * b + a, ((5, 6), (5, 6)), {"elementwise": 60}),
    "moves": (lambda a: jnp.pad(a.T.reshape(3, 10), 1)[::2], ((5, 6),), {}),
    "sum": (lambda a: jnp.sum(a, axis=0), ((5, 6),), {"reductions": 30}),
    "pooling": (lambda a: lax.reduce_window(a, 0.0, lax.add, (2, 3), (1, 1), "VALID"), ((5, 6),), {"reductions": 96}),
    "scatter": (lambda a: a.at[1:4].add(1.0), ((5, 6),), {"reductions": 18}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_are_counted_by_their_formulas(name):
    program, shapes, expected = PROGRAMS[name]
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    assert dict(+count_operations(jax.make_jaxpr(program)(*inputs))) == expected
    said = jax.jit(program).lower(*inputs).cost_analysis()["flops"]
    assert said == pytest.approx(sum(expected.values()), rel=0.21, abs=1)  # n numbers have n - 1 additions


def test_loops_and_branches_are_counted_as_they_run():
    def program(w, x):
        unused = jnp.exp(w @ w)
        del unused
        x = lax.scan(lambda x, _: (jax.jit(lambda x: x @ w)(x), None), x, length=7)[0]
        return lax.cond(x[0] > 0, lambda x: x @ w @ w, lambda x: x @ w, x)

    counted = count_operations(jax.make_jaxpr(program)(jnp.ones((3, 3)), jnp.ones(3)))
    assert counted["products"] == (7 + 2) * 18 and counted["elementwise"] == 1


def test_a_network_is_shown_layer_by_layer():
    found = summary(mlp((3, 4, 2)), jnp.ones((5, 3)))
    assert [tuple(layer) for layer in found.layers] == [
        ("[0]", (5, 4), 16, 2 * 5 * 3 * 4 + 20 + 20),
        ("[1]", (5, 2), 10, 2 * 5 * 4 * 2 + 10),
    ]
    assert found.parameters == summary(mlp((3, 4, 2)).init(jax.random.key(0))).total
    assert found.step["products"] == 2 * 5 * (3 * 4 + 4 * 2) * 2 + 2 * 5 * 4 * 2  # the input has no gradient
    lines = str(found).splitlines()
    assert lines[:2] == ["layer  output  parameters  operations", "[0]    (5, 4)          16         160"]
    assert lines[3].split() == ["total", "26", "250"] and lines[4].startswith("operations of a step ")
    page = found._repr_html_()
    assert "<td>(5, 4)</td>" in page and all(f"<p>{line}</p>" in page for line in lines[4:])
    assert [tuple(layer[:2]) for layer in summary(dense(3, None), jnp.ones((5, 3))).layers] == [("the root", (5,))]


def test_a_model_too_large_for_this_machine_is_only_compiled():
    model = mlp((100_000, 100_000, 10))
    found = summary(model, jax.ShapeDtypeStruct((1, 100_000), jnp.float32), gd.adam(1e-3))
    assert found.memory.parameters == 4 * 10_001_100_010 and found.memory.total > 3 * found.memory.parameters


CLASSES = jnp.zeros(32, int)
NETWORKS = {  # model, x, labels, some of its layers
    "mlp": (mlp((64, 128, 10), dropout=0.1), jnp.ones((32, 64)), CLASSES, {"[0]": (32, 128), "[1]": (32, 10)}),
    "cnn": (
        cnn((12, 12, 1), 10, (16, 32), norm="layer"),
        jnp.ones((32, 12, 12, 1)),
        CLASSES,
        {"[0]": (32, 12, 12, 16), "[1]": (32, 6, 6, 16), "[10]": (32, 10)},
    ),
    "transformer": (
        transformer(65, 32, width=32, layers=1),
        jnp.ones((8, 32), int),
        jnp.zeros((8, 32), int),
        {"['tokens']": (8, 32, 32), "['blocks'][0]['up']": (8, 32, 128), "['head']": (8, 32, 65)},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_operations_and_memory_are_those_of_the_compiled_step(name):
    model, x, labels, layers = NETWORKS[name]
    found = summary(model, x, gd.adam(1e-3))
    assert layers.items() <= {layer.path: layer.shape for layer in found.layers}.items()
    counted = Counter()
    for leaf in summary(jax.eval_shape(model.init, jax.random.key(0))).leaves:
        counted[leaf.path.rpartition("[")[0] or leaf.path] += leaf.count
    assert {layer.path: layer.parameters for layer in found.layers} == counted
    assert sum(layer.operations for layer in found.layers) == sum(found.forward.values())
    step = gd.make_step(gd.per_example(gd.supervised(model, losses.softmax_cross_entropy_with_integer_labels)))
    state = gd.make_state(model.init(jax.random.key(0)), gd.adam(1e-3))
    compiled = jax.jit(step, donate_argnums=0).lower(state, (x, labels)).compile()
    memory, counted = compiled.memory_analysis(), compiled.cost_analysis()
    returned = memory.output_size_in_bytes - memory.alias_size_in_bytes
    taken = memory.argument_size_in_bytes + returned + memory.temp_size_in_bytes
    assert found.memory.total == pytest.approx(taken, rel=0.1)
    operations = counted["flops"] + counted.get("transcendentals", 0)
    assert sum(found.step.values()) == pytest.approx(operations, rel=0.1)


def test_a_summary_of_work_needs_a_model_and_its_input():
    for given in ((mlp((3, 2)),), (np.ones((3, 2)), jnp.ones((5, 3)))):
        with pytest.raises(TypeError, match=r"^summary: write summary\(model, x\) with a batch of inputs"):
            summary(*given)
