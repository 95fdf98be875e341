"""One state of a run as a folder, written whole and verified when it is read.

arrays.safetensors   every leaf by its path
manifest.json        what they are and whose, with the digests

Of a state that is spread over several hosts, each process writes the blocks that it has, process 0 into this file with all
other leaves, process 1 into `arrays-1.safetensors`, and process 0 commits the folder, which all hosts must share.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gdjax.files import commit_folder, present, sync
from gdjax.training.blocks import entry_name
from gdjax.training.container import entries_of, find_entries, read_container, write_container
from gdjax.training.identity import differences, environment, full_identity
from gdjax.training.manifest import MANIFEST, VERSION, CheckpointError, leaf_digest, place_errors, seal, sha256, unseal
from gdjax.training.snapshot import (
    Snapshot,
    check_run_state,
    check_structure,
    describe,
    restore_state,
    take_snapshot,
)
from gdjax.training.together import ALONE, Alone, processes_of
from gdjax.types import RunState

FILES = re.compile(r"manifest\.json|arrays(-\d+)?\.safetensors")


def file_of(index: int) -> str:
    """The name of the file that a process writes."""
    return f"arrays-{index}.safetensors" if index else "arrays.safetensors"


def save_run(path: str | Path, run_state: RunState, identity: Mapping[str, Any] | None = None) -> None:
    """Save one state of a run as a folder, which appears at `path` whole and on the disk, in place of an older one.

    The folder holds every leaf, the history included, in a file of the safetensors format, and a manifest in JSON with the
    SHA-256 of each. A state is read again on any number of devices and of hosts. Where arrays lie on devices of several
    hosts (in the sense of `jax.distributed`), every process calls this; an error in one is an error in all.

    Args:
        path: the folder; its parents are made.
        run_state: what `segments` yields, what `start_run` returns, or `result.run_state`; also a stack of them, for `vmap`.
        identity: what identifies the run, of JSON's types: the configuration, the hash of the data. The `versions` of gdjax
            and jax, the number of CPU `cores` and the `platform` are added where it does not give them.

    Raises: CheckpointError if it cannot be written, or if `path` is something else than a checkpoint; what was there stays.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> run, data = gd.make_run(gd.make_epoch(step, batch_size=1)), jnp.array([1.0, 3.0])
    >>> run_state = gd.start_run(run, gd.make_state(0.5, gd.sgd(0.25)), gd.stopping.never(), data, None)
    >>> gd.save_run("first", run_state)
    >>> print(gd.load_run("first", run_state).state.params)
    0.5
    """
    path, together = Path(path).absolute(), processes_of(run_state)
    snapshot, identity = take_snapshot("save_run", run_state), full_identity("save_run", identity)
    with writing(f"save_run: {path}"):
        together.lead(lambda: _make_room(path))
        write_checkpoint(path, snapshot, identity, together=together)


def _make_room(path: Path) -> None:
    if path.exists() and not (path.is_dir() and all(FILES.fullmatch(each.name) for each in path.iterdir())):
        raise CheckpointError(f"save_run: {path} exists and is no checkpoint: choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """A context that turns an error of the system into a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{what} could not be written: {error.strerror or error}") from error


