"""The birth of the first non-finite value of a step: its phase, operation, rows and leaves, and the line in this file."""

import dataclasses
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gdjax as gd
from gdjax.backprop import replay
from gdjax.backprop.origins import Origins

ROWS = np.array([2.0, 3.0, 1.0], np.float32)
ALL = ("loss", "gradient", "params")
LATER = ("gradient", "params")


class Poisoned(NamedTuple):
    """A step that goes wrong; the line where it does has the comment `# here`, in the function `where`."""

    loss: Any
    params: Any
    batch: Any
    phase: str
    operation: str
    rows: tuple[int, ...] | None
    leaves: tuple[str, ...]
    kind: str = "nan"
    where: Any = None  # the loss, if not given
    optimizer: Any = None
    told: str = ""  # a part of the sentences


def log_of(w, rows):
    scaled = w * rows
    harmless = jnp.where(rows > -5, 0.0, jnp.log(rows - rows))  # -inf, which is never selected
    logs = jnp.log(scaled)  # here
    return jnp.mean(logs + harmless)


def root(w, rows):
    return jnp.mean(jnp.sqrt(w * rows) + jnp.where(rows > -5, 0.0, jnp.log(rows - rows)))  # here


@gd.per_example
def quotient(w, x):
    safe = jnp.where(x == 0, 1.0, jnp.sin(w * x) / (w * x))  # here
    return safe


@gd.per_example
def exponential(params, x, y):
    prediction = jnp.exp(params["w"] @ x)  # here
    return (prediction - y) ** 2


def square(params, x, y):
    return (params["w"] @ x - y + params["b"]) ** 2


def squared(w, rows):
    return jnp.mean((1e-1 * w * rows) ** 2)  # here


def masked(w, shown, x):
    scores = jnp.where(shown, w * x, -jnp.inf)
    return jax.nn.softmax(scores)[0]  # here


def barrier(w, x):
    penalty = jnp.where(x > 2.5, -jnp.inf, w)  # here
    return penalty * x


def fused(w, a, b, c):
    harmless = jnp.where(c < 1e9, 0.0, jnp.log(c * 0))
    return jnp.mean(jnp.sqrt(w * a * b - c) + harmless)  # here


@gd.per_example
def recursion(w, x):
    def body(total, part):
        return jnp.log(total - part), None  # here

    return jax.lax.scan(body, w, x)[0]


@gd.per_example
def descent(w, x):
    def halve(carry):
        return carry[0] + 1, jnp.sqrt(carry[1] - x)  # here

    return w + jax.lax.stop_gradient(jax.lax.while_loop(lambda carry: carry[0] < 4, halve, (0, 9.0))[1])


@jax.custom_vjp
def custom(x):
    return x * x


custom.defvjp(lambda x: (x * x, x), lambda x, slope: (slope * x / (x - x),))


def through(w, x):
    return custom(w * x)  # here


def distance(w, x):
    return jnp.linalg.norm(w - x)  # here


def narrow(w, x):
    return (w * x).astype(jnp.float16).astype(jnp.float32)  # here


def lookup(w, i):
    return jnp.take(w, i) ** 2  # here


@jax.checkpoint
def branch(w, rows):
    return jnp.mean(jax.lax.cond(jnp.min(rows) < 0, lambda x: jnp.log(w * x), lambda x: w * x, rows))  # here


def library(w, rows):
    return jnp.mean(gd.losses.squared_error(w * rows, 0 * rows))  # here


LIMITS = jnp.array([1.0, np.inf, 1.0])


def captured(w, rows):
    return jnp.mean(w * rows * LIMITS)  # here


def two_roots(params, rows):
    first = jnp.sqrt(params["b"] * rows)  # here
    second = jnp.sqrt(params["a"] * rows)
    return jnp.mean(second) + jnp.mean(first)


def overflow(w, x):
    return w * x


class Overflowing(NamedTuple):
    count: Any


def growing():
    """An optimizer whose state overflows, but not its update; another entry of it is infinite from the start."""

    def update(grads, state, params=None):
        grown = state.count * jnp.array([1e30, 1.0])  # here
        return grads, Overflowing(grown)

    return optax.GradientTransformation(lambda params: Overflowing(jnp.array([1e30, jnp.inf])), update)


