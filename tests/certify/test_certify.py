"""The certificates: what they measure, that wrong rules are red, and every optimizer's own against its references."""

import contextlib
import functools
import io
import itertools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax.certify import ORACLES, closed_loop, differences, references, rounding, wrapper_certificate, wrapper_paths
from gdjax.certify._certificate import Row, _against_torch, _below_double, _in_double, certificate, replay
from gdjax.certify.examples import EXAMPLES, WRAPPER_EXAMPLES, example_calls
from gdjax.certify.measure import difference, lost_descent
from gdjax.certify.oracles import draws, reasons
from gdjax.certify.oracles.wrappers import WRAPPER_ORACLES
from gdjax.certify.own import as_candidate
from gdjax.certify.row import below_double_limit
from gdjax.certify.suite import CASES, SHAPES, record
from gdjax.certify.torch_twins import TWINS
from gdjax.cli import main as entry

STEPS = 40
FEW = 15  # for the whole table: each comparison is mostly compilation
RECORDED = [name for name in gd.OPTIMIZERS if name in ORACLES]
SECONDS = {"kron", "soap", "galore", "noisy_sgd", "dpsgd"}  # to compile; the nightly test below has them, with Optax
OTHER_CALLS = {f"{name}: {i}": (name, i) for name in RECORDED for i in range(1, len(example_calls(name)))}


def nightly_if(slow, *case):
    return pytest.param(*case, marks=[pytest.mark.nightly] * bool(slow))


@pytest.mark.parametrize("name", [nightly_if(name in SECONDS, name) for name in RECORDED])
def test_the_plainest_call_equals_its_oracle(name):
    (row,) = _in_double(example_calls(name)[0], FEW, "float64", ("oracle",))
    assert row.passed and row.limit is not None, row


@pytest.mark.nightly
@pytest.mark.parametrize("name", RECORDED)
def test_the_plainest_call_equals_its_oracle_and_optax(name):
    """And Optax where it has the call, but for the exceptions said below: `gdjax certify` measures it too."""
    ours = example_calls(name)[0]
    rows = {row.reference: row for row in _in_double(ours, FEW, "float64")}
    assert all(row.passed for row in rows.values()) and rows["oracle"].limit is not None, rows
    defect = references.defect_of(ours, "float64")
    if "optax" in rows:
        assert (rows["optax"].relative <= references.limit_of(ours)[0]) == (defect is None), rows
    else:
        assert references.optax_reference(ours) is None or defect in reasons.NOT_RUN


def reaches_what_the_plainest_does_not(name, i):
    """Calls whose rule is another one, not only other numbers."""
    arguments = example_calls(name)[i].arguments
    return name == "nonlinear_cg" or bool(np.max(arguments.get("eps_root") or 0))


REACHING = {call: place for call, place in OTHER_CALLS.items() if reaches_what_the_plainest_does_not(*place)}


@pytest.mark.parametrize(
    "call", [nightly_if(call in ("lamb: 1", "novograd: 1", "radam: 1"), call) for call in REACHING]
)
def test_another_rule_of_the_same_name_equals_its_oracle(call):
    name, i = REACHING[call]
    assert all(row.passed for row in _in_double(example_calls(name)[i], FEW, "float64", ("oracle",)))


@pytest.mark.skipif("CERTIFY_ALL" not in os.environ, reason="minutes: `gdjax certify` does it, or CERTIFY_ALL=1")
@pytest.mark.parametrize("call", OTHER_CALLS)
def test_every_other_call_equals_its_oracle_and_optax(call):
    name, i = OTHER_CALLS[call]
    assert all(row.passed for row in _in_double(example_calls(name)[i], FEW, "float64"))


@pytest.mark.parametrize(
    "calls", [slice(1), pytest.param(slice(1, None), marks=pytest.mark.nightly)], ids=["first", "others"]
)
@pytest.mark.parametrize("name", WRAPPER_EXAMPLES)
def test_a_wrapper_equals_its_oracle(name, calls):
    """On a path of its own: updates, parameters, what it evaluates, counters."""
    for ours in WRAPPER_EXAMPLES[name]()[calls]:
        rows = list(wrapper_certificate.in_double(ours, 2 * FEW, "float64", ("oracle",)))
        assert len(rows) == 1 and rows[0].passed and rows[0].limit is not None, rows


