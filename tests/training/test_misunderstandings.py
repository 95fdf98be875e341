"""What is usually handed in by mistake works, or is told in one sentence what to write."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import losses, metrics, models, stopping
from gdjax.data import Dataset

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
W = np.zeros(3, np.float32)
MODEL = models.mlp((3, 2))
NAMES = ("a", "b", "c")


def squares(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def fit(*args, **options):
    args = (*args, *(squares, W, gd.sgd(0.1), (X, Y))[len(args) :])
    return gd.fit(*args, **{"steps": 2, "batch_size": 20, "order": "sequence", **options})


class Tensor:
    """What torch's tensors do at this door."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return types.SimpleNamespace(cpu=lambda: self.array)

    def __array__(self, *args, **kwargs):
        raise RuntimeError("requires grad")


class Frame:
    """What a table of pandas does at this door."""

    def __init__(self, **columns):
        self.by_name = {name: np.asarray(column) for name, column in columns.items()}
        self.columns = list(columns)

    def __getitem__(self, name):
        return self.by_name[name]

    def __array__(self, dtype=None, copy=None):
        return np.stack([self.by_name[name] for name in self.columns], axis=1)


WORKS = {
    "a Dataset": Dataset("d", X, Y, "regression", NAMES),
    "lists of rows": (X.tolist(), Y.tolist()),
    "lists of arrays": ([*X], [*Y]),
    "frames": (Frame(**dict(zip(NAMES, X.T, strict=True))), Tensor(Y)),
    "tensors": (Tensor(X), Tensor(Y)),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_is_unambiguous_works(name):
    np.testing.assert_array_equal(fit(squares, W, gd.sgd(0.1), WORKS[name]).params, fit().params)
    on_itself = fit(squares, W, gd.sgd(0.1), WORKS[name], WORKS[name])
    np.testing.assert_array_equal(
        on_itself.history["validation_loss"], fit(validation=(X, Y)).history["validation_loss"]
    )
    assert gd.make_evaluate(squares)(W, WORKS[name])["loss"] == gd.make_evaluate(squares)(W, (X, Y))["loss"]


def loader():
    yield X, Y


class Loader:
    def __iter__(self):
        return iter([(X, Y)])


def with_y(y):
    return fit(squares, W, gd.sgd(0.1), (X, y))


def evaluating(named):
    return gd.make_evaluate(lambda w, batch: jnp.sum(w), named, lambda w, x: x @ w)


def over(rates):
    return jax.vmap(lambda rate: fit(squares, W, gd.sgd(rate)).params)(rates)


TOLD = {  # what is called, and what the sentence must say
    "a generator": (lambda: fit(squares, W, gd.sgd(0.1), (X, loader())), "got a generator at .1.; fit and segments take"),
    "a loader": (lambda: fit(validation=Loader()), "validation must be arrays or a Source, .* got a Loader"),
    "a model": (lambda: fit(squares, MODEL), r"got the model mlp\(.*write model.init\(jax.random.key\(0\)\)"),
    "a state": (lambda: fit(squares, fit().last), "got a TrainState; write state.params, result.params"),
    "a run state": (lambda: fit(squares, fit().run_state), r"got a RunState; write .*fit\(\.\.\., resume=result\)"),
    "a result": (lambda: fit(squares, fit()), r"got a Result; write result.params.*fit\(\.\.\., resume=result\)"),
    "a minimum": (lambda: fit(squares, gd.minimize(jnp.sum, 1.0, gd.sgd(0.1))), "got a HostMinimum; write result.params"),
    "in another order": (lambda: fit(squares, gd.sgd(0.1), W), r"write fit\(loss, params, optimizer, data\)"),
    "not called": (lambda: fit(squares, W, gd.adam), r"got adam; call it, adam\(\.\.\.\)"),
    "not called, Optax": (lambda: fit(squares, W, optax.adamw), r"got adamw; call it, adamw\(\.\.\.\)"),
    "a class": (lambda: fit(squares, W, Loader), r"got Loader; a class is none, write gd.adam\(1e-3\)"),
    "a share": (lambda: fit(validation=0.2), r"got 0.2; .*write train, validation = gd.data.split"),
    "no data": (lambda: fit(squares, W, gd.sgd(0.1), 0.5), "got the number 0.5"),
    "x, y": (lambda: fit(squares, W, gd.sgd(0.1), X, Y), r"got \(20,\) beside \(20, 3\); .*optimizer, \(x, y\)"),
    "no rows": (lambda: fit(batch_size=0), "batch_size must be between 1 and the 20 rows of the data, got 0"),
    "text labels": (lambda: with_y(["cat", "dog"] * 10), "such as 'cat'; of labels write names, y = np.unique"),
    "text in an array": (lambda: with_y(np.array(["no", None] * 10)), "such as 'no'; of labels write"),
    "text in a frame": (
        lambda: fit(squares, W, gd.sgd(0.1), (Frame(age=[1.0], city=["Bonn"]), Y)),
        "in the columns city at .0.; write pandas.get_dummies",
    ),
    "pairs": (lambda: fit(squares, W, gd.sgd(0.1), [(x.tolist(), 1.0) for x in X]), r"of pairs write \(np.array"),
    "vmap": (lambda: over(jnp.ones(2)), "cannot be traced, got a tracer .*write jax.vmap"),
    "a condition of minimize": (lambda: fit(stop=stopping.gradient_norm(1e-3)), r"`minimize` does; in fit write stop="),
    "another": (lambda: fit(stop=stopping.parameter_change(1e-3)), r"`minimize` does; in fit write stop="),
    "a condition not called": (lambda: fit(stop=stopping.patience), r"write stop=gd.stopping.patience\(\.\.\.\)"),
    "a number as condition": (lambda: fit(stop=10), r"write stop=gd.stopping.patience\(10\), got 10"),
    "a metric as evaluation": (lambda: fit(validation=(X, Y), evaluate=metrics.r2), "write evaluate=gd.make_evaluate"),
    "shorter than done": (lambda: fit(steps=1, resume=fit()), r"as long as it is, 2 epochs \(2 steps\), got 1 epochs"),
    "resume a state": (lambda: fit(resume=fit().last), "resume must be what fit returns, or a RunState .*got a TrainState"),
    "resume with others": (lambda: fit(squares, np.zeros((3, 1)), resume=fit()), "params must have shape"),
    "resume by another": (lambda: fit(squares, W, gd.adam(0.1), resume=fit()), "that of the run that is resumed, sgd"),
    "resume, validated": (lambda: fit(validation=(X, Y), resume=fit()), "must measure what it did"),
    "a metric of all rows": (
        lambda: losses.supervised(MODEL, losses.squared_error, {"r2": metrics.r2}),
        r"needs all rows at once; write make_evaluate\(loss, metrics=\{\.\.\.\}, predict=model\)",
    ),
    "a metric without its predictions": (lambda: gd.make_evaluate(squares, {"r2": metrics.r2}), "need predict="),
    "a metric of all rows, of one": (
        lambda: gd.per_example(lambda w, x, y: ((x @ w - y) ** 2, {"r2": metrics.r2(x @ w, y)}))(W, (X, Y)),
        "all rows are needed at once",
    ),
    "a metric without a name": (lambda: losses.supervised(MODEL, losses.hinge, metrics.accuracy), 'write ."name": metric.'),
    "the names of metrics": (lambda: evaluating(["accuracy"]), "must be by name"),
    "a metric by its name": (lambda: evaluating({"acc": "accuracy"}), "'acc' must be one of gdjax.metrics or a function"),
    "a factory of metrics": (lambda: evaluating({"p": metrics.precision}), r"precision\(num_classes\), got it alone"),
    "a factory in a loss": (
        lambda: losses.supervised(MODEL, losses.hinge, {"k": metrics.top_k_accuracy}),
        r"metrics.top_k_accuracy\(k\), got it alone",
    ),
    "a metric for a number": (
        lambda: fit(lambda w, x, y: (squares(w, x, y), {"r2": metrics.r2})),
        r"must be numbers, got a metric for 'r2'; write metrics.accuracy\(predictions, y\)",
    ),
    "metrics of one array": (lambda: evaluating({"r2": metrics.r2})(W, X), r"data must be \(x, y\) to measure metrics on"),
    "a batch size that is no number": (lambda: fit(batch_size=8.0), "batch_size must be a whole number, got 8.0"),
    "epochs in words": (lambda: fit(steps=None, epochs="2"), "epochs must be above 0, got '2'"),
    "an optimizer by its name": (lambda: fit(squares, W, "adam"), r"got 'adam'; write gd.adam\(1e-3\)"),
    "a step of parameters": (lambda: gd.make_step(squares)(W, (X, Y)), "write state = gd.make_state"),
    "an evaluation of a result": (lambda: gd.make_evaluate(squares)(fit(), (X, Y)), "got a Result; write result.params"),
    "a loss with a state, without it": (
        lambda: gd.stateful(lambda w, state, batch: (0.0, state))(W, (X, Y)),
        r"must be called with \(params, model_state, batch\), got \(params, batch\)",
    ),
    "an evaluation that lacks the state": (
        lambda: gd.make_evaluate(gd.per_example(losses.supervised(models.batch_norm(3), losses.squared_error)))(W, (X, X)),
        r"give evaluate\(params, data, model_state\) the result's: result.model_state",
    ),
    "an object that JAX does not know": (
        lambda: fit(squares, {"layer": types.SimpleNamespace(w=W), "b": 0.0}),
        r"params\['layer'\] must be .*, got a SimpleNamespace, whose arrays JAX does not see and no step would train",
    ),
    "an object to minimize over": (
        lambda: gd.minimize(jnp.sum, {"layer": types.SimpleNamespace(w=W)}, gd.sgd(0.1)),
        "got a SimpleNamespace, whose arrays JAX does not see",
    ),
    "a key that is none": (lambda: gd.make_state(W, gd.sgd(0.1), key=1.5), r"key must be a key of JAX, as of .*, got 1.5"),
    "a key beyond all": (lambda: fit(key=2**70), "key must be a key of JAX or a whole number below"),
    "a split by a word": (lambda: gd.data.split((X, Y), (0.5, 0.5), "seed"), "split: key must be a key of JAX"),
    "keys of two kinds": (lambda: fit(squares, {1: W, "b": 0.0}), "keys of a dict of parameters must be of one kind"),
    "masked cells": (
        lambda: fit(squares, W, gd.sgd(0.1), (np.ma.masked_less(X, 0), Y)),
        r"must have no masked cells, got \d+ of them at \[0\]; leave their rows out",
    ),
    "masked parameters": (lambda: gd.minimize(jnp.sum, np.ma.masked_less([1.0, -1.0], 0), gd.sgd(0.1)), "no masked cells"),
    "text to minimize over": (lambda: gd.minimize(jnp.sum, {"a": 1.0, "b": "s"}, gd.sgd(0.1)), "or numbers, got 's'"),
    "an integer beyond all": (lambda: gd.minimize(jnp.sum, 10**400, gd.sgd(0.1)), "must be floating to descend, write 1000"),
    "a complex rate": (lambda: gd.sgd(1j), "sgd: learning_rate must be real, got 1j"),
    "no rows at all": (lambda: fit(squares, W, gd.sgd(0.1), (X[:0], Y[:0])), "data must have at least one row"),
    "labels in a column, by row": (
        lambda: fit(gd.per_example(lambda w, x, y: (x @ w - y) ** 2), W, gd.sgd(0.1), (X, Y[:, None])),
        r"are there labels \(n, 1\)\? Write y\[:, 0\]",
    ),
    "a return that is missing": (lambda: fit(gd.per_example(lambda w, x, y: None)), "is a return missing"),
    "a segment of no run": (lambda: gd.segments(None, fit().last, (X, Y)), "must be what start_run returns"),
}  # fmt: skip


def test_one_kind_of_metric_goes_everywhere():
    """The same objects in a loss, beside it, called; of a function of one example the mean; a state reaches predict."""
    x, classes = X.astype(np.float32), (Y > 0).astype(np.int32)
    params = MODEL.init(jax.random.key(1))
    named = {"accuracy": metrics.accuracy, "hits": lambda prediction, y: prediction[y] > prediction[1 - y]}
    inside = gd.per_example(losses.supervised(MODEL, losses.softmax_cross_entropy_with_integer_labels, named))
    by_hand = gd.per_example(lambda p, x, y: (jnp.sum(p[0]["w"]), {"hits": metrics.accuracy(MODEL.apply(p, x), y)}))
    scores = x @ np.asarray(params[0]["w"]) + np.asarray(params[0]["b"])
    right = np.mean(scores.argmax(1) == classes)
    beside = gd.make_evaluate(lambda p, batch: jnp.sum(p[0]["w"]), named, MODEL, chunk_size=7)
    beside = jax.jit(beside)(params, (x, classes))
    values = [inside(params, (x, classes))[1], beside, by_hand(params, (x, classes))[1]]
    for found in (
        *(each[name] for each in values for name in named if name in each),
        metrics.accuracy(scores, classes),
    ):
        np.testing.assert_allclose(found, right, rtol=1e-6)
    stateful = gd.stateful(lambda w, shift, batch, key: (jnp.sum(w), {}, shift))
    shifted = [lambda w, shift, x: x @ w + shift, lambda w, x, rng, model_state: x @ w + model_state]
    expected = 1 - np.sum((Y - 0.25) ** 2) / np.sum((Y - Y.mean()) ** 2)
    for predict in (*shifted, lambda w, model_state, x, key: x @ w + model_state):
        evaluate = gd.make_evaluate(stateful, {"r2": metrics.r2}, predict)
        np.testing.assert_allclose(jax.jit(evaluate)(W, (X, Y), jnp.float32(0.25))["r2"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", TOLD)
def test_a_misunderstanding_is_told_in_one_sentence(name):
    call, message = TOLD[name]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_an_error_shows_the_users_own_lines():
    def own(w, x, y):
        raise KeyError("mine")

    for loss, last in ((own, "own"), (lambda w, x, y: jnp.sum(np.cos(x @ w)), "fit"), (gd.per_example(own), "own")):
        with pytest.raises((KeyError, TypeError)) as caught:
            fit(loss)
        files = [(frame.path.name, frame.name) for frame in caught.traceback]
        assert files[-1] == ("test_misunderstandings.py", last) or files[-1][0] == "_fit.py", files
        assert len(files) <= 6, files


DATA = X, Y
FAULTS = {  # what is wrong with loss, batch size, monitor, data; and what the sentence must say
    "a value per row": ({"loss": lambda w, x, y: (x @ w - y) ** 2}, r"the loss must return a scalar"),
    "a name that is taken": ({"loss": lambda w, x, y: (squares(w, x, y), {"epoch": 1.0})}, "metrics must not be named"),
    "a name of the history": (
        {"loss": lambda w, x, y: (squares(w, x, y), {"learning_rate_min": 1.0})},
        "metrics must not be named .*, got 'learning_rate_min'",
    ),
    "a batch of more rows": ({"size": 21}, "batch_size must be between 1 and the 20 rows of the data, got 21"),
    "columns of other lengths": ({"data": (X, Y[:-1])}, "all leaves must have as many rows, got 20"),
    "rows one by one": ({"data": (X, iter(Y))}, "data must be arrays with all rows"),
    "no such metric": ({"monitor": "acuracy"}, "monitor must be a scalar metric, one of .* got 'acuracy'"),
    "neither more nor less": (
        {"loss": lambda w, x, y: (squares(w, x, y), {"size": jnp.sum(w)}), "monitor": "size"},
        r"write monitor=\('size', 'max'\)",
    ),
}


def called(loss=squares, size=5, monitor="loss", data=DATA):
    """What a user may call with these, by its name; the run that `segments` goes on with was begun on what is right."""
    epoch = gd.make_epoch(gd.make_step(loss), size)
    run, state = gd.make_run(epoch, monitor=monitor), gd.make_state(W, gd.sgd(0.1))
    right = gd.make_run(gd.make_epoch(gd.make_step(squares), 5))
    begun = gd.start_run(right, state, stopping.never(), DATA, None)
    doors = {
        "fit": lambda: fit(loss, W, gd.sgd(0.1), data, batch_size=size, monitor=monitor),
        "start_run": lambda: gd.start_run(run, state, stopping.never(), data, None),
        "make_run": lambda: run(begun, data, None, 1),
        "segments": lambda: next(gd.segments(run, begun, data, until=1)),
    }
    if monitor != "loss":
        return doors
    return doors | {
        "make_epoch": lambda: epoch(state, data),
        "iterate": lambda: next(gd.iterate(epoch, state, data)),
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_what_was_called(fault):
    given, message = FAULTS[fault]
    for who, door in called(**given).items():
        with pytest.raises((TypeError, ValueError), match=rf"^{who}: .*{message}") as caught:
            door()
        assert "\n" not in str(caught.value)


def test_the_length_of_a_run_is_told_by_its_own_name():
    for given in ({"every": 0}, {"every": 2.5}, {"steps": 3.5}, {"steps": -1}, {"every": "2"}):
        with pytest.raises(ValueError, match=rf"^fit: {min(given)} must be "):
            fit(**given)
    assert len(fit(steps=4.0, every=2).history["loss"]) == 2
