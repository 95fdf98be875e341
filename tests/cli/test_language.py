"""`gdjax train FILE.txt --model transformer` and `gdjax sample`: a run on a text is a run like any other."""

import json
import os
import signal

import jax
import numpy as np
import pytest
from test_cli import gdjax, untimed
from test_resume import but, killed, what_it_found

from gdjax import runs
from gdjax.cli import main as entry
from gdjax.data import read_corpus

CONTEXT = 8
SMALL = [
    "--width",
    8,
    "--layers",
    1,
    "--heads",
    2,
    "--context",
    CONTEXT,
    "--batch-size",
    8,
    "--steps",
    24,
    "--every",
    6,
]
WORDS = ["--model", "transformer", *SMALL, "--quiet", "--quick", "--checkpoint-every", "5steps"]


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gdjax.runs.language.ending.pictures", lambda *_: {})
        patch.setattr("gdjax.runs.assessment.pictures.svg", lambda *_: "<svg></svg>")
        patch.setattr(entry, "_use_compilation_cache", lambda: None)
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A file of words in random order."""
    path = tmp_path_factory.mktemp("text") / "words.txt"
    drawn = np.random.default_rng(0).choice(["the", "cat", "sat", "on", "a", "mat\n"], 500)
    path.write_text(" ".join(drawn))
    return path


@pytest.fixture(scope="module")
def whole(text, tmp_path_factory):
    """The run that never stopped, whose page has a sample."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    words = [word for word in WORDS if word != "--quick"]
    code, out, err = gdjax("train", text, *words, "--out", folder)
    assert (code, out) == (0, "") and err in ("", "\n")
    return folder


def test_the_numbers_of_a_run_are_those_of_the_definition(place, whole, text):
    """Nats of the model and of n-grams, on the same units of the validation share, computed anew in NumPy."""
    run, corpus = runs.load(whole), read_corpus(text)
    starts = np.arange(len(corpus.train), len(corpus.tokens) - CONTEXT, CONTEXT)
    windows = corpus.tokens[starts[:, None] + np.arange(CONTEXT + 1)].astype(int)
    scores = np.asarray(run.model.apply(run.params, windows[:, :-1]), np.float64)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
    nats = -np.take_along_axis(scores, windows[:, 1:, None], -1).mean()
    assert run.result["validation"]["loss"] == pytest.approx(nats, abs=1e-5)
    assert run.result["validation"]["accuracy"] == pytest.approx((scores.argmax(-1) == windows[:, 1:]).mean(), abs=1e-6)
    found = run.result["assessment"]
    model, targets = runs.fit_ngrams(corpus.train, len(corpus.vocabulary)), starts[:, None] + np.arange(1, CONTEXT + 1)
    for order in (2, 3, 4, 5):
        of_all = model.nats(corpus.validation, order)[targets.ravel() - len(corpus.train)]
        assert found["ngrams"][f"{order}-gram"] == pytest.approx(of_all.mean(), abs=1e-12)
    assert found["nats"] == run.result["validation"]["loss"] and found["units"] == targets.size
    code, out, err = gdjax("evaluate", whole)
    assert (code, err) == (0, "") and f"{found['nats']:.6f}" in out
    (place / "other.txt").write_text(
        corpus.vocabulary.decode(corpus.tokens[starts[0] : starts[0] + CONTEXT + 1]) + "dög!"
    )
    code, out, err = gdjax("evaluate", whole, "other.txt")
    first = -np.take_along_axis(scores, windows[:, 1:, None], -1)[0].mean()
    assert (code, err) == (0, "") and f"{first:.4f}"[:5] in out and "4 characters that the vocabulary lacks" in out
    code, out, err = gdjax("show", whole)
    assert (code, err) == (0, "") and found["headline"] in out and "a model of words, characters" in out
    page = (whole / "report.html").read_text()
    assert found["headline"] in page and all(said in page for said in found["sentences"][1:])
    assert corpus.sha256 in page and run.result["sample"][1:40].split("\n")[0] in page
    assert ("no better than a bigram" in page) == (found["nats"] >= found["ngrams"]["2-gram"]) == bool(found["alarm"])


@pytest.mark.parametrize("at", [7, "gdjax.runs._train.finish_run"])
def test_a_killed_run_goes_on_to_the_last_bit(place, whole, text, at):
    """Between two evaluations, and before its results are written."""
    words = ["train", str(text), *[word for word in WORDS if word != "--quick"]]
    cut = killed(place, *words, at=at)
    assert runs.list_runs(cut)[0].status.startswith("unfinished: step ")
    assert gdjax("train", "--resume", "--out", "cut", "--quiet")[0] == 0
    assert what_it_found(cut) == what_it_found(whole)


def test_an_interrupted_run_is_kept_and_goes_on(place, whole, text, monkeypatch):
    inner, sent = runs.Recording.take, []

    def take(self, run_state):
        inner(self, run_state)
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))

    with monkeypatch.context() as patch:
        patch.setattr(runs.Recording, "take", take)
        said = "gdjax: INTERRUPTED, step 10 is saved; gdjax train --resume --out cut goes on\n"
        assert gdjax("train", text, *WORDS, "--out", "cut") == (143, "", said)
    assert runs.load("cut").result["assessment"] is None and not (place / "cut/report.html").exists()
    code, out, err = gdjax("train", text, *but(WORDS, "--context", 7), "--out", "cut", "--resume")
    assert (code, out) == (2, "") and "data.context is 8 there and 7 here" in err
    code, out, err = gdjax("train", "wine", "--steps", 24, "--tune", "none", "--out", "cut", "--resume")
    assert (code, out) == (2, "") and "data.task is language there and classification here" in err
    assert gdjax("train", "--resume", "--out", "cut", "--quiet")[0] == 0
    assert untimed(place / "cut") == untimed(whole)