SMALL_MISTAKES = {  # a wrapper, and arguments of its oracle that are another wrapper's by a little
    "average": {"decay": 0.9 + 1e-9},
    "tail_average": {"start": 4},
    "lookahead": {"slow_step_size": 0.3 + 1e-9},
    "decay_weights": {"weight_decay": 0.1 + 1e-9},
    "accumulate": {"every": 2},
    "sam": {"rho": 0.5 + 1e-8},
}


@pytest.mark.parametrize("name", SMALL_MISTAKES)
def test_a_wrapper_that_is_wrong_by_a_little_is_red(name):
    ours = WRAPPER_EXAMPLES[name]()[0]
    recording = wrapper_certificate.fed_to(ours, 2 * FEW, "float64")
    with jax.enable_x64(True):
        truth = wrapper_paths.oracle_path(ours.replace(**SMALL_MISTAKES[name]), recording)
        row = wrapper_certificate._row(ours, wrapper_paths.path_of(ours, recording), truth, "oracle", "float64")
    assert not row.passed and row.parted is not None


@pytest.mark.parametrize("name", wrapper_certificate.PRECISE)
def test_sixteen_bits_follow_the_path_that_is_not_rounded(name):
    (ours,) = WRAPPER_EXAMPLES[name]()
    assert wrapper_certificate._in_sixteen_bits(ours, 2 * FEW).passed
    assert not wrapper_certificate._in_sixteen_bits(gd.stacked(gd.sgd(0.001)), 2 * FEW, name).passed


def test_chance_rounds_to_a_neighbor_and_is_right_on_average():
    (ours,) = WRAPPER_EXAMPLES["stochastic_rounding"]()
    assert all(row.passed for row in rounding.rows(ours))
    target, landed = rounding.draws(ours)
    down, up = rounding._neighbors(target)
    part = (target - down) / (up - down)
    wrong = {"nearest": np.round(part), "toward zero": (np.sign(target) < 0), "a coin": np.arange(200)[:, None] % 2}
    for goes_up in wrong.values():
        moved = np.broadcast_to(np.where(goes_up, up, down), landed.shape)
        assert max(map(abs, rounding.biases(target, moved))) > 2 * rounding.ERRORS


def is_one_more_of_complex_numbers(key):
    return key[1] == "complex128" and key[0] not in ("adadelta(", "momo(")


@pytest.mark.parametrize(
    "key", [nightly_if(is_one_more_of_complex_numbers(key), key) for key in references.PARTS_FROM_OPTAX], ids=str
)
def test_optax_parts_from_the_paper_as_it_is_said(key):
    """Each exception to parity: the oracle agrees with ours (above), and not with Optax."""
    start, dtype = (key, "float64") if isinstance(key, str) else key
    ours = next(call for name in gd.OPTIMIZERS for call in example_calls(name) if repr(call).startswith(start))
    try:
        theirs = replay(references.optax_reference(ours), dtype, FEW, {})
    except Exception:
        assert references.PARTS_FROM_OPTAX[key] in reasons.NOT_RUN
        return
    truth = replay(ORACLES[ours.recipe.name], dtype, FEW, ours.arguments)
    assert difference(theirs, truth, dtype, 0.0).relative > references.limit_of(ours)[0]


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", closed_loop.METHODS)
def test_methods_that_search_reach_the_minimum(name, number):
    found = list(itertools.islice(closed_loop.minima(name), number))  # `gdjax certify` does them all
    assert len(found) == number and all(-1e-12 <= distance <= closed_loop.LIMIT for _, _, distance in found), found


def test_the_tables_of_certificates_name_optimizers():
    assert set(EXAMPLES) <= set(gd.OPTIMIZERS) and {*ORACLES, *closed_loop.METHODS} >= set(gd.OPTIMIZERS)
    assert {*references.REAL_ONLY, *TWINS} <= set(gd.OPTIMIZERS)
    assert {*WRAPPER_EXAMPLES, *closed_loop.METHODS} >= {*gd.WRAPPERS, *gd.TRANSFORMS} and set(WRAPPER_ORACLES) == set(
        WRAPPER_EXAMPLES
    )
    texts = [repr(call) for name in gd.OPTIMIZERS for call in example_calls(name)]
    defects = [key if isinstance(key, str) else key[0] for key in references.PARTS_FROM_OPTAX]
    assert all(any(text.startswith(start) for text in texts) for start in [*references.LIMITS, *defects])


