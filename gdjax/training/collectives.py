"""The collectives of a compiled program: what its devices exchange, and how often.

They are read from the instructions of the compiled module, all operands of each included: XLA fuses the gradients of all
parameters into one all-reduce of many. What jaxlib's objects do not tell (devices per group, called computations and, before
jaxlib 0.12, shapes) is read from the text of that one instruction.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import jax
from jax.stages import Compiled

KINDS = {  # by XLA's name of the operation, that of its asynchronous start without "Start"
    "kAllReduce": "all-reduce",
    "kAllGather": "all-gather",
    "kReduceScatter": "reduce-scatter",
    "kAllToAll": "all-to-all",
    "kRaggedAllToAll": "all-to-all",
    "kCollectivePermute": "collective-permute",
    "kCollectiveBroadcast": "collective-broadcast",
}
CALLS = ("kWhile", "kCall", "kConditional", "kFusion")
ARRAY = re.compile(r"([a-z]+)(\d*)\w*\[([\d,<=]*)\]")  # f32[8,3], pred[], f8e4m3fn[<=16]


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective operation of a compiled program."""

    kind: (
        str  # "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast"
    )
    bytes: int  # on each device: of what is reduced or exchanged, or of the whole that is gathered
    group: int  # devices that exchange it with one another
    loops: tuple[int | None, ...]  # lengths of the loops around it, the outermost first; None where only the run knows

    @property
    def sent(self) -> float:
        """Bytes that each device sends, by the ring algorithms, which send least."""
        others = (self.group - 1) / self.group
        once = {"all-reduce": 2 * others, "collective-permute": 1, "collective-broadcast": 1}
        return once.get(self.kind, others) * self.bytes


def find_collectives(compiled: Compiled) -> list[Collective]:
    """The collectives of a compiled program, one for each place where it calls one; of a conditional, those of all branches.

    Args:
        compiled: what `jax.jit(f).lower(*args).compile()` returns.

    Raises: NotImplementedError if the backend does not show the program, or in a form that is unknown here.

    >>> mesh = jax.sharding.Mesh(jax.devices()[:1], "data")
    >>> total = jax.shard_map(lambda x: jax.lax.psum(x, "data"), mesh=mesh, in_specs=jax.P("data"), out_specs=jax.P())
    >>> gd.training.find_collectives(jax.jit(total).lower(jnp.ones(5)).compile())
    [Collective(kind='all-reduce', bytes=20, group=1, loops=())]
    """
    executable: Any = compiled.runtime_executable()
    if not hasattr(executable, "hlo_modules"):
        raise NotImplementedError("find_collectives: the backend does not show its compiled programs")
    devices = devices_of(compiled)
    return [found for module in executable.hlo_modules() for found in of_module(module, devices)]


def devices_of(compiled: Compiled) -> int:
    """The number of devices on which a compiled program runs, those of other processes included."""
    shardings = jax.tree.leaves((compiled.input_shardings, compiled.output_shardings))
    return max((each.num_devices for each in shardings), default=1)


def of_module(module: Any, devices: int) -> Iterator[Collective]:
    """The collectives of one module of a program, for so many devices."""
    computations = {each.name: each.instructions() for each in module.computations()}
    everything = [instruction for each in computations.values() for instruction in each]
    called = {name for each in everything for name, _ in _calls(each)}
    wrapped = {root.name for root in map(_wrapped, everything) if root is not None}  # counted where they are started

    def walk(name: str, loops: tuple[int | None, ...]) -> Iterator[Collective]:
        for instruction in computations[name]:
            operation = _wrapped(instruction) or instruction
            kind = KINDS.get(operation.opcode.name.removesuffix("Start"))
            if kind is not None and instruction.name not in wrapped:
                yield _collective(kind, operation, loops, devices)
            for callee, length in _calls(instruction):
                yield from walk(callee, loops + length)

    for name in computations:
        if name not in called:
            yield from walk(name, ())


def _collective(kind: str, operation: Any, loops: tuple[int | None, ...], devices: int) -> Collective:
    group = _group(operation.to_string(), devices)
    size = sum(_bytes(shape_of(operand)) for operand in operation.operands())
    return Collective(kind, size * group if kind == "all-gather" else size, group, loops)


def _wrapped(instruction: Any) -> Any:
    """The operation that an asynchronous one starts; None if this starts none."""
    return instruction.async_wrapped_root() if instruction.opcode.name == "kAsyncStart" else None


def _calls(instruction: Any) -> list[tuple[str, tuple[int | None, ...]]]:
    """The computations that an instruction calls, each with the length of the loop that it is."""
    if instruction.opcode.name not in CALLS:
        return []
    text, length = instruction.to_string(), ()
    if instruction.opcode.name == "kWhile":
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', text)
        length = (int(known[1]) if known else None,)
    lists = re.findall(r"=\{?(%[\w.-]+(?:, ?%[\w.-]+)*)", text)
    return [(name, length) for names in lists for name in re.findall(r"%([\w.-]+)", names)]


def shape_of(instruction: Any) -> str:
    """The shape of what an instruction returns, as XLA writes it."""
    if hasattr(instruction, "shape"):
        return str(instruction.shape)
    text = instruction.to_string()
    return re.split(r" [a-z][\w-]*\(", text.partition(" = ")[2], maxsplit=1)[0]


def dims_of(shape: str) -> tuple[int, ...]:
    """The lengths of the axes of an array, or of the first of a tuple."""
    found = ARRAY.search(shape)
    return tuple(map(int, re.findall(r"\d+", found[3]))) if found else ()


def _bytes(shape: str) -> int:
    """Of an array, or of a tuple of arrays, written by XLA: f32[8,3]{1,0}."""
    bits = (int(width or 8) * math.prod(map(int, re.findall(r"\d+", dims))) for _, width, dims in ARRAY.findall(shape))
    return sum(-(-each // 8) for each in bits)


def _group(text: str, devices: int) -> int:
    """Devices in one of the groups of a collective, which XLA writes in one of several forms."""
    if "replica_groups={}" in text:
        return devices
    if found := re.search(r"source_target_pairs=\{([\d,{}]*)\}", text):
        return len(set(re.findall(r"\d+", found[1])))
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return found[1].count(",") + 1
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]<=", text):
        return int(found[1])
    if found := re.search(r"replica_groups=mesh\[([^]]*)\][^{]*\{([^}]*)\}", text):
        sizes = dict(re.findall(r"'([^']*)'=(\d+)", found[1]))
        axes = re.findall(r"'([^']*)'(?::\(\d+\)(\d+))?", found[2])  # a part of an axis is written 'x':(1)2
        return math.prod(int(part or sizes[name]) for name, part in axes)
    raise NotImplementedError(f"find_collectives: the groups must be in a form known here, got {text}")