def dividing():
    """An optimizer whose second update divides by 0."""

    def update(grads, state, params=None):
        factor = 1 / (1 - state.count)  # here
        return jax.tree.map(lambda g: -factor * g, grads), Overflowing(state.count + 1)

    return optax.GradientTransformation(lambda params: Overflowing(jnp.ones(())), update)


LINES = (np.array([[1.0, 2.0], [30.0, 70.0], [0.0, 1.0]], np.float32), np.zeros(3, np.float32))
BAD_ROW = (np.array([[1.0, 2.0], [5.0, np.nan], [np.inf, 1.0]], np.float32), np.zeros(3, np.float32))
WEIGHTS = {"b": 0.0, "w": np.ones(2, np.float32)}
NAMED = ("loss", "gradient['b']", "gradient['w']", "params['b']", "params['w']")

POISONED = {
    "log of a negative": Poisoned(
        log_of, 1.0, ROWS * [1, -1, 1], "forward", "log", (1,), ("loss",), told="log(-3) = nan"
    ),
    "log of 0": Poisoned(log_of, 1.0, ROWS * [1, 1, 0], "forward", "log", (2,), ALL, "-inf"),
    "root at 0": Poisoned(
        root, 1.0, ROWS * [0, 1, 1], "backward", "division", (0,), LATER, "inf", told="in the derivative of a sqrt"
    ),
    "0/0 behind where": Poisoned(
        quotient, 1.0, ROWS * [1, 0, 1], "backward", "division", (1,), LATER, told="0 / 0 = nan, at "
    ),
    "a square": Poisoned(squared, 300.0, ROWS * 1e18, "forward", "power", None, ("loss",), "inf", told="** 2 = inf"),
    "overflow of exp": Poisoned(
        exponential, {"w": np.ones(2)}, LINES, "forward", "exp", (1,), ("loss", "gradient['w']", "params['w']"), "inf"
    ),
    "a bad row": Poisoned(
        gd.per_example(square), WEIGHTS, BAD_ROW, "input", "", (1, 2), NAMED, told="batch[0] held nan"
    ),
    "a parameter": Poisoned(
        gd.per_example(square), {**WEIGHTS, "b": np.nan}, LINES, "input", "", None, NAMED, told="params['b'] held nan"
    ),
    "a constant in softmax": Poisoned(
        gd.per_example(masked),
        np.ones(2, np.float32),
        (np.array([[True, False], [False, False], [True, True]]), np.ones((3, 2), np.float32)),
        *("forward", "difference", (1,), ("loss",), "nan"),
        where=masked,
        told="made of a constant -inf, at ",
    ),
    "a constant": Poisoned(gd.per_example(barrier), 1.0, ROWS, "forward", "constant", (1,), ("loss",), "-inf", barrier),
    "in a scan": Poisoned(
        recursion,
        3.0,
        0.1 * np.array([[1, 1, 1], [1, 20, 1]]),
        "forward",
        "log",
        (1,),
        ALL,
        told="iteration 1 of a scan",
    ),
    "in a while-loop": Poisoned(
        descent, 1.0, ROWS * [1, 1, 0.1], "forward", "sqrt", (1,), ("loss",), told="iteration 1 of a while loop"
    ),
    "a custom derivative": Poisoned(
        gd.per_example(through), 1.0, ROWS, "backward", "division", None, LATER, "inf", through
    ),
    "norm at 0": Poisoned(
        gd.per_example(distance),
        np.zeros(2),
        np.array([[1, 2], [3, 4], [0, 0.0]]),
        *("backward", "division", (2,), LATER, "inf", distance),
        told="0 * inf = nan",
    ),
    "float16": Poisoned(
        gd.per_example(narrow),
        1.0,
        ROWS * [1, 1, 1e5],
        *("forward", "conversion to another dtype", (2,), ("loss",), "inf", narrow),
    ),
    "index out of range": Poisoned(
        gd.per_example(lookup), np.ones(3), np.array([0, 2, 5]), "forward", "lookup", (2,), ("loss",), "nan", lookup
    ),
    "a branch, rematerialized": Poisoned(
        branch, 1.0, ROWS * [1, -1, 1], "forward", "log", (1,), ("loss",), where=branch.__wrapped__
    ),
    "in a library": Poisoned(library, 1.0, ROWS * [1, 1, 1e30], "forward", "product", (2,), ALL, "inf"),
    "a captured array": Poisoned(captured, 1.0, ROWS, "forward", "constant", None, ALL, "inf"),
    "two births": Poisoned(
        two_roots,
        {"a": 1.0, "b": 1.0},
        ROWS * [1, 0, 1],
        *("backward", "division", (1,), ("gradient['a']", "gradient['b']", "params['a']", "params['b']"), "inf"),
    ),
    "the state of the optimizer": Poisoned(
        gd.per_example(overflow), 1.0, ROWS, "update", "product", None, ("opt_state.count",), "inf", growing, growing()
    ),
    "the update": Poisoned(
        gd.per_example(overflow), 1.0, ROWS, "update", "division", None, ("params",), "inf", dividing, dividing()
    ),
}


