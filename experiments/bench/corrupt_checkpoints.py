"""Is a damaged checkpoint ever restored? `python -m experiments.bench.corrupt_checkpoints [--trials 256] [--seed 0]`.

A run on the digits saves three steps. In each trial the newest (in every fourth also the one before it) is damaged in one of
sixteen ways, and the run is restored: it must be, to the last bit, the newest step that is intact, and a warning must name
each step that is passed over. A step that is restored although its files were touched must be what its name says. In some
trials all steps are damaged: a CheckpointError, and the folder stays byte-identical.

A trial matters if a reader that verifies nothing would restore another state from the damaged files, or fail.

Expected: none wrong, refused or silent, and at least three quarters of the trials matter; else the exit status is 1. About
15 seconds on 2 cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.text import table
from gdjax.training.container import find_entries, read_container
from gdjax.training.manifest import seal, unseal
from gdjax.training.snapshot import restore_state
from gdjax.types import RunState

ARRAYS, MANIFEST = "arrays.safetensors", "manifest.json"


def bits(tree: Any) -> tuple[Any, list[Any]]:
    """Everything that must be restored: structure, types, dtypes, shapes and bytes."""

    def of(x: Any) -> Any:
        if not hasattr(x, "dtype"):
            return x
        data = np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        return isinstance(x, jax.Array), str(x.dtype), x.shape, getattr(x, "weak_type", None), data.tobytes()

    leaves, structure = jax.tree.flatten(tree)
    return structure, [of(x) for x in leaves]


def content(folder: Path) -> dict[str, str]:
    """Path -> hash of every file in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Saved(NamedTuple):
    """A folder of checkpoints, what each of its steps holds, and the same steps of another run."""

    folder: Path
    identity: dict[str, Any]
    states: dict[int, tuple[RunState, Any]]
    foreign: Path

    @classmethod
    def make(cls, root: Path, states: Mapping[int, RunState], others: Mapping[int, RunState]) -> Saved:
        identities = [{"config": {"seed": seed}, "data": "digits"} for seed in (0, 1)]
        for name, identity, each in zip(("run", "other"), identities, (states, others), strict=True):
            with gd.Checkpoints(root / name, identity, keep_last=len(each)) as saved:
                for step, run_state in each.items():
                    saved.save(run_state, {"offset": 100 * step})
        extra = {step: (run_state, {"offset": 100 * step}) for step, run_state in states.items()}
        return cls(root / "run", identities[0], extra, root / "other")


class Damage(NamedTuple):
    """What a kind of damage works with: the step's folder, an older step, the same step of another run, random numbers."""

    step: Path
    older: Path
    foreign: Path
    rng: np.random.Generator

    def edit(self, name: str, change: Callable[[bytes], bytes]) -> None:
        path = self.step / name
        path.write_bytes(change(path.read_bytes()))

    def either(self) -> str:
        return (ARRAYS, MANIFEST)[self.rng.integers(2)]

    def flip(self, data: bytes, begin: int, end: int) -> bytes:
        changed = bytearray(data)
        changed[self.rng.integers(begin, end)] ^= 1 << self.rng.integers(8)
        return bytes(changed)

    def leaves(self) -> dict[str, tuple[int, int]]:
        """Name -> where its bytes are in the file of arrays."""
        header, _ = read_container(self.step / ARRAYS)
        return {name: tuple(len(header) + i for i in at["data_offsets"]) for name, at in json.loads(header[8:]).items()}

    def reseal(self, edit: Callable[[dict[str, Any]], Any]) -> None:
        """Change the manifest, and its digest with it."""
        manifest = unseal((self.step / MANIFEST).read_bytes())
        edit(manifest)
        (self.step / MANIFEST).write_bytes(seal(manifest))