def test_the_recording_is_what_it_says():
    recording = record(STEPS)
    assert recording.values.shape == (len(CASES), STEPS)
    assert {name: x.shape[2:] for name, x in recording.params.items()} == SHAPES
    assert record(STEPS) is recording
    case = {name: i for i, name in enumerate(CASES)}
    grads = recording.grads["matrix"]
    assert not grads[case["zeros"], 0].any() and 0 < np.mean(grads[case["zeros"], 1] == 0) < 1
    assert np.abs(grads[case["huge"]]).max() > 1e11 and np.abs(grads[case["tiny"]]).max() < 1e-11
    infinite = np.isinf(recording.grads["vector"]).any(axis=(0, 2))
    assert np.flatnonzero(infinite).tolist() == [2 * STEPS // 3]
    np.testing.assert_allclose(grads[case["bowl"]], recording.params["matrix"][case["bowl"]])
    rounded = recording.cast(jnp.bfloat16)
    assert rounded.params["matrix"].dtype == jnp.bfloat16
    assert record(STEPS, is_complex=True).cast(jnp.complex64).values.dtype == np.float32


def test_a_difference_is_found_where_it_is():
    def tree():
        return {name: np.ones((len(CASES), 20, *shape)) for name, shape in SHAPES.items()}

    ours, theirs = tree(), tree()
    assert difference(ours, theirs, np.float64, 0.0) == (0, 0, None)
    ours["vector"][2, 7, 3] += 1e-9
    ours["matrix"][1, 11, 0, 0] += 3e-9
    found = difference(ours, theirs, np.float64, 1e-12)
    assert found.parted == ("rosenbrock", 7, "['vector']") and found.relative == pytest.approx(3e-9)
    assert found.ulp == pytest.approx(3e-9 / np.finfo(np.float64).eps)
    assert difference(ours, theirs, np.float64, 2e-9).parted == ("ravine", 11, "['matrix']")
    assert difference(ours, theirs, jnp.bfloat16, 1.0).ulp == pytest.approx(3e-9 * 2**7)
    ours["scalar"][0, 3] = np.nan
    assert difference(ours, theirs, np.float64, 1e-12).parted == ("bowl", 3, "['scalar']")
    theirs["scalar"][0, 3] = np.nan
    assert difference(ours, theirs, np.float64, 1e-8).parted is None
    ours["scalar"][0, 3] = 1.0
    assert difference(ours, theirs, np.float64, 1e-8).relative == np.inf


def adam_rule(g, p, t, mu, nu, *, b1=0.9, b2=0.999, eps=1e-8):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    return mu / (1 - b1**t) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}


def change_rule(change):
    def rule(g, p, t, mu, nu, *, b1=0.9, b2=0.999, eps=1e-8):
        return change(g, t, mu, nu, b1, b2, eps)

    return rule


WRONG = {
    "no correction": change_rule(lambda g, t, m, v, b1, b2, e: adam_rule(g, None, 1e9, m, v, b1=b1, b2=b2, eps=e)),
    "one step late": change_rule(lambda g, t, m, v, b1, b2, e: adam_rule(g, None, t + 1, m, v, b1=b1, b2=b2, eps=e)),
    "eps of 1e-7": change_rule(lambda g, t, m, v, b1, b2, e: adam_rule(g, None, t, m, v, b1=b1, b2=b2, eps=1e-7)),
    "b2 is b1": change_rule(lambda g, t, m, v, b1, b2, e: adam_rule(g, None, t, m, v, b1=b1, b2=b1, eps=e)),
    "climbs": change_rule(lambda g, t, m, v, b1, b2, e: adam_rule(-g, None, t, m, v, b1=b1, b2=b2, eps=e)),
    "1e-6 too long": change_rule(
        lambda g, t, m, v, b1, b2, e: (
            (1 + 1e-6) * adam_rule(g, None, t, m, v, b1=b1, b2=b2, eps=e)[0],
            adam_rule(g, None, t, m, v, b1=b1, b2=b2, eps=e)[1],
        )
    ),
}


@pytest.mark.parametrize(
    "mistake", [nightly_if(mistake in ("no correction", "b2 is b1", "climbs"), mistake) for mistake in WRONG]
)
def test_a_wrong_rule_is_seen(mistake):
    reference = gd.adam(0.01)
    found = differences(as_candidate(WRONG[mistake], reference), reference, ("float64",), STEPS, 1e-9)["float64"]
    assert found.relative > 1e-7 and found.parted is not None


