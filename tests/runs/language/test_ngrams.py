"""n-gram models against a direct reading of their definition, and a tiny text by hand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax.runs import fit_ngrams


def probability(text, history, unit, vocabulary):
    """p(unit | history) by the definition, with counts taken anew from the text, as a fraction."""
    size = len(history)
    followers = [text[i + size] for i in range(len(text) - size) if text[i : i + size] == history]
    shorter = probability(text, history[1:], unit, vocabulary) if size else Fraction(1, vocabulary)
    if not followers:
        return shorter
    kinds = len(set(followers))
    return (followers.count(unit) + kinds * shorter) / (len(followers) + kinds)


@settings(max_examples=25, deadline=None)
@given(
    text=st.lists(st.integers(0, 3), min_size=1, max_size=30), read=st.lists(st.integers(0, 3), min_size=1, max_size=12)
)
def test_probabilities_are_those_of_the_definition(text, read):
    model = fit_ngrams(np.array(text), 4, 5)
    for order in (1, 3, 5):
        expected = [probability(text, read[max(0, i - order + 1) : i], read[i], 4) for i in range(len(read))]
        np.testing.assert_allclose(np.exp(-model.nats(np.array(read), order)), [float(p) for p in expected], rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(text=st.lists(st.integers(0, 5), min_size=1, max_size=40), history=st.lists(st.integers(0, 5), max_size=6))
def test_the_probabilities_after_any_history_sum_to_1(text, history):
    model = fit_ngrams(np.array(text), 6, 4)
    last = [np.exp(-model.nats(np.array([*history, unit]))[-1]) for unit in range(6)]
    assert sum(last) == pytest.approx(1, abs=1e-12)


def test_a_tiny_text_by_hand():
    """abab: p(b | a) = (2 + 1 p(b)) / (2 + 1) with p(b) = (2 + 2 / 3) / (4 + 2) in a vocabulary of a, b, c."""
    model = fit_ngrams(np.array([0, 1, 0, 1]), vocabulary=3, order=2)
    p_b = (2 + 2 / 3) / 6
    np.testing.assert_allclose(np.exp(-model.nats(np.array([0, 1]))), [p_b, (2 + p_b) / 3], rtol=1e-14)
    assert model.order == 2 and model.nats(np.array([2, 2]))[1] == model.nats(np.array([2, 2]), 1)[1]
