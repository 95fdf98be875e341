"""The rows of batch i, a pure function of (key, i).

A shuffle is usually a stored permutation. Here it is a formula: a keyed bijection of {0, ..., n-1}, evaluated at the
positions of one batch. Nothing is stored, any batch can be computed without those before it, and a run that is stopped
within an epoch continues from its key and the number of batches read.

    "shuffle"       every epoch visits every row once, in the order of its own permutation
    "replacement"   rows drawn independently and uniformly, as in textbook stochastic gradient descent
    "sequence"      consecutive rows, in the order of the data

The draws depend only on the bits of the key, and neither on `vmap` nor on JAX's random number implementation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import check_interval

ORDERS = ("shuffle", "replacement", "sequence")
ROUNDS = 24  # a row escapes all of them with probability 2^-24


def batches_per_epoch(num_rows: int, batch_size: int) -> int:
    """ceil(num_rows / batch_size): the last batch may be ragged.

    >>> print(gd.data.batches_per_epoch(100, 32))
    4
    """
    return -(-num_rows // batch_size)


def batch_indices(
    order: str, key: jax.Array | None, batch: jax.Array | int, num_rows: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """The rows of one batch, and the mask of those that exist.

        epoch, i = divmod(batch, batches_per_epoch)        positions i B, ..., i B + B - 1
        shuffle: permute(fold_in(key, epoch), position)    replacement: n-sided dice of fold_in(key, batch)

    Args:
        order: "shuffle", "replacement" or "sequence"; static.
        key: a random key of any kind, the same for the whole run; a sequence needs none.
        batch: batches read so far, () int32 >= 0; may be traced or vmapped.
        num_rows: n, rows in the data, from 1 to 2^31 - batch_size.
        batch_size: B >= 1; static.

    Returns: indices (B,) int32 in [0, n), mask (B,) bool. In an epoch's last batch the positions past the end have some
        valid row and mask False; with replacement the mask is always True.
    Raises: ValueError for another order, no rows or an empty batch.

    >>> print(gd.data.batch_indices("sequence", None, 1, num_rows=5, batch_size=3))
    (Array([3, 4, 4], dtype=int32), Array([True,  True, False], dtype=bool))
    """
    _check(order, num_rows, batch_size)
    batch = jnp.asarray(batch, jnp.int32)
    if order == "replacement":
        words = _words(_fold(key, batch), batch_size)
        return _remainder(words, num_rows), jnp.ones(batch_size, bool)
    epoch, place = jnp.divmod(batch, batches_per_epoch(num_rows, batch_size))
    position = place * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    rows, mask = jnp.minimum(position, num_rows - 1), position < num_rows
    if order == "shuffle":
        rows = permute(_fold(key, epoch), rows, num_rows)
    return rows, mask


def shard_indices(
    order: str, key: jax.Array | None, batch: jax.Array | int, num_rows: int, batch_size: int, shards: int
) -> tuple[jax.Array, jax.Array]:
    """The rows that each shard of divided data gives to a batch, by their numbers in it, and the mask of those that exist.

        position p of the epoch belongs to shard p mod S, which reads it at place p // S of its own order
        shuffle: permute(fold_in(fold_in(key, epoch), shard), place)

    So a batch has as many rows as in `batch_indices`, one more or less of any shard, and an epoch visits every row once, if
    the shards have as equal numbers of rows as can be: ceil((n - s) / S) those of shard s. A row drawn with replacement is
    drawn uniformly from those of its shard.

    Args:
        order, key, batch, num_rows, batch_size: as for `batch_indices`; n >= S.
        shards: S >= 1; static.

    Returns: indices (S, ceil(B / S)) int32 in the rows of each shard, mask of the same shape, bool.

    >>> print(gd.data.shard_indices("sequence", None, 1, num_rows=7, batch_size=4, shards=2))
    (Array([[2, 3],
           [2, 2]], dtype=int32), Array([[ True,  True],
           [ True, False]], dtype=bool))
    """
    _check(order, num_rows, batch_size)
    check_interval("shard_indices", "num_rows", num_rows, f"[{shards}, inf)")
    batch, shard = jnp.asarray(batch, jnp.int32), jnp.arange(shards, dtype=jnp.int32)
    sizes = (num_rows - shard + shards - 1) // shards
    first = (shard - batch % shards * (batch_size % shards)) % shards  # place in the batch of each shard's first row
    if order != "replacement":
        epoch, batch = jnp.divmod(batch, batches_per_epoch(num_rows, batch_size))
        first = (shard - batch * batch_size) % shards
    offset = first[:, None] + shards * jnp.arange(-(-batch_size // shards), dtype=jnp.int32)
    mask = offset < batch_size
    if order == "replacement":
        words = _words(_fold(key, batch), mask.size).reshape(mask.shape)
        return _remainder(words, sizes[:, None]), mask
    mask &= offset < num_rows - batch * batch_size
    place = jnp.minimum((batch * batch_size + offset) // shards, sizes[:, None] - 1)
    if order == "shuffle":
        keys = jax.vmap(_fold, (None, 0))(_fold(key, epoch), shard)
        place = jax.vmap(permute)(keys, place, sizes)
    return place, mask


def permute(key: jax.Array, index: jax.Array, num_rows: int | jax.Array) -> jax.Array:
    """The swap-or-not shuffle: a bijection of {0, ..., n-1} that depends on the key, evaluated at given positions.

        x' = (K_r - x) mod n        x <- x' if the hash bit h_r(max(x, x')) is 1, else x        r = 1, ..., 24

    x and x' are partners in round r and have the same bit, so they are either swapped or both kept. So each round is a
    bijection, and so is their composition.

    Args:
        key: a random key of any kind.
        index: in [0, n), int32, any shape.
        num_rows: n, from 1 to 2^31 - 1; the arithmetic does not overflow 32 bits.

    Returns: int32 in [0, n), the shape of index.
    Reference: Hoang, Morris & Rogaway 2012, "An enciphering scheme based on a card shuffle", arXiv:1208.1176.

    >>> print(gd.data.permute(jax.random.key(0), jnp.arange(5), 5))
    [2 0 4 3 1]
    """
    check_interval("permute", "num_rows", num_rows, "[1, inf)")
    return _permute(_words(key, 2 * ROUNDS), index, num_rows)


@jax.jit
def _permute(words: jax.Array, index: jax.Array, num_rows: jax.Array) -> jax.Array:
    num_rows = jnp.asarray(num_rows, jnp.int32)
    round_keys = _remainder(words[:ROUNDS], num_rows), words[ROUNDS:]

    def swap_or_not(x, round_key):
        offset, salt = round_key
        difference = offset - x
        partner = jnp.where(difference < 0, difference + num_rows, difference)
        return jnp.where(_bit(jnp.maximum(x, partner), salt), partner, x), None

    return jax.lax.scan(swap_or_not, jnp.asarray(index, jnp.int32), round_keys, unroll=4)[0]


def _words(key: jax.Array, count: int) -> jax.Array:
    """Random numbers, (count,) uint32: hashes of 1, ..., count with the words of the key.

    `jax.random.bits` takes several times as long to compile.
    """
    data = jax.random.key_data(_threefry(key))
    counter = jnp.arange(1, count + 1, dtype=jnp.uint32) * np.uint32(0x9E3779B9)
    return _mix(_mix(counter ^ data[0]) ^ data[1])


def _remainder(words: jax.Array, num_rows: jax.Array | int) -> jax.Array:
    """words mod n, int32; the probabilities of two values differ by at most a factor 1 + 1/q, q = floor(2^32 / n)."""
    return (words % jnp.asarray(num_rows, jnp.uint32)).astype(jnp.int32)


def _mix(word: jax.Array) -> jax.Array:
    """A bijection of uint32 in which each bit of the result depends on every bit of the word."""
    word = (word ^ (word >> 16)) * np.uint32(0x7FEB352D)  # constants found by C. Wellons, "lowbias32"
    word = (word ^ (word >> 15)) * np.uint32(0x846CA68B)
    return word ^ (word >> 16)


def _bit(x: jax.Array, salt: jax.Array) -> jax.Array:
    """The top bit of the hash of x."""
    word = (x.astype(jnp.uint32) ^ salt) * np.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * np.uint32(0x846CA68B)
    return word >= np.uint32(1 << 31)


def _fold(key: jax.Array | None, number: jax.Array) -> jax.Array:
    if key is None:
        raise ValueError("batch_indices: a key is needed unless order is 'sequence', got None")
    return jax.random.fold_in(_threefry(key), number)


def _threefry(key: jax.Array) -> jax.Array:
    """The key's first two words as a threefry key, since the draws of other kinds change under vmap."""
    return jax.random.wrap_key_data(jax.random.key_data(key)[:2], impl="threefry2x32")


def _check(order: str, num_rows: int, batch_size: int) -> None:
    if order not in ORDERS:
        raise ValueError(f"batch_indices: order must be one of {', '.join(ORDERS)}, got {order!r}")
    check_interval("batch_indices", "num_rows", num_rows, "[1, inf)")
    check_interval("batch_indices", "batch_size", batch_size, "[1, inf)")
