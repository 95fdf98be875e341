"""What every process of a computation on several hosts is given whole, and which must be the same in all of them."""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gdjax.calls import data_of
from gdjax.training.together import Together
from gdjax.tree import path_string


def check_same(who: str, name: str, part: Any, mesh: Mesh) -> None:
    """Raise ValueError unless the arrays of a tree are equal in all processes of a mesh, to the last bit.

    Arrays that lie on the devices of several processes are one in all of them, and not looked at.
    """
    if not mesh.is_multi_process or not any(map(_is_alone, jax.tree.leaves(part))):
        return
    digests = Together().everywhere(lambda: digest(part))
    others = [index for index, each in enumerate(digests) if each != digests[0]]
    if others:
        raise ValueError(
            f"{who}: {name} must be the same in all processes, since each is given all of it, got another in process "
            f"{others[0]} than in process 0; for what each process has only a part of, write "
            "jax.make_array_from_process_local_data(placement.divided, part)"
        )


def _is_alone(leaf: Any) -> bool:
    """Whether a leaf is an array or a number of this process."""
    return not (isinstance(leaf, jax.Array) and not leaf.is_fully_addressable)


def digest(part: Any) -> str:
    """Hexadecimal digits that stand for the paths and the bytes of the arrays that this process has alone."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(part):
        x = np.asarray(data_of(leaf), order="C") if _is_alone(leaf) else np.zeros(0)
        if x.dtype != object:  # as a function is, which has an address in each process
            found.update(f"{path_string(path)} {x.dtype.str} {x.shape}".encode())
            found.update(memoryview(x.reshape(-1).view(np.uint8)))
    return found.hexdigest()