def test_a_right_rule_of_ones_own_is_right():
    reference = gd.adam(gd.schedules.cosine(0.01, STEPS), b1=0.7)
    found = differences(as_candidate(adam_rule, reference), reference, ("float64",), STEPS)["float64"]
    assert found.relative < 1e-12
    assert differences(as_candidate(gd.adamw, reference), reference, ("float64",), STEPS)["float64"].relative > 1e-6
    with pytest.raises(TypeError, match="softness needs a default, since adam has no argument of that name"):
        as_candidate(lambda g, p, t, *, softness: (g, {}), reference)
    with pytest.raises(TypeError, match="expected an optimizer, a factory or a rule, got 3"):
        as_candidate(3, reference)


def test_a_row_is_red_above_its_limit_and_only_then():
    row = Row("sgd(0.01)", "oracle", "float64", 2e-12, 9.0, None, 1e-12, "")
    assert not row.passed and row._replace(relative=1e-12).passed
    assert row._replace(limit=None, relative=9.0).passed
    assert not row._replace(relative=float("nan")).passed


def test_below_double_precision_the_measure_is_the_distance_from_the_truth():
    rows = {row.dtype: row for row in certificate("nadam", FEW) if row.reference == "oracle"}
    assert set(rows) == {"float64", "complex128", "float32", "bfloat16"}
    assert 1e-8 < rows["float32"].relative < 1e-4 < rows["bfloat16"].relative < 1.0
    assert all(row.passed and row.limit is not None for row in rows.values())


def test_oracles_draw_the_numbers_of_the_optimizers_in_their_width():
    key = jax.random.key(7)
    own = jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 3), 1), (2,))
    drawn = draws.leaf_normal(key, 3, 1, (2,), "float64")  # a warning about float64 would be an error here
    assert drawn.dtype == np.float32 and np.array_equal(drawn, own)
    following, now = jax.random.split(key)
    after, (one, other) = draws.split_normals(key, (((3,), "float64"), ((), "float32")), twice=True)
    expected = [jax.random.normal(k, shape) for k, shape in zip(jax.random.split(now), ((3,), ()), strict=True)]
    assert after == following and np.array_equal(one, expected[0]) and other == expected[1]


def test_below_double_precision_optax_gives_the_limit_or_none_is_given():
    """At most four times its distance from the truth, at least 64 ulp, and nothing that a wrong rule would pass."""
    assert below_double_limit(1e-4, "float32")[0] == 4e-4
    assert below_double_limit(0.0, "float32")[0] == 64 * 2.0**-23 and below_double_limit(0.0, "bfloat16")[0] == 0.5
    for its in (0.3, 1e36, np.inf, np.nan):
        limit, note = below_double_limit(its, "float32")
        assert limit is None and note.startswith("not comparable")
    assert below_double_limit(None, "float32")[0] is None


def adam_times(factor):
    """Adam whose steps are a little too long."""
    recipe = gd.adam.recipe

    @functools.wraps(recipe.body)
    def adam(*args, **kwargs):
        init, update = recipe.body(*args, **kwargs)

        def longer(*args, **kwargs):
            updates, state = update(*args, **kwargs)
            return jax.tree.map(lambda u: (factor * u).astype(u.dtype), updates), state

        return init, longer

    return gd.optimizer(adam)(0.01)


def test_a_step_that_is_a_little_too_long_is_red_in_its_dtype():
    """By ten limits or more, and within a tenth of what a limit a hundred times as large would let through."""
    assert [row.passed for row in _in_double(adam_times(1 + 2e-11), FEW, "float64")] == [False, False]
    assert [row.passed for row in _below_double(adam_times(1 + 2e-4), FEW, "float32")] == [False]
    assert [row.passed for row in _below_double(gd.adam(0.01), FEW, "float32")] == [True]


