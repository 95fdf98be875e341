"""Data that are not in memory: the bits of the run in memory, whatever the windows; batches of a loader in its own order."""

import functools
import itertools
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_loop import Compilations, equal

import gdjax as gd
from gdjax import stopping
from gdjax.data import Batches
from gdjax.training import reading, staged

RNG = np.random.default_rng(17)
X = RNG.normal(size=(43, 3))
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.normal(size=43)).astype(np.float32)
VALIDATION = X[:9], Y[:9]
W = np.zeros(3, np.float32)
ADAM = gd.adam(0.05)


def squares(w, x, y, key):
    noise = 0.0 if key is None else 0.1 * jax.random.normal(key, y.shape)
    return jnp.mean((x @ w - y + noise) ** 2)


per_row = gd.per_example(lambda w, x, y: (x @ w - y) ** 2)  # takes a mask
LOSSES = {"a smaller last step": squares, "a mask": per_row}


def fit(data, loss=squares, validation=VALIDATION, **options):
    options = {"epochs": 5, "key": 3, **options}
    return gd.fit(loss, W, ADAM, data, validation, **{name: x for name, x in options.items() if x is not None})


@functools.cache
def in_memory(loss=squares, **options):
    return fit((X, Y), loss, **{"batch_size": 8, **options})


def same(a, b):
    """To the last bit: parameters, history, the whole state, and why it stopped."""
    assert (a.stop, a.remarks, repr(a)) == (b.stop, b.remarks, repr(b))
    parts = [(each.params, each.history, each.run_state._replace(history={})) for each in (a, b)]
    equal(*parts)


class Counting:
    """A source that notes what is asked of it."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return len(X)

    def rows(self, indices):
        self.asked.append(len(indices))
        return X[indices], Y[indices]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same rows in a folder, in a Parquet file, and computed."""
    folder = tmp_path_factory.mktemp("rows")
    names = [*"abc", "y"]
    table = np.column_stack([X, Y.astype(float)])
    (folder / "t.csv").write_text("\n".join([",".join(names), *(",".join(map(repr, row)) for row in table.tolist())]))
    gd.data.convert(folder / "t.csv", folder / "t.parquet")
    folded = gd.data.write_rows(folder / "rows", (X, Y))
    return {"folder": folded, "parquet": gd.data.open_rows(folder / "t.parquet"), "computed": Counting()}


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(staged, "MOST", 3)
    monkeypatch.setattr(reading, "FIRST", 2)


@pytest.mark.parametrize("kind", ["folder", "parquet", "computed"])
def test_a_source_gives_the_bits_of_the_run_in_memory(kind, sources):
    same(fit(sources[kind], batch_size=8), in_memory())


