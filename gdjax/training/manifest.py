"""The manifest of a checkpoint: what it holds, whose it is, and the digests by which it is verified.

The digest of a leaf covers its entries together with its name, dtype and shape, the step and the identity of the run, so
that a leaf of another name, step or run is found. The digest of the manifest covers all of it, the set of files included;
its text is the only one for its content, so that no byte of it can change unseen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

VERSION = 1
MANIFEST = "manifest.json"


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged, that does not fit, or that could not be saved; the message is one line."""


@contextlib.contextmanager
def place_errors(place: str) -> Iterator[None]:
    """A context in which the message of a CheckpointError begins with the place."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from error


def json_text(value: Any) -> bytes:
    """The one text of a value.   Raises: TypeError or ValueError if JSON has no form for it."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def sha256(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def leaf_digest(name: str, about: Mapping[str, Any], step: int, identity: Any, entries: Any) -> str:
    """The digest of a leaf; `about` is what the manifest says of it besides."""
    return sha256(json_text([name, dict(about), step, identity]), entries)


def seal(manifest: Mapping[str, Any]) -> bytes:
    """The text of a manifest, with its digest."""
    return json_text({"manifest": manifest, "sha256": sha256(json_text(manifest))}) + b"\n"


def unseal(text: bytes) -> dict[str, Any]:
    """The manifest of a text that `seal` returned.   Raises: ValueError for any other text."""
    try:
        manifest = json.loads(text)["manifest"]
        whole = seal(manifest) == text
    except (ValueError, TypeError, KeyError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(f"{MANIFEST} is not what was written")
    if manifest["version"] != VERSION:
        raise ValueError(f"it is of version {manifest['version']}, this gdjax reads version {VERSION}")
    return manifest