def test_where_nothing_else_can_be_compared_both_are_finite_and_descend():
    grads = {"a": np.ones((len(CASES), 5, 2)), "b": np.ones((len(CASES), 5))}
    truth = jax.tree.map(lambda g: -g, grads)
    assert lost_descent(jax.tree.map(lambda g: -3 * g, grads), truth, grads).relative == pytest.approx(0, abs=1e-12)
    assert lost_descent(grads, truth, grads).relative == pytest.approx(2)
    broken = {"a": truth["a"].copy(), "b": truth["b"]}
    broken["a"][1, 3, 0] = np.inf
    lost = lost_descent(broken, truth, grads)
    assert lost.relative == np.inf and lost.parted == ("ravine", 3, "all leaves")
    assert lost_descent(broken, truth, grads, ("ravine",)).relative == pytest.approx(0, abs=1e-12)
    assert lost_descent(truth, broken, grads).relative == pytest.approx(0, abs=1e-12)  # where the truth is not finite
    rows = list(_below_double(example_calls("prodigy")[0], FEW, "bfloat16"))
    assert [row.limit for row in rows] == [None, 0.5] and rows[1].passed


@pytest.mark.parametrize("name", TWINS)
def test_torch_is_the_same_by_its_recipe(name):
    pytest.importorskip("torch")
    for twin in TWINS[name]:
        row = _against_torch(twin, STEPS)
        assert row.passed, row


def gdjax(*words):
    """(exit code, stdout, stderr) of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
        entry.main([str(word) for word in words])
    return stop.value.code or 0, out.getvalue(), err.getvalue()


OWN = """
import jax.numpy as jnp

def good(g, p, t, trace, *, momentum=0.9):
    trace = g + momentum * trace
    return trace, {"trace": trace}

def bad(g, p, t, trace, *, momentum=0.9):
    trace = (1 - momentum) * g + momentum * trace
    return trace, {"trace": trace}

number = 3
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry, "_use_compilation_cache", lambda: None)
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    return tmp_path


def test_the_command_prints_and_writes(place):
    code, out, err = gdjax("certify", "sign_sgd", "--steps", STEPS)
    assert (code, err) == (0, "") and "sign_sgd(0.01)" in out and " red" in out.splitlines()[-1]
    written = json.loads((place / "certificates" / "certificates.json").read_text())
    assert len(written["rows"]) == len(list(certificate("sign_sgd", STEPS)))
    assert {row["dtype"] for row in written["rows"]} == {"float64", "float32", "bfloat16", "complex128"}
    assert all(row["passed"] for row in written["rows"]) and written["optax"]
    table = (place / "certificates" / "certificates.md").read_text().split("\n\n")[1].splitlines()
    assert len(table) == len(written["rows"]) + 2 and all(line.count("|") == 9 for line in table)


def test_the_command_judges_a_rule_of_ones_own(place):
    against = ("--against", "sgd(momentum=0.9)", "--steps", STEPS)
    code, out, _ = gdjax("certify", "mine.py:good", *against)
    assert code == 0 and "ok  mine.py:good" in out
    code, out, _ = gdjax("certify", "mine.py:bad", *against, "--out", place / "bad")
    assert code == 1 and "RED mine.py:bad" in out and "parts in bowl at step 0" in out
    assert not json.loads((place / "bad" / "certificates.json").read_text())["rows"][0]["passed"]


MISTAKES = {
    "an unknown name": (["adamm"], "did you mean 'adam'?"),
    "a call": (["adam(0.1)"], "must be the bare name of an optimizer, a wrapper or a transform"),
    "no reference": (["mine.py:good"], "belong together"),
    "nothing to judge": (["adam", "--against", "adam"], "belong together"),
    "no file": (["none.py:good", "--against", "adam"], "no file none.py"),
    "no such rule": (["mine.py:goodd", "--against", "adam"], "has no 'goodd'"),
    "a number": (["mine.py:number", "--against", "adam"], "expected an optimizer, a factory or a rule, got 3"),
    "a broken file": (["broken.py:x", "--against", "adam"], "fails when read: ModuleNotFoundError"),
    "a schedule": (["mine.py:good", "--against", "cosine(1.0, 10)"], "--against must be an optimizer"),
    "too few steps": (["sgd", "--steps", "3"], "--steps must be at least 10, got 3"),
    "a place taken": (["sgd", "--out", "mine.py"], "--out mine.py"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_one_line(place, mistake):
    words, expected = MISTAKES[mistake]
    code, _, err = gdjax("certify", *words)
    assert code == 2 and expected in err and err.count("\n") == 1
    assert not (place / "certificates" / "certificates.json").exists()