def header_of(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def bit_of_data(damage: Damage) -> None:
    damage.edit(ARRAYS, lambda data: damage.flip(data, header_of(data), len(data)))


def bit_of_header(damage: Damage) -> None:
    damage.edit(ARRAYS, lambda data: damage.flip(data, 0, header_of(data)))


def bit_of_manifest(damage: Damage) -> None:
    damage.edit(MANIFEST, lambda data: damage.flip(data, 0, len(data)))


def number_of_manifest(damage: Damage) -> None:
    """A digit of a number."""

    def change(data: bytes) -> bytes:
        found = re.finditer(rb"(?<=[:\[,])\d+(?=[,\]}])", data)
        at = int(damage.rng.choice([i for each in found for i in range(*each.span())]))
        return (
            data[:at] + str((int(data[at : at + 1]) + int(damage.rng.integers(1, 10))) % 10).encode() + data[at + 1 :]
        )

    damage.edit(MANIFEST, change)


def truncation(damage: Damage) -> None:
    damage.edit(damage.either(), lambda data: data[: damage.rng.integers(len(data))])


def bytes_appended(damage: Damage) -> None:
    damage.edit(damage.either(), lambda data: data + damage.rng.bytes(int(damage.rng.integers(1, 600))))


def deletion(damage: Damage) -> None:
    (damage.step / damage.either()).unlink()


def zeros(damage: Damage) -> None:
    """A sector of zeros, anywhere."""

    def change(data: bytes) -> bytes:
        at = int(damage.rng.integers(len(data)))
        return data[:at] + bytes(len(data[at : at + 512])) + data[at + 512 :]

    damage.edit(damage.either(), change)


def leaves_swapped(damage: Damage) -> None:
    """The bytes of two leaves of one size; in every second trial with their digests."""
    where = damage.leaves()
    pairs = [
        (a, b) for a in where for b in where if a < b and where[a][1] - where[a][0] == where[b][1] - where[b][0] > 0
    ]
    a, b = pairs[damage.rng.integers(len(pairs))]

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[slice(*where[a])], changed[slice(*where[b])] = data[slice(*where[b])], data[slice(*where[a])]
        return bytes(changed)

    def swap(manifest: dict[str, Any]) -> None:
        one, two = manifest["leaves"][a], manifest["leaves"][b]
        one["sha256"], two["sha256"] = two["sha256"], one["sha256"]

    damage.edit(ARRAYS, change)
    if damage.rng.integers(2):
        damage.reseal(swap)


def stale_leaf(damage: Damage) -> None:
    """A leaf of an older step; in every second trial with its digest."""
    where, there = damage.leaves(), damage._replace(step=damage.older).leaves()
    size = lambda at: at[1] - at[0]  # noqa: E731
    names = [name for name in where if size(where[name]) == size(there[name]) > 0]
    name = names[damage.rng.integers(len(names))]
    old = (damage.older / ARRAYS).read_bytes()[slice(*there[name])]
    digest = unseal((damage.older / MANIFEST).read_bytes())["leaves"][name]["sha256"]
    damage.edit(ARRAYS, lambda data: data[: where[name][0]] + old + data[where[name][1] :])
    if damage.rng.integers(2):
        damage.reseal(lambda manifest: manifest["leaves"][name].update(sha256=digest))


def older_step_renamed(damage: Damage) -> None:
    """In every second trial with the new step in its manifest."""
    replace(damage.older, damage.step)
    if damage.rng.integers(2):
        damage.reseal(lambda manifest: manifest.update(step=int(damage.step.name)))


def file_of_older_step(damage: Damage) -> None:
    name = damage.either()
    shutil.copy(damage.older / name, damage.step / name)


def file_of_another_run(damage: Damage) -> None:
    name = damage.either()
    shutil.copy(damage.foreign / name, damage.step / name)


def step_of_another_run(damage: Damage) -> None:
    """In every second trial under this run's identity."""
    identity = unseal((damage.step / MANIFEST).read_bytes())["identity"]
    replace(damage.foreign, damage.step)
    if damage.rng.integers(2):
        damage.reseal(lambda manifest: manifest.update(identity=identity))


def extra_file(damage: Damage) -> None:
    (damage.step / "arrays-2.safetensors").write_bytes(damage.rng.bytes(50))


def entry_twice(damage: Damage) -> None:
    """An entry of the header of arrays, a second time with the bytes of another leaf."""
    where = damage.leaves()
    pairs = [
        (a, b) for a in where for b in where if a != b and where[a][1] - where[a][0] == where[b][1] - where[b][0] > 0
    ]
    a, b = pairs[damage.rng.integers(len(pairs))]

    def change(data: bytes) -> bytes:
        text, rest = data[8 : header_of(data)].rstrip(), data[header_of(data) :]
        fields = json.loads(text)
        again = json.dumps({a: fields[a] | {"data_offsets": fields[b]["data_offsets"]}}).encode()
        text = text[:-1] + b"," + again[1:]
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + rest

    damage.edit(ARRAYS, change)


def replace(source: Path, place: Path) -> None:
    shutil.rmtree(place)
    shutil.copytree(source, place)


KINDS: dict[str, Callable[[Damage], None]] = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        bit_of_data,
        bit_of_header,
        bit_of_manifest,
        number_of_manifest,
        truncation,
        bytes_appended,
        deletion,
        zeros,
        leaves_swapped,
        stale_leaf,
        older_step_renamed,
        file_of_older_step,
        file_of_another_run,
        step_of_another_run,
        extra_file,
        entry_twice,
    )
}


class Trial(NamedTuple):
    """A damage and what was restored: right (the newest intact step, or the touched one as it was), or what went wrong."""

    kind: str
    matters: bool
    outcome: str  # older, same, refused where all are damaged; wrong, silent, refused, changed