OPTIONS = [
    pytest.param(squares, {"order": "sequence", "batch_size": 10}, marks=pytest.mark.nightly),
    pytest.param(squares, {"order": "replacement"}, marks=pytest.mark.nightly),
    (per_row, {"every": 4}),
    pytest.param(per_row, {"order": "sequence", "batch_size": 43}, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize(("loss", "options"), OPTIONS)
def test_also_in_other_orders_and_periods(loss, options, sources):
    same(fit(sources["folder"], loss, **{"batch_size": 8, **options}), in_memory(loss, **options))


def test_a_window_larger_than_the_run(sources, monkeypatch):
    monkeypatch.setattr(staged, "MOST", 99)
    monkeypatch.setattr(reading, "FIRST", 99)
    same(fit(sources["folder"], batch_size=8), in_memory())


def test_a_dropped_tail_and_the_loop(sources):
    """By `segments`, cut after any batch; a RunState that is kept goes on in memory, or on the source again."""
    epoch = gd.make_epoch(gd.make_step(squares), 8, tail="drop")
    run = gd.make_run(epoch, gd.make_evaluate(squares))

    def start(data):
        return gd.start_run(run, gd.make_state(W, ADAM, 3), stopping.never(), data, VALIDATION)

    def loop(data, run_state, **options):
        return list(gd.segments(run, run_state, data, VALIDATION, until=4, **options))

    source, (*_, whole) = sources["folder"], loop((X, Y), start((X, Y)))
    cut = loop(source, start(source), batches=1, seconds=0)
    assert [int(each.state.batches) for each in cut] == list(range(1, 21)), "a window ends no segment"
    for run_state in (cut[-1], loop(source, start((X, Y)))[-1], loop((X, Y), cut[6])[-1], loop(source, cut[13])[-1]):
        equal(run_state, whole)
    alive = threading.active_count()
    for _ in gd.segments(run, start(source), source, VALIDATION, until=4, batches=1, seconds=0):
        break  # leaves the thread with a window that nobody wants
    assert threading.active_count() <= alive


def test_a_resumed_run_on_a_source_is_one_that_never_stopped_and_compiles_nothing(sources):
    source, first, whole = sources["computed"], in_memory(epochs=2), in_memory()
    fit(source, batch_size=8)
    with Compilations() as seen:
        same(fit(source, batch_size=8, resume=fit(source, batch_size=8, epochs=2)), whole)
        same(fit(source, batch_size=8, resume=first), whole)
    assert seen.count == 0
    source.asked.clear()
    fit(source, validation=None, batch_size=8, epochs=3)
    assert sum(source.asked) == 1 + 43 + 3 * 6 * 8, "no row is read that the run does not need"


def test_float64_and_a_source_as_validation(sources):
    with jax.enable_x64(True):
        found, expected = (
            gd.fit(squares, np.zeros(3), gd.sgd(0.1), data, data, epochs=2, batch_size=8)
            for data in (sources["folder"], (X, Y))
        )
        same(found, expected)
        assert found.params.dtype == np.float64


# Loaders.


def batches(size=8):
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, len(X), size)]


def generator():
    yield from batches()


class Tensor:
    """As a tensor of torch."""

    def __init__(self, array):
        self.array = array

    def __iter__(self):
        return iter(self.array)

    def __array__(self, dtype=None, copy=None):
        return self.array

    def detach(self):
        return self

    def cpu(self):
        return self.array


class Loader:
    """As a DataLoader of torch: lists of tensors."""

    def __iter__(self):
        return ([Tensor(part) for part in batch] for batch in batches())

    def __len__(self):
        return 6


class Unsized:
    def __iter__(self):
        return iter(batches())


class Shuffled:
    """Another order in each pass, and a state that can be restored, as torchdata's StatefulDataLoader."""

    def __init__(self):
        self.rng, self.order, self.at = np.random.default_rng(5), np.zeros(0, int), 0

    def __len__(self):
        return 6

    def __iter__(self):
        if self.at == 0:
            self.order = self.rng.permutation(len(X))
        while self.at < 6:
            rows = self.order[8 * self.at : 8 * self.at + 8]
            self.at += 1
            yield X[rows], Y[rows]
        self.at = 0

    def state_dict(self):
        return {"rng": self.rng.bit_generator.state, "order": self.order.tolist(), "at": self.at}

    def load_state_dict(self, state):
        self.rng.bit_generator.state, self.order, self.at = state["rng"], np.array(state["order"], int), state["at"]


class Cursor:
    """As a dataset of grain: the iterator has the state."""

    def __init__(self, rows):
        self.rows, self.at = rows, 0

    def __next__(self):
        if self.at == len(self.rows):
            raise StopIteration
        self.at += 1
        return self.rows[self.at - 1]

    def __iter__(self):
        return self

    def get_state(self):
        return bytes([self.at])

    def set_state(self, state):
        (self.at,) = state