def load_run(
    path: str | Path, like: RunState, identity: Mapping[str, Any] | None = None, ignore: Collection[str] = ()
) -> RunState:
    """The state that `save_run`, or a step of `Checkpoints`, has saved: verified, and equal to the last bit.

    Args:
        path: the folder.
        like: a state of the same run, such as `start_run` returns: it gives the structure, the dtypes and shapes, and where
            each array is to lie. The history comes as it was saved, of any length.
        identity: as for `save_run`; a field that differs is an error. Without it, other versions, cores or platform are a
            warning, since the run goes on with other bits there.
        ignore: fields of the identity that may differ, such as ("versions", "config.epochs").

    Raises: CheckpointError if a file is missing or damaged; if the identity differs, with the fields; if the structure, a
        shape or a dtype differs from that of `like`, with the path of the leaf. Nothing is cast.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> run, data = gd.make_run(gd.make_epoch(step, batch_size=1)), jnp.array([1.0, 3.0])
    >>> start = lambda w, rate: gd.start_run(run, gd.make_state(w, gd.sgd(rate)), gd.stopping.never(), data, None)
    >>> gd.save_run("first", start(0.5, 0.25), identity={"data": "two numbers"})
    >>> loaded = gd.load_run("first", start(0.0, 0.1), identity={"data": "two numbers"})
    >>> print(loaded.state.params, loaded.state.optimizer)
    0.5 sgd(0.25)
    """
    check_run_state("load_run", "like", like)
    full, together = full_identity("load_run", identity), processes_of(like)

    def verified() -> Checkpoint:
        checkpoint = read_checkpoint(present(Path(path)))
        if together.index == 0:  # another host may have another number of cores
            checkpoint.check_identity(full, ignore, strict=identity is not None)
        checkpoint.check_leaves(together.index, together.count)
        return checkpoint

    with place_errors(f"load_run: {path}"):
        checkpoint = together.agree(verified)
        return together.agree(lambda: checkpoint.fit(like))


def write_checkpoint(
    path: Path, snapshot: Snapshot, identity: Mapping[str, Any], extra: Any = None, together: Alone = ALONE
) -> None:
    """Write a snapshot as the folder `path`; identity and extra are as `plain` returns them.

    Raises: OSError; CheckpointError if processes that write together have different states.
    """
    with contextlib.ExitStack() as stack:
        draft, identity = together.lead(lambda: (str(stack.enter_context(commit_folder(path))), identity))
        parts = together.everywhere(lambda: _write_part(Path(draft), snapshot, identity, together.index))
        manifest = {
            "version": VERSION,
            "step": snapshot.step,
            "value": snapshot.value,
            "identity": identity,
            "extra": extra,
            "structure": describe(snapshot.structure),
        }

        def commit() -> None:
            files, leaves = _merge(Path(draft), snapshot, parts)
            (Path(draft) / MANIFEST).write_bytes(seal(manifest | {"files": files, "leaves": leaves}))
            stack.close()

        together.lead(commit)


def _write_part(draft: Path, snapshot: Snapshot, identity: Any, index: int) -> dict[str, Any]:
    """Write the blocks of this process; return what the manifest says of the file, and of each of its blocks."""
    blocks: dict[str, list[Any]] = {}
    arrays = {}
    for name, leaf in snapshot.leaves.items():
        blocks[name] = []
        for start, data in leaf.blocks.items():
            said = leaf.about if start is None else leaf.about | _place_of(start, data.shape)
            digest = leaf_digest(name, said, snapshot.step, identity, entries_of(data))
            blocks[name].append([start, data.shape, digest])
            if index == 0 or start is not None:  # process 0 writes what all have
                arrays[entry_name(name, start)] = data
    file = draft / file_of(index)
    header, size = write_container(file, arrays)
    if index:  # the leader syncs what is of its host
        sync(file)
    return {"file": {"bytes": size, "header": sha256(header)}, "blocks": blocks}


def _place_of(start: Any, shape: Any) -> dict[str, Any]:
    """What the digest of a block covers besides what the manifest says of the leaf."""
    return {"start": [*start], "block": [*shape]}