def by_hand(run, prompt, length):
    """The likeliest characters one after the other, from the model's scores of all that fits; what follows has no part."""
    tokens, apply = run.vocabulary.encode(prompt).tolist(), jax.jit(run.model.apply)
    for _ in range(length):
        last = tokens[-CONTEXT:]
        window = np.array(last + [0] * (CONTEXT - len(last)))
        tokens.append(int(np.argmax(apply(run.params, window)[len(last) - 1])))
    return run.vocabulary.decode(tokens)


def test_a_sample_is_drawn_by_its_seed(place, whole):
    """At temperature 0 it is the likeliest one by one, of a prompt that is longer than the context as of a short one."""
    run, prompt = runs.load(whole), "the cat sat"
    one, two, other = (run.sample(prompt, length=30, seed=seed) for seed in (1, 1, 2))
    assert one == two != other and one.startswith(prompt) and len(one) == len(prompt) + 30
    assert run.sample(prompt, 12, temperature=0.0) == by_hand(run, prompt, 12)
    assert run.sample("\n", 12, temperature=0.0, seed=5) == by_hand(run, "\n", 12) == "\n" + run.sample("", 12, 0.0)
    code, out, err = gdjax("sample", whole, "--prompt", prompt, "--length", 30, "--seed", 1)
    assert (code, out, err) == (0, f"{one}\n", "")


@pytest.mark.nightly  # one more program; the tests of models hold a gru to its definition
def test_a_gru_reads_bytes_too(place, text):
    words = ["--model", "gru", "--unit", "bytes", "--width", 4, "--context", CONTEXT, "--steps", 4, "--quick"]
    code, out, err = gdjax("train", text, *words, "--out", "run")
    assert code == 0 and "nats per byte" in out and "SHA-256" in out and err.startswith("gdjax: the model is no better")
    assert json.loads((place / "run/config.json").read_text())["data"]["unit"] == "bytes"
    run = runs.load("run")
    assert run.sample("the cat sat", 12, temperature=0.0) == by_hand(run, "the cat sat", 12)


def test_the_texts_by_name_are_listed_and_described(place):
    code, out, err = gdjax("data")
    assert (code, err) == (0, "") and "  python-docs" in out
    assert gdjax("data", "python-docs") == (0, f"{read_corpus('python-docs')}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "TEXT", *WORDS, "--target", "y"], "--target is of a table, and --model transformer reads "),
        (["train", "TEXT", *WORDS, "--split", "0.5", "0.3", "0.2"], "--split is of a table, and --model transformer"),
        (["train", "TEXT", *WORDS, "--flow"], "--flow is of a table"),
        (["train", "TEXT", *but(WORDS, "--model", "gru")], "--heads is of a transformer, --model gru has none"),
        (["train", "TEXT", *but(WORDS, "--width", 7)], "width must be a multiple of heads, got width 7 and 2 heads"),
        (["train", "TEXT", *but(WORDS, "--context", 999)], "must be longer than --context 999, got 1"),
        (["train", "TEXT", *but(WORDS, "--context", 0)], "context must be "),
        (["train", "TEXT", *but(WORDS, "--every", 0)], "--every must be above 0, got 0"),
        (["train", "TEXT", *WORDS, "--epochs", 1], "gdjax: give --epochs or --steps, not both"),
        (["train", "TEXT", *but(WORDS, "--batch-size", 0)], "--batch-size must be between 1 and the "),
        (["train", "TEXT", *WORDS, "--encoding", "utf-16"], "not utf-16"),
        (
            ["train", "python-docs"],
            "python-docs is a text, which --model mlp does not read; --model transformer or --model",
        ),
        (["train", "nothing", *WORDS], "there is no file and no text 'nothing'; the texts by name are python-docs"),
        (["train", "wine", "--context", 8], "--context is of a text, which --model transformer reads"),
        (["sweep", "TEXT", "--model", "transformer"], "a model of a text is trained by `gdjax train`"),
        (["find-lr", "python-docs", "--model", "gru"], "a model of a text is trained by `gdjax train`"),
        (["tournament", "TEXT", "--model", "transformer"], "a model of a text is trained by `gdjax train`"),
        (["sample", "RUN", "--prompt", "dög"], "the text has 'd', 'g' and 'ö', which the vocabulary of "),
        (["sample", "RUN", "--temperature", -1], "--temperature must be at least 0 and finite, got -1"),
        (["sample", "RUN", "--length", 0], "--length must be from 1 to 1,000,000, got 0"),
        (["data", "python-docs", "--target", "y"], "--target does not belong to a text"),
        (["evaluate", "RUN", "TEXT", "--level", 0.5], "--level is of intervals, which a run on a text has none of"),
        (["predict", "RUN", "TEXT"], "is a run on a text: `gdjax sample` continues a text"),
    ],
    ids=lambda each: " ".join(map(str, each[:2])) if isinstance(each, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(place, whole, text, words, said):
    code, out, err = gdjax(*(text if word == "TEXT" else whole if word == "RUN" else word for word in words))
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1 and not list(place.iterdir())


def test_a_damaged_vocabulary_is_said(place, whole):
    import shutil

    shutil.copytree(whole, place / "run")
    for codes in ([3, 2], [], ["a"], [1, 2, 3], [0x110000]):
        (place / "run/encoding.json").write_text(json.dumps({"unit": "characters", "codes": codes}))
        code, out, err = gdjax("sample", "run")
        assert (code, out) == (2, "") and "run is damaged: " in err and err.count("\n") == 1