class Grain:
    def __iter__(self):
        return Cursor(batches())


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loader_gives_the_run_over_its_rows_in_sequence(loss):
    expected = in_memory(loss, order="sequence")
    for loader in (Loader(), Unsized(), Grain(), Batches(batches())):
        found = fit(loader, loss)
        for name, values in expected.history.items():
            np.testing.assert_allclose(found.history[name], values, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(found.params, expected.params, rtol=1e-4)
        assert (found.stop, found.epochs, found.steps) == (gd.Stop.BUDGET, 5, 30)


def test_a_generator_is_used_up_once_and_its_end_is_told():
    once = fit(generator(), epochs=None)
    assert once.stop == gd.Stop.BUDGET and once.epochs == 1 and once.history["step"].tolist() == [6]
    ended = fit(generator(), steps=20, epochs=None, every=4)
    assert ended.stop == gd.Stop.EXHAUSTED and ended.history["step"].tolist() == [4, 6] and "EXHAUSTED" in str(ended)
    assert np.isnan(ended.history["epoch"][0]) and ended.history["epoch"][1] == 1
    to_the_end = fit(generator(), epochs=None, every=3)
    assert to_the_end.stop == gd.Stop.EXHAUSTED and to_the_end.history["step"].tolist() == [3, 6]
    endless = itertools.cycle(range(6))
    assert fit((batches()[i] for i in endless), steps=9, epochs=None, every=3).history["step"].tolist() == [3, 6, 9]
    assert next(endless) == 3, "no batch is read that the run does not need"


def test_batches_of_other_shapes_have_their_own_programs():
    """Sizes that change from batch to batch, as of sentences put together by their length."""
    sizes = [8, 5, 5, 8]
    ends = np.cumsum(sizes)
    pieces = [(X[b - a : b], Y[b - a : b]) for a, b in zip(sizes, ends, strict=True)]
    for loss in LOSSES.values():
        step, state = gd.make_step(loss), gd.make_state(W, gd.sgd(0.05), 3)
        for batch in pieces:
            state, _ = step(state, batch)
        found = gd.fit(loss, W, gd.sgd(0.05), Batches(pieces), epochs=1, key=3)
        np.testing.assert_allclose(found.params, state.params, rtol=1e-5)


@pytest.mark.parametrize("make", [Shuffled, Grain], ids=["the loader's state", "the iterator's state"])
@pytest.mark.parametrize("mark", [1, 256])
def test_a_loader_that_says_where_it_stands_is_resumed_exactly(make, mark, monkeypatch):
    """By `fit` from a result, and by a loop that keeps the position beside the state as JSON, cut after any batch."""
    monkeypatch.setattr("gdjax.data.loaders.MARK", mark)
    whole, first = (fit(make(), epochs=None, steps=steps, every=4) for steps in (30, 12))
    same(fit(make(), epochs=None, steps=30, every=4, resume=first), whole)
    for steps in (4, 6, 15):  # of passes of 6, whose length only one of the loaders tells
        cut = fit(make(), epochs=None, steps=steps)
        again, last = fit(make(), resume=cut), fit(make())
        np.testing.assert_array_equal(again.params, last.params)
        assert again.history["step"].tolist() == sorted({steps, 6, 12, 18, 24, 30})
    run = gd.make_run(gd.make_epoch(gd.make_step(squares)), gd.make_evaluate(squares))
    saved, data = [], Batches(make())
    start = gd.start_run(run, gd.make_state(W, ADAM, 3), stopping.never(), data, VALIDATION)
    for run_state in gd.segments(run, start, data, VALIDATION, until=7, every=4, batches=1, seconds=0):
        saved.append((run_state, json.dumps(data.state_dict())))
    assert len(saved) == 28
    for at in (0, 5, 6, 13, 17, 26):
        again, (kept, position) = Batches(make()), saved[at]
        again.load_state_dict(json.loads(position))
        *_, end = gd.segments(run, kept, again, VALIDATION, until=7, every=4)
        equal(end, run_state)


def test_a_loader_that_does_not_is_refused_by_name():
    for loader in (Loader, Unsized, generator):
        first = fit(loader(), epochs=1)
        kind = type(loader()).__name__
        with pytest.raises(
            ValueError, match=f"on a {kind} cannot be resumed, since a {kind} does not say .*state_dict"
        ):
            fit(loader(), epochs=None, steps=12, resume=first)
    first = fit(Shuffled(), epochs=1)
    with pytest.raises(ValueError, match="at batch 6, got a Shuffled at batch 0; to resume write batches = "):
        fit(Shuffled(), resume=first.run_state)


class Wrong(Unsized):
    def __len__(self):
        return 7


class Nothing:
    def __iter__(self):
        return iter(())


def failing():
    yield batches()[0]
    yield batches()[1]
    raise OSError("the disk is gone")


def other():
    yield batches()[0]
    yield {"x": X}


RUN = gd.make_run(gd.make_epoch(gd.make_step(squares)))
STATE = gd.make_state(W, ADAM)


def one(*data):
    return fit(*data, steps=9, epochs=None)


TOLD = {  # what is called, and what the sentence must say
    "a wrong length": (
        lambda: one(Wrong()),
        "a Wrong must give as many batches in a pass as its length says, 7, got 6",
    ),
    "no batch": (lambda: one(Nothing()), "a Nothing must give at least one batch in a pass, got none"),
    "none at all": (lambda: one(iter(())), "data must give at least one batch"),
    "single rows": (lambda: one(zip(X, Y, strict=True)), "batch 0 of a zip.*a scalar at"),
    "an error of its own": (lambda: one(failing()), "the disk is gone"),
    "another structure": (lambda: one(other()), "all batches must be built alike"),
    "a size": (
        lambda: fit(Loader(), batch_size=5),
        "the batches of a Loader have 8 rows; leave batch_size out, got 5",
    ),
    "two passes": (
        lambda: fit(generator(), epochs=2),
        "a generator is used up once, so epochs must be 1, or give steps=",
    ),
    "periods of no length": (lambda: fit(Unsized(), every=2), "every needs steps=, since a Unsized does not say"),
    "to evaluate on": (lambda: one((X, Y), squares, Loader()), "validation must be arrays or a Source.*got a Loader"),
    "in another place": (
        lambda: gd.make_evaluate(squares)(W, Counting()),
        "make_evaluate: data must be arrays.*a Counting",
    ),
    "a loader there": (
        lambda: gd.make_evaluate(squares)(W, Loader()),
        "make_evaluate: data must be arrays.*got a Loader",
    ),
    "inside": (lambda: one((Counting(), Y)), "got a Counting at .0."),
    "under jit": (
        lambda: jax.jit(lambda s: RUN(s, Counting(), None, 1))(STATE),
        "make_run: data must be arrays.*Counting",
    ),
    "a started generator": (
        lambda: gd.start_run(RUN, STATE, stopping.never(), generator(), None),
        "start_run: .* got a generator; write batches = gd.data.Batches",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_cannot_be_read_is_told(name):
    call, told = TOLD[name]
    with pytest.raises((TypeError, ValueError, OSError), match=told) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_validation_set_too_large_for_memory_is_told(monkeypatch):
    monkeypatch.setattr("gdjax.training.feeds.IN_MEMORY", 320)
    with pytest.raises(ValueError, match=r"at most 320 bytes, got 688 in 43 rows of a Counting; .*rows\(range\(20\)\)"):
        fit((X, Y), validation=Counting())


def test_a_loss_outside_its_domain_is_explained():
    """The rows are those that the program has read last."""
    loss = gd.per_example(lambda w, x, y: gd.losses.softmax_cross_entropy_with_integer_labels(x * w, y))
    labels = np.where(np.arange(43) == 20, 9, 1)
    for data in ((X, labels), Batches([(X[:20], labels[:20]), (X[20:40], labels[20:40])])):
        data = gd.data.Batches([data] * 2) if isinstance(data, tuple) else data
        with pytest.raises(ValueError, match=r"labels must be .*got 9"):
            gd.fit(loss, W, ADAM, data, epochs=1)