def marked_line(function):
    function = inspect.unwrap(getattr(function, "loss", function))
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if line.endswith("# here\n"))


@pytest.mark.parametrize("name", POISONED)
def test_poisoned_steps(name):
    case = POISONED[name]
    state = gd.make_state(case.params, case.optimizer or gd.sgd(0.1))._replace(batches=jnp.int32(7))
    birth = replay(gd.make_step(case.loss), state, case.batch)
    found = (birth.step, birth.phase, birth.operation, birth.leaves, birth.kind)
    assert found == (7, case.phase, case.operation, case.leaves, case.kind), str(birth)
    if case.phase == "input":
        assert birth.where is None
    else:
        assert (birth.where.file, birth.where.line) == (__file__, marked_line(case.where or case.loss)), str(birth)
    assert birth.rows == case.rows, str(birth)
    assert case.told in str(birth) and not birth.only_compiled


@pytest.fixture
def optimized():
    """Programs as users compile them, so that a product and a sum are fused into one rounding."""
    was = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", was)


def test_what_only_the_compiled_program_has(optimized):
    a, b = np.random.default_rng(0).normal(size=(2, 400)).astype(np.float32)
    batch = a, b, a * b
    wrong = np.isnan(np.asarray(jax.jit(lambda w, a, b, c: jnp.sqrt(w * a * b - c))(1.0, *batch)))
    if not wrong.any():
        pytest.skip("this processor rounds a product before it is subtracted from")
    birth = replay(gd.make_step(fused), gd.make_state(1.0, gd.sgd(0.1)), batch)
    assert birth.only_compiled and (birth.phase, birth.operation, birth.leaves) == (
        "forward",
        "sqrt",
        ("loss", "params"),
    )
    assert birth.rows == tuple(np.flatnonzero(wrong)) and birth.where.line == marked_line(fused)
    assert "only in the compiled program" in str(birth) and "sqrt, at " in str(birth)


def test_a_row_is_found_in_its_microbatch():
    """Where a value has the rows of a part of the batch only, rows are tried one by one; masked ones do not count."""
    step = gd.make_step(gd.per_example(exponential.loss), microbatches=2)
    x = np.array([[0, 0], [1, 1], [2, 2], [60, 60], [70, 70.0]], np.float32)
    mask = np.array([True, True, True, True, False])
    birth = replay(step, gd.make_state({"w": jnp.ones(2)}, gd.sgd(0.1)), (x, jnp.zeros(5)), mask)
    assert (birth.operation, birth.rows, birth.where.line) == ("exp", (3,), marked_line(exponential)), str(birth)


ROWWISE = {
    "vmap of a product": lambda x: jax.vmap(lambda r: jnp.outer(r, r) @ r)(x),
    "product": lambda x: jnp.ones((4, 3)) @ x.T,
    "products": lambda x: jnp.einsum("bi,jki->jbk", x, jnp.ones((2, 4, 3))),
    "scores": lambda x: jax.nn.softmax(x @ jnp.ones((3, 5)), axis=-1)[:, None],
    "sums": lambda x: jnp.stack([x.T.sum(axis=0), x.max(axis=1)]),
    "spread": lambda x: jnp.broadcast_to(x[:, 0], (2, 6)) + jnp.squeeze(x[:, None, :1]).reshape(6),
    "scan": lambda x: jax.lax.scan(lambda c, column: (c + column, c * column), x[:, 0], x.T)[1],
    "sorted": lambda x: jnp.sort(jnp.concatenate([x, 2 * x], axis=1), axis=1)[:, ::-1],
}