RIGHT = ("older", "same", "all refused")


def trials(saved: Saved, number: int, seed: int) -> Iterator[Trial]:
    """So many trials, the kinds in turn; every eighth damages all steps, every other fourth two of them."""
    for i in range(number):
        turn, which = divmod(i, len(KINDS))
        depth = len(saved.states) if (turn + which) % 8 == 7 else 2 if (turn + which) % 4 == 3 else 1
        yield _trial(saved, list(KINDS)[which], np.random.default_rng((seed, i)), depth)


def _trial(saved: Saved, kind: str, rng: np.random.Generator, depth: int) -> Trial:
    """Damage the `depth` newest steps, the newest by this kind, and restore."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(saved.folder, Path(place) / "run"))
        damaged = sorted(saved.states)[-depth:][::-1]
        for step in damaged:
            name = kind if step == damaged[0] else list(KINDS)[rng.integers(8)]
            older = saved.folder / str(min(saved.states) if step > min(saved.states) else max(saved.states))
            KINDS[name](Damage(folder / str(step), older, saved.foreign / str(step), rng))
        matters = [step for step in damaged if naive(saved, folder, step) != bits(saved.states[step])]
        return Trial(kind, damaged[0] in matters, _outcome(saved, folder, damaged, matters))


def naive(saved: Saved, folder: Path, step: int) -> Any:
    """What a reader that verifies nothing would restore; None if it fails."""
    try:
        manifest = json.loads((folder / str(step) / MANIFEST).read_bytes())["manifest"]
        entries = find_entries(*read_container(folder / str(step) / ARRAYS))
        return bits((restore_state(manifest["leaves"], entries, saved.states[step][0]), manifest["extra"]))
    except Exception:
        return None


def _outcome(saved: Saved, folder: Path, damaged: list[int], matters: list[int]) -> str:
    before, like = content(folder), saved.states[max(saved.states)][0]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with gd.Checkpoints(folder, saved.identity) as checkpoints:
                restored = checkpoints.restore(like)
        except gd.CheckpointError:
            restored = None
    if content(folder) != before:
        return "changed"
    intact = set(saved.states) - set(damaged)
    if restored is None:
        return "refused" if intact else "all refused"
    step = int(restored[0].state.batches)
    if step not in saved.states or step in matters or bits(restored) != bits(saved.states[step]):
        return "wrong"
    if step < max(intact, default=0):
        return "refused"  # an intact step was passed over
    passed_over = [each for each in saved.states if each > step]
    text = " ".join(str(each.message) for each in said)
    if not all(re.search(rf"\bstep {each}: it ", text) for each in passed_over) or bool(text) != bool(passed_over):
        return "silent"
    return "older" if passed_over else "same"


def digits_run(seed: int) -> dict[int, RunState]:
    """Step -> state after one, two and three epochs."""
    x, y = gd.data.load("digits").x, gd.data.load("digits").y
    train, validation = (x[:1000], y[:1000]), (x[1000:], y[1000:])
    model = gd.models.mlp([64, 16, 10])
    loss = gd.per_example(gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels))
    run = gd.make_run(gd.make_epoch(gd.make_step(loss), 64), gd.make_evaluate(loss))
    optimizer = gd.average(gd.adam(gd.cosine_decay_schedule(1e-2, 1000)), decay=0.9)
    state = gd.make_state(model.init(jax.random.key(seed)), optimizer, seed)
    run_state = gd.start_run(run, state, gd.stopping.patience(10), train, validation)
    states = gd.segments(run, run_state, train, validation, until=3, seconds=0)
    return {int(run_state.state.batches): run_state for run_state in states}


def report(found: list[Trial]) -> bool:
    """Print the table; whether all is as expected."""
    outcomes = (*RIGHT, "wrong", "silent", "refused", "changed")
    rows = [["", "trials", "matter", *outcomes]]
    for kind in (*KINDS, "all"):
        of = [trial for trial in found if kind in (trial.kind, "all")]
        counts = Counter(trial.outcome for trial in of)
        matter = sum(trial.matters for trial in of)
        rows.append([kind, str(len(of)), str(matter), *(str(counts[outcome] or "-") for outcome in outcomes)])
    print(table(rows, right=range(1, len(rows[0]))))
    share = sum(trial.matters for trial in found) / len(found)
    held = all(trial.outcome in RIGHT for trial in found) and share >= 0.75
    print(f"\n{share:.0%} of the trials matter; {'all held' if held else 'FAILED'}")
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        saved = Saved.make(Path(place), digits_run(0), digits_run(1))
        sys.exit(not report(list(trials(saved, given.trials, given.seed))))


if __name__ == "__main__":
    main()