def _merge(draft: Path, snapshot: Snapshot, parts: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the manifest says of the files and of the leaves that the processes have written."""
    files = {file_of(index): part["file"] for index, part in enumerate(parts)}
    for name, file in files.items():
        if not (draft / name).is_file() or (draft / name).stat().st_size != file["bytes"]:
            raise CheckpointError(f"{name} is not in {draft.parent}: all hosts must share the folder")
    return files, {
        name: leaf.about | _digests(name, [part["blocks"][name] for part in parts])
        for name, leaf in snapshot.leaves.items()
    }


def _digests(name: str, blocks: list[list[Any]]) -> dict[str, Any]:
    """The digest of a whole leaf, which is the same in all processes, or the blocks of a leaf that is spread."""
    own = blocks[0]
    if all(block[0] is not None for each in blocks for block in each):
        return {"blocks": sorted(block for each in blocks for block in each)}
    if differing := [index for index, each in enumerate(blocks) if each != own]:
        raise CheckpointError(f"{name} must be the same in all processes: it differs in process {differing[0]}")
    return {"sha256": own[0][2]}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.   Raises: CheckpointError if it is missing or damaged."""
    with _damage():
        return unseal((folder / MANIFEST).read_bytes())


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """A context that turns any error into a CheckpointError of one line, since the files may hold anything."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        name = f" ({Path(error.filename).name})" if error.filename else ""
        raise CheckpointError(f"it cannot be read: {error.strerror or error}{name}") from error
    except Exception as error:
        raise CheckpointError(f"it is damaged: {' '.join(str(error).split())[:300]}") from error


def read_checkpoint(folder: Path) -> Checkpoint:
    """The manifest of a folder, verified, with the set of files, and the leaves, not verified yet.

    Raises: CheckpointError if a file is missing, too many, or not of the manifest.
    """
    manifest = read_manifest(folder)
    with _damage():
        files, there = {MANIFEST, *manifest["files"]}, {path.name for path in folder.iterdir()}
        if files != there:
            wrong = sorted(files ^ there)[0]
            raise ValueError(f"{wrong} is {'not of it' if wrong in there else 'missing'}")
        entries: dict[str, memoryview] = {}
        for name, written in manifest["files"].items():
            header, rest = read_container(folder / name, mapped=len(manifest["files"]) > 1)
            if len(header) + len(rest) != written["bytes"]:
                raise ValueError(f"{name} has {len(header) + len(rest)} bytes of {written['bytes']}")
            if sha256(header) != written["header"]:
                raise ValueError(f"the header of {name} is not what was written")
            entries |= find_entries(header, rest)
        return Checkpoint(manifest, entries)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a folder holds: its manifest, and the bytes of each leaf by path."""

    manifest: dict[str, Any]
    entries: dict[str, memoryview]

    def check_identity(self, identity: Mapping[str, Any], ignore: Collection[str], strict: bool) -> None:
        """Raise CheckpointError with the fields that differ; unless strict, warn of what decides the bits, and no more."""
        there = self.manifest["identity"]
        if strict:
            if differ := differences(there, identity, ignore):
                raise CheckpointError(f"it is of another run: {'; '.join(differ)}")
            return
        there, here = ({name: each[name] for name in environment()} for each in (there, identity))
        if differ := differences(there, here, ignore):
            warnings.warn(
                f"a checkpoint goes on elsewhere, with other bits: {'; '.join(differ)}", stacklevel=5
            )  # where load_run or restore is called

    def check_leaves(self, index: int = 0, count: int = 1) -> None:
        """Raise CheckpointError if a leaf is not that of its name, of this step and of this run.

        Args:
            index, count: of several processes that share the work, each looks at every `count`-th block.
        """
        step, identity = self.manifest["step"], self.manifest["identity"]
        for name, entry, said, digest in itertools.islice(self._blocks(), index, None, count):
            if entry not in self.entries or leaf_digest(name, said, step, identity, self.entries[entry]) != digest:
                raise CheckpointError(f"it is damaged: {name} is not what was written")

    def _blocks(self) -> Iterator[tuple[str, str, dict[str, Any], str]]:
        """Of every block: the leaf, the entry, what is said of it, and the digest."""
        for name, about in self.manifest["leaves"].items():
            said = {key: value for key, value in about.items() if key not in ("sha256", "blocks")}
            if "sha256" in about:
                yield name, name, said, about["sha256"]
            for start, shape, digest in about.get("blocks", ()):
                yield name, entry_name(name, start), said | _place_of(start, shape), digest

    def fit(self, like: RunState) -> RunState:
        """The state, in the structure of like.   Raises: CheckpointError, with the path of the leaf that does not fit."""
        check_structure(self.manifest["leaves"], self.manifest["structure"], like)
        return restore_state(self.manifest["leaves"], self.entries, like)
