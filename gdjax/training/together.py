"""Work that the processes of a computation on several hosts do together, with one outcome.

They exchange short texts through the store of `jax.distributed`, not through a program on the devices: a thread can do it
while the caller's programs run, and the error of one process is an error in all of them, at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

from gdjax import processes
from gdjax.training.manifest import CheckpointError

WAIT = 600  # seconds, for the slowest process
T = TypeVar("T")


class Alone:
    """One process, or one of several that do not work together."""

    index = 0
    count = 1

    def everywhere(self, work: Callable[[], Any]) -> list[Any]:
        """What `work` returns in each process, in order, of JSON's types.   Raises: what it raises in any process."""
        return [work()]

    def lead(self, work: Callable[[], Any]) -> Any:
        """What `work` returns in process 0, the only one that does it; otherwise as `everywhere`."""
        return work()

    def agree(self, work: Callable[[], T]) -> T:
        """What `work` returns in this process, of any type.   Raises: what it raises in any process."""
        return work()

    def tell(self, work: Callable[[], Any]) -> Any:
        """What `work` returns in process 0, of JSON's types, for which the others wait as long as it takes.

        Raises: what it raises, in process 0 alone; ProcessError in the others, once process 0 has told of its error.
        """
        return work()

    @contextlib.contextmanager
    def in_step(self) -> Iterator[None]:
        """A context in which all go on together: who leaves it by an exception, or a `break`, is missed by no one."""
        yield


class Together(Alone):
    """All processes, which make it, and call its methods, in the same order.

    Raises: OSError or CheckpointError, the same in all processes, with the number of the process that raised it.
    """

    index: int
    count: int
    _made = itertools.count()

    def __init__(self) -> None:
        self.index, self.count = processes.index(), processes.count()
        self._name, self._round = f"gdjax/{next(self._made)}", 0

    def everywhere(self, work: Callable[[], Any]) -> list[Any]:
        try:
            answer = {"value": work()}
        except Exception as error:
            answer = {"error": _text(error), "system": isinstance(error, OSError)}
        return _values(self._exchange(answer))

    def lead(self, work: Callable[[], Any]) -> Any:
        return self.everywhere(lambda: work() if self.index == 0 else None)[0]

    def agree(self, work: Callable[[], T]) -> T:
        done: list[T] = []
        self.everywhere(lambda: done.append(work()))
        return done[0]

    def tell(self, work: Callable[[], Any]) -> Any:
        value = work() if self.index == 0 else None
        return _values(self._exchange({"value": value}, patient=True)[:1])[0]

    @contextlib.contextmanager
    def in_step(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            left = {"error": "it has left the run that they share", "system": False, "left": True}
            with contextlib.suppress(Exception):  # the store may be gone
                self._say([left] if self.index == 0 else left)
            raise

    def _exchange(self, answer: Any, patient: bool = False) -> list[Any]:
        """The answers of all processes, which process 0 gathers and tells; with patience they are waited for without end."""
        if not jax.distributed.is_initialized():
            raise CheckpointError("a state that lies on devices of several hosts needs jax.distributed.initialize")
        number, seconds = self._round, None if patient else WAIT
        if self.index:
            self._say(answer)
            return self._hear(number, 0, seconds)
        answers = [
            json.loads(json.dumps(answer)),
            *(self._hear(number, index, seconds) for index in range(1, self.count)),
        ]
        self._say(answers)
        for index in range(1, self.count):
            processes.forget(self._key(number, index))
        if number:  # all have answered since, so all have read it
            processes.forget(self._key(number - 1, 0))
        return answers

    def _say(self, answer: Any) -> None:
        processes.put(self._key(self._round, self.index), answer)
        self._round += 1

    def _hear(self, number: int, index: int, seconds: float | None) -> Any:
        try:
            return processes.get(self._key(number, index), seconds)
        except TimeoutError as error:
            raise CheckpointError(f"process {index} did not answer in {seconds} seconds") from error

    def _key(self, number: int, index: int) -> str:
        return f"{self._name}/{number}/{index}"


def _values(answers: list[Any]) -> list[Any]:
    """The values of the answers, the first of which is that of process 0.   Raises: the error of one of them."""
    for index, each in enumerate(answers):
        if each.get("left"):
            processes.check(patient=True)
        if "error" in each:
            raise (OSError if each["system"] else CheckpointError)(f"{each['error']} (process {index})")
    return [each["value"] for each in answers]


def _text(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, CheckpointError) else repr(error)


ALONE = Alone()


def processes_of(tree: Any, placement: Any = None) -> Alone:
    """Those among which a tree is spread: all, if a leaf lies on devices of several hosts, or is to be placed there."""
    spread = any(isinstance(x, jax.Array) and not x.is_fully_addressable for x in jax.tree.leaves(tree))
    return Together() if spread or (placement is not None and placement.mesh.is_multi_process) else ALONE


def everyone() -> Alone:
    """All processes of this computation."""
    return Together() if processes.count() > 1 else ALONE
