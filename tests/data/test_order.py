"""The order of batches: a bijection that mixes, and the laws of an epoch for every order."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax.data import batch_indices, batches_per_epoch, permute, shard_indices
from gdjax.data.order import ORDERS

SETTINGS = settings(max_examples=40, deadline=None, database=None, derandomize=True)
KEY = jax.random.key(3)
LONGEST = 24  # batches in the longest epoch here
SIZES = [(1, 1), (1, 5), (2, 1), (10, 5), (11, 5), (11, 16), (64, 16), (65, 16), (1437, 64)]


@jax.jit
def permute_places(seeds, n):
    return jax.vmap(lambda seed: permute(jax.random.key(seed), jnp.arange(64), n))(seeds)


@functools.cache
def permutations(n: int) -> np.ndarray:
    """One permutation of n for each of 40,000 neighboring seeds, (keys, n)."""
    return np.asarray(permute_places(jnp.arange(40_000), n))[:, :n]


@functools.cache
def jit_indices(order, size):
    return jax.jit(lambda key, batch, n: batch_indices(order, key, batch, n, size))


@functools.cache
def vmap_indices(order, size):
    return jax.jit(jax.vmap(jit_indices(order, size), (None, 0, None)))


def epoch_of(order, key, epoch, n, size):
    """All batches of one epoch: (batches, size) indices and mask."""
    count = batches_per_epoch(n, size)
    rows, mask = vmap_indices(order, size)(key, epoch * count + jnp.arange(LONGEST), n)  # one program for all n
    return rows[:count], mask[:count]


def excess(counts: np.ndarray, freedom: int) -> float:
    """Chi-square against equal counts, in standard deviations from its mean."""
    chi_square = np.sum((counts - counts.mean()) ** 2) / counts.mean()
    return (chi_square - freedom) / math.sqrt(2 * freedom)


# The bijection.


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000, 1437, 100_003])
def test_permute_is_a_bijection(n):
    for seed in range(3):
        image = permute(jax.random.key(seed), jnp.arange(max(n, 1437)), n)[:n]
        assert image.dtype == jnp.int32
        np.testing.assert_array_equal(np.sort(image), np.arange(n))


@SETTINGS
@given(n=st.integers(1, 300), seed=st.integers(0, 2**31 - 1))
def test_permute_is_a_bijection_for_any_size_and_key(n, seed):
    image = permute(jax.random.key(seed), jnp.arange(1437), n)[:n]
    np.testing.assert_array_equal(np.sort(image), np.arange(n))


@SETTINGS
@given(n=st.integers(2**30, 2**31 - 1), seed=st.integers(0, 2**31 - 1))
def test_permute_holds_where_int32_ends(n, seed):
    index = jnp.array([0, 1, n // 2, n - 2, n - 1], jnp.int32)
    image = np.asarray(permute(jax.random.key(seed), index, n))
    assert len(set(image.tolist())) == 5
    assert np.all((image >= 0) & (image < n))


def test_permute_keeps_the_shape_of_its_index():
    index = jnp.arange(12, dtype=jnp.int32).reshape(3, 4)
    chex.assert_trees_all_equal(permute(KEY, index, 12), permute(KEY, index.ravel(), 12).reshape(3, 4))
    chex.assert_trees_all_equal(permute(KEY, index[1, 2], 12), permute(KEY, index, 12)[1, 2])


def test_permute_gives_the_same_bits_for_ever():
    """A run that is resumed under another version of jax must find its place again."""
    for seed, expected in [(0, [6, 8, 3, 0, 9, 1, 4, 7, 5, 2]), (1, [1, 8, 6, 9, 3, 5, 2, 7, 0, 4])]:
        np.testing.assert_array_equal(permute(jax.random.key(seed), jnp.arange(10), 10), expected)
    rows, _ = batch_indices("replacement", jax.random.key(0), 0, 10, 5)
    np.testing.assert_array_equal(rows, [5, 7, 9, 4, 5])


@pytest.mark.parametrize("order", ORDERS)
def test_float64_mode_gives_the_same_bits(order):
    with jax.enable_x64(True):
        image = permute(KEY, jnp.arange(10), 10)
        wide = batch_indices(order, KEY, np.int64(7), 10, 4)
    chex.assert_trees_all_equal_dtypes(wide, (jnp.int32(0), np.bool_(True)))
    chex.assert_trees_all_equal(wide, batch_indices(order, KEY, 7, 10, 4))
    assert image.dtype == jnp.int32
    np.testing.assert_array_equal(image, permute(KEY, jnp.arange(10), 10))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_all_permutations_are_equally_likely(n):
    permuted = permutations(n)
    _, counts = np.unique(permuted @ n ** np.arange(n), return_counts=True)
    assert len(counts) == math.factorial(n)
    assert excess(counts, math.factorial(n) - 1) < 4


def test_every_row_comes_to_every_place_equally_often():
    n, permuted = 64, permutations(64)
    counts = np.stack([np.bincount(permuted[:, place], minlength=n) for place in range(n)])
    assert excess(counts, (n - 1) ** 2) < 4


def test_neighbors_stay_neighbors_no_more_often_than_chance():
    n, permuted = 64, permutations(64)
    together = np.sum(np.abs(np.diff(permuted, axis=1)) == 1, axis=1)  # near Poisson, mean 2 (n - 1) / n
    assert abs(together.mean() - 2 * (n - 1) / n) < 4 * math.sqrt(2 / len(permuted))
    steps = np.bincount((np.diff(permuted, axis=1) % n).ravel(), minlength=n)[1:]
    assert excess(steps, n - 2) < 4


def test_two_rows_take_every_pair_of_places_equally_often():
    n, permuted = 16, permutations(16)
    counts = np.bincount(permuted[:, 0] * n + permuted[:, 1], minlength=n * n).reshape(n, n)
    assert np.all(np.diag(counts) == 0)
    assert excess(counts[~np.eye(n, dtype=bool)], n * (n - 1) - 1) < 4


def test_permutations_of_neighboring_seeds_are_uncorrelated():
    n, permuted = 64, permutations(64)
    ranks = (permuted - (n - 1) / 2) / np.arange(n).std()
    correlation = (ranks[1:] * ranks[:-1]).mean(axis=1) * math.sqrt(n - 1)  # mean 0, variance 1
    assert abs(correlation.mean()) < 4 / math.sqrt(len(correlation))
    assert abs(correlation.var() - 1) < 0.05


# An epoch.


LIKE_OTHERS = {(1, 5), (2, 1), (10, 5), (11, 5), (64, 16)}


@pytest.mark.parametrize(
    ("n", "size"), [pytest.param(*x, marks=[pytest.mark.nightly] * (x in LIKE_OTHERS)) for x in SIZES]
)
@pytest.mark.parametrize("order", ["shuffle", "sequence"])
def test_an_epoch_visits_every_row_once(order, n, size):
    rows, mask = epoch_of(order, KEY, 2, n, size)
    chex.assert_shape([rows, mask], (math.ceil(n / size), size))
    assert rows.dtype == jnp.int32
    assert mask.dtype == bool
    np.testing.assert_array_equal(np.sort(rows[mask]), np.arange(n))
    assert np.all((rows >= 0) & (rows < n))
    np.testing.assert_array_equal(np.ravel(mask), np.arange(mask.size) < n)


@SETTINGS
@given(
    n=st.integers(1, LONGEST),
    size=st.sampled_from([1, 5, 16]),
    order=st.sampled_from(["shuffle", "sequence"]),
    epoch=st.integers(0, 1000),
    seed=st.integers(0, 2**31 - 1),
)
def test_an_epoch_visits_every_row_once_whatever_its_size(n, size, order, epoch, seed):
    rows, mask = map(np.asarray, epoch_of(order, jax.random.key(seed), epoch, n, size))
    assert sorted(rows[mask].tolist()) == list(range(n))


@pytest.mark.parametrize("order", ORDERS)
def test_traced_mapped_and_concrete_agree(order):
    rows, mask = epoch_of(order, KEY, 1, 23, 5)
    for i in range(5):
        concrete = batch_indices(order, KEY, 5 + i, 23, 5)
        chex.assert_trees_all_equal(concrete, (rows[i], mask[i]))
        chex.assert_trees_all_equal(concrete, jit_indices(order, 5)(KEY, jnp.int32(5 + i), 23))


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_epochs_and_keys_differ(order):
    first, _ = epoch_of(order, KEY, 0, 100, 5)
    for other, _ in (epoch_of(order, KEY, 1, 100, 5), epoch_of(order, jax.random.key(4), 0, 100, 5)):
        assert np.mean(np.asarray(first) == np.asarray(other)) < 0.1


def test_an_epoch_of_the_shuffle_is_the_permutation_of_its_key():
    rows, mask = epoch_of("shuffle", KEY, 6, 23, 5)
    expected = permute(jax.random.fold_in(KEY, 6), jnp.arange(23), 23)
    np.testing.assert_array_equal(rows[mask], expected)


def test_a_sequence_is_the_window_that_slides():
    rows, mask = batch_indices("sequence", None, 1, 7, 3)
    np.testing.assert_array_equal(rows, [3, 4, 5])
    rows, mask = batch_indices("sequence", None, 5, 7, 3)  # the last of the second epoch
    np.testing.assert_array_equal(rows, [6, 6, 6])
    np.testing.assert_array_equal(mask, [True, False, False])


def test_replacement_draws_every_row_equally_often_and_counts_all():
    rows, mask = vmap_indices("replacement", 5)(KEY, jnp.arange(6000), 10)
    assert np.all(mask)
    assert excess(np.bincount(np.ravel(rows), minlength=10), 9) < 4
    pairs = np.bincount(np.asarray(rows[:, 0] * 10 + rows[:, 1]), minlength=100)
    assert excess(pairs, 99) < 4


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
@pytest.mark.parametrize("kind", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_any_kind_of_key_gives_random_access(order, kind):
    key = jax.random.key(5, impl=kind)
    rows, mask = epoch_of(order, key, 3, 23, 5)
    for i in range(5):
        chex.assert_trees_all_equal(batch_indices(order, key, 15 + i, 23, 5), (rows[i], mask[i]))
    if order == "shuffle":
        np.testing.assert_array_equal(np.sort(rows[mask]), np.arange(23))


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_a_raw_key_is_as_good_as_a_typed_one(order):
    raw = jax.random.PRNGKey(11)
    assert raw.dtype == jnp.uint32
    chex.assert_trees_all_equal(batch_indices(order, raw, 3, 23, 5), batch_indices(order, jax.random.key(11), 3, 23, 5))


def test_nothing_is_stored():
    """Two billion rows cost what ten do."""
    rows, mask = batch_indices("shuffle", KEY, 12_345_678, 2_000_000_000, 8)
    assert np.all(mask)
    assert len(set(rows.tolist())) == 8


# Errors.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shufle", KEY, 0, 10, 2), "order must be one of shuffle, replacement, sequence, got 'shufle'"),
        (("shuffle", KEY, 0, 0, 2), r"num_rows must be in \[1, inf\), got 0"),
        (("shuffle", KEY, 0, 10, 0), r"batch_size must be in \[1, inf\), got 0"),
        (("shuffle", None, 0, 10, 2), "a key is needed unless order is 'sequence', got None"),
        (("replacement", None, 0, 10, 2), "a key is needed unless order is 'sequence', got None"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^batch_indices: {message}$"):
        batch_indices(*arguments)


def test_permute_needs_a_row():
    with pytest.raises(ValueError, match=r"permute: num_rows must be in \[1, inf\), got 0"):
        permute(KEY, jnp.arange(1), 0)


@pytest.mark.parametrize(("n", "size", "shards"), [(7, 4, 2), (50, 13, 8), (64, 16, 4), (11, 11, 4)])
def test_shards_give_every_row_once_an_epoch_in_batches_of_the_same_sizes(n, size, shards):
    """Each as many rows to a batch as any other, or one less, from the first rows and the last of its own."""
    count, sizes = batches_per_epoch(n, size), np.array([len(part) for part in np.array_split(np.arange(n), shards)])
    for order in ORDERS:
        of_batch = jax.vmap(lambda i, order=order: shard_indices(order, KEY, i, n, size, shards))
        rows, mask = map(np.asarray, jax.jit(of_batch)(np.arange(2 * count)))
        assert mask.shape == (2 * count, shards, -(-size // shards))
        assert np.all((rows >= 0) & (rows < sizes[:, None])) and np.ptp(mask.sum(2), axis=1).max() <= 1
        whole = [size] * count if order == "replacement" else [*[size] * (count - 1), n - (count - 1) * size]
        assert mask.sum((1, 2)).tolist() == 2 * whole
        for epoch in [] if order == "replacement" else np.split(np.arange(2 * count), 2):
            for shard, own in enumerate(sizes):
                taken = rows[epoch, shard][mask[epoch, shard]]
                assert (taken.tolist() if order == "sequence" else sorted(taken)) == [*range(own)]
