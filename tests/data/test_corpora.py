"""Texts: their shares never overlap, their vocabulary is that of training, and what is no text is refused in a sentence."""

import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax.data import Vocabulary, read_corpus


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@settings(max_examples=30, deadline=None)
@given(size=st.integers(30, 300), share=st.floats(0.1, 0.6), context=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_no_training_window_holds_a_unit_of_validation(tmp_path_factory, size, share, context, seed):
    """With the unit that each window predicts last; every training window is there, and validation is read once."""
    text = "".join(np.random.default_rng(seed).choice(list("abc"), size))
    corpus = read_corpus(written(tmp_path_factory.mktemp("text") / "t.txt", text), share=share)
    if min(len(corpus.train), len(corpus.validation)) <= context:
        return
    train, validation = (
        {tuple(range(start, start + context + 1)) for start in starts.tolist()} for starts in corpus.windows(context)
    )
    boundary = corpus.boundary
    assert max(map(max, train)) == boundary - 1 and min(map(min, train)) == 0 and len(train) == boundary - context
    assert min(map(min, validation)) == boundary and max(map(max, validation)) < len(corpus.tokens)
    targets = sorted(place for window in validation for place in window[1:])
    assert targets == list(range(boundary + 1, boundary + 1 + len(validation) * context))
    assert len(corpus.tokens) - targets[-1] <= context
    assert corpus.vocabulary.decode(corpus.tokens) == text


def test_encodings_and_packed_files_are_recognized(tmp_path):
    text = "Öl, Äpfel und Käse für Jörg. " * 20
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        corpus = read_corpus(written(tmp_path / "t.txt", text.encode(encoding)))
        assert corpus.vocabulary.decode(corpus.tokens) == text, encoding
        assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()
    corpus = read_corpus(written(tmp_path / "t.txt.gz", gzip.compress(text.encode())), unit="bytes")
    assert corpus.notes == ("packed by gzip",) and corpus.tokens.dtype == np.uint8
    assert corpus.vocabulary.decode(corpus.tokens) == text and max(corpus.vocabulary.codes) > 127
    page = read_corpus(written(tmp_path / "t.html", "<html>" + text))
    assert page.vocabulary.decode(page.tokens[:6]) == "<html>"


def test_what_training_has_not_is_left_out_of_validation(tmp_path):
    corpus = read_corpus(written(tmp_path / "t.txt", "ab" * 45 + "aéb€aéba" + "ab"), share=0.1)
    assert corpus.vocabulary == Vocabulary("characters", (97, 98))
    assert corpus.vocabulary.decode(corpus.tokens) == "ab" * 45 + "ababaab"
    assert corpus.notes == (
        "3 characters of the validation share that training has not are left out there: 'é' and '€'",
    )


def test_the_python_docs_are_split_between_topics_and_hold_no_paragraph_twice():
    from pydoc_data.topics import topics

    corpus = read_corpus("python-docs")
    train, validation = (corpus.vocabulary.decode(part) for part in (corpus.train, corpus.validation))
    paragraphs = [each for each in (train + validation).replace("\n\n\n", "\n\n").split("\n\n") if each.strip()]
    assert len({each.strip("\n") for each in paragraphs}) == len(paragraphs)
    heads = {name: text.split("\n\n")[0].strip("\n") for name, text in topics.items()}
    assert any(validation.startswith(head) for head in heads.values()) and train.endswith("\n\n\n")
    assert abs(len(validation) / len(corpus.tokens) - 0.1) < 0.03
    assert (
        "dropped: 1" in corpus.notes[1] and corpus.sha256 == hashlib.sha256((train + validation).encode()).hexdigest()
    )


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (None, {}, "t: a folder, not a file\n"),
        (b"", {}, "t: empty"),
        (b" \n\n", {}, "t: empty"),
        (b"\x89PNG\r\n\x1a\n", {}, "t: no text but a PNG image"),
        (b"\x00\x01\x02\x03\x04" * 50, {}, "t: no text but binary data"),
        (b"abcabcabc", {"unit": "words"}, "`unit=words`: there are characters, bytes"),
        (b"abcabcabc\xff", {"encoding": "ascii"}, "t: line 1 is not ascii, got the bytes ff"),
        (b"abcabcabc", {"encoding": "none"}, "`encoding=none` is no text encoding"),
        (
            b"abcabcabc",
            {"encoding": "ascii", "unit": "bytes"},
            "`encoding=ascii` is of characters, not of `unit=bytes`",
        ),
        (b"a", {}, "needs a training and a validation share, got 1 character"),
        (b"a" * 90 + b"b" * 10, {}, "needs a training and a validation share, got 100 characters"),
    ],
)
def test_what_is_no_text_is_said_in_a_sentence(tmp_path, content, options, said):
    path = tmp_path if content is None else written(tmp_path / "t", content)
    with pytest.raises(ValueError) as error:
        read_corpus(path, **options)
    assert said.replace("t: ", f"{path}: ") in f"{error.value}\n" and "\n" not in str(error.value)


def test_a_text_that_is_too_short_for_a_window_says_so(tmp_path):
    corpus = read_corpus(written(tmp_path / "t.txt", "abc" * 20))
    assert len(corpus.windows(5).validation) == 1
    with pytest.raises(ValueError, match="its validation share must be longer than `context=6`, got 6 characters"):
        corpus.windows(6)


def test_a_prompt_may_hold_what_the_vocabulary_has():
    vocabulary = Vocabulary("bytes", tuple(sorted(set("Käse".encode()))))
    assert vocabulary.decode(vocabulary.encode("Käse")) == "Käse" and vocabulary.decode([]) == ""
    with pytest.raises(ValueError, match=r"decode: numbers must be in \[0, 5\), got -1, 5"):
        vocabulary.decode([0, -1, 5])
    with pytest.raises(ValueError, match="the text has 0x6c and 0xb6, which the vocabulary of 5 bytes lacks"):
        vocabulary.encode("löse")
