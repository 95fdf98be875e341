"""What identifies a sweep: that of which a sweep that goes on must not differ from what was begun."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gdjax.sweeps.arguments import Arguments
from gdjax.sweeps.study import Study
from gdjax.tree import part, path_string

TOLD = ("optimizer", "stop", "batch_size", "order", "monitor", "length", "init_scale", "keep_params")


def identity_of(
    given: Arguments,
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    studies: Sequence[Study],
    rungs: Sequence[int],
) -> dict[str, Any]:
    """The identity, of JSON's types: what can be said in words, and digests of the data, the start and the programs."""
    first = studies[0]
    return {
        **{name: _text(getattr(given, name)) for name in TOLD},
        "configurations": [{path: _text(value) for path, value in each.items()} for each in configurations],
        "seeds": [*seeds],
        **({"rungs": [*rungs]} if rungs else {}),
        "data": digest_of((first.fitting.data, first.fitting.validation)),
        "start": digest_of(first.initial(seeds[0])),
        "programs": [program_of(study) for study in studies],
        "ways": [study.way._asdict() for study in studies],
    }


def digest_of(arrays: Any) -> str:
    """16 hex digits for the arrays of a tree: their paths, dtypes, shapes and entries."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(part(arrays)):
        x = np.asarray(leaf) if hasattr(leaf, "dtype") else np.asarray(_text(leaf))
        digest.update(f"{path_string(path)} {x.dtype} {x.shape}".encode())
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.hexdigest()[:16]


def program_of(study: Study) -> str:
    """16 hex digits for what a run computes: its operations and constants, whatever the functions are called."""
    fitting = study.fitting
    traced = jax.make_jaxpr(fitting.run)(
        fitting.run_state, fitting.data, fitting.validation, np.int32(1), None, fitting.period
    )
    digest = hashlib.sha256(_text(traced).encode())
    digest.update(digest_of(list(traced.consts)).encode())
    return digest.hexdigest()[:16]


def _text(value: Any) -> str:
    """The text of a value, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value) if isinstance(value, str) else repr(value))