@pytest.mark.parametrize("name", ROWWISE)
def test_the_axis_of_rows(name):
    """A row that is NaN makes NaN exactly the entries at its place along the axis that is told."""
    x = np.linspace(1, 2, 18, dtype=np.float32).reshape(6, 3)
    x[4] = np.nan
    origins = Origins()
    (result,) = origins.walk(jax.make_jaxpr(ROWWISE[name])(x), [origins.input(x, "x", 0)])
    assert result.axis is not None and result.value.shape[result.axis] == 6
    wrong = np.moveaxis(np.isnan(result.value), result.axis, 0)
    assert wrong[4].all() and not np.delete(wrong, 4, axis=0).any()
    assert set(np.unique(result.origin)) == {0, 1}, "nothing is born on the way"


def test_what_is_thrown_away_is_not_blamed():
    """A finite step with infinities behind a `where`, a mask of -inf, and NaN in a row that does not exist, has no birth."""

    def loss(w, shown, x):
        scores = jnp.where(shown, w * x, -jnp.inf)
        return jax.nn.logsumexp(scores) + jnp.where(x[0] > 0, x[0], jnp.log(jax.lax.stop_gradient(x[0])))

    step, state = gd.make_step(gd.per_example(loss)), gd.make_state(jnp.ones(2), gd.adam(0.1))
    x = np.array([[1.0, 2.0], [0.5, 1.0], [np.nan, np.inf]], np.float32)
    batch = (np.array([[True, False], [True, True], [False, False]]), x)
    assert replay(step, state, batch, np.array([True, True, False])) is None
    born = replay(step, state, batch, np.array([True, True, True]))
    assert (born.phase, born.source, born.rows) == ("input", "batch[1]", (2,))


def test_a_constant_that_a_bad_row_has_chosen():
    """NaN written into a loss for arguments out of its domain comes from the row that brought them."""
    x = np.array([[1.0, 2.0], [-np.inf, 0.0], [0.5, 1.0]], np.float32)
    loss = gd.per_example(lambda w, x, y: gd.losses.softmax_cross_entropy_with_integer_labels(w * x, y))
    birth = replay(gd.make_step(loss), gd.make_state(jnp.ones(2), gd.sgd(0.1)), (x, np.array([0, 1, 1])))
    assert (birth.phase, birth.source, birth.kind, birth.rows) == ("input", "batch[0]", "-inf", (1,)), str(birth)


def test_a_skipped_update_is_explained_as_if_it_were_made():
    step, batch = gd.make_step(root), ROWS * [0, 1, 1]
    guarded = gd.make_state(1.0, gd.skip_non_finite(gd.sgd(0.1)))
    assert np.isfinite(step(guarded, batch)[0].params)
    birth, bare = replay(step, guarded, batch), replay(step, gd.make_state(1.0, gd.sgd(0.1)), batch)
    assert (
        birth.skipped and dataclasses.replace(birth, skipped=False) == bare and "the update was skipped" in str(birth)
    )
    assert replay(step, guarded, ROWS) is None


def test_a_batch_on_an_explicit_mesh():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    rows = jax.device_put(ROWS * [1, 1, 0], NamedSharding(mesh, PartitionSpec("data")))
    birth = replay(gd.make_step(root), gd.make_state(1.0, gd.sgd(0.1)), rows)
    assert (birth.phase, birth.rows, birth.where.line) == ("backward", (2,), marked_line(root)), str(birth)


def test_the_run_s_own_program_has_the_last_word():
    """What the program of the run made counts, whatever the step makes if it is compiled alone."""
    step, state = gd.make_step(lambda w, x: jnp.mean(w * x)), gd.make_state(1.0, gd.sgd(0.1))
    after, metrics = step(state, ROWS)
    birth = replay(step, state, ROWS, after=(after, {**metrics, "loss": jnp.float32(np.nan)}))
    assert birth.only_compiled and birth.leaves == ("loss",) and "only in the compiled program" in str(birth)
