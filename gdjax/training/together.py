"""Work that the processes of a computation on several hosts do together, with one outcome.

They exchange short texts through the store of `jax.distributed`, not through a program on the devices: a thread can do it
while the caller's programs run, and the error of one process is an error in all of them, at once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from gdjax.training.manifest import CheckpointError, json_text

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


class Together(Alone):
    """All processes, which make it, and call its methods, in the same order.

    Raises: OSError or CheckpointError, the same in all processes, with the number of the process that raised it.
    """

    index: int
    count: int
    _made = itertools.count()

    def __init__(self) -> None:
        self.index, self.count = jax.process_index(), jax.process_count()
        self._name, self._rounds = f"gdjax/{next(self._made)}", itertools.count()

    def everywhere(self, work: Callable[[], Any]) -> list[Any]:
        try:
            answer = {"value": work()}
        except Exception as error:
            answer = {"error": _text(error), "system": isinstance(error, OSError)}
        answers = self._exchange(answer)
        for index, each in enumerate(answers):
            if "error" in each:
                raise (OSError if each["system"] else CheckpointError)(f"{each['error']} (process {index})")
        return [each["value"] for each in answers]

    def lead(self, work: Callable[[], Any]) -> Any:
        return self.everywhere(lambda: work() if self.index == 0 else None)[0]

    def agree(self, work: Callable[[], T]) -> T:
        done: list[T] = []
        self.everywhere(lambda: done.append(work()))
        return done[0]

    def _exchange(self, answer: Any) -> list[Any]:
        """The answers of all processes."""
        number, client = next(self._rounds), _client()
        key = lambda number, index: f"{self._name}/{number}/{index}"  # noqa: E731
        client.key_value_set(key(number, self.index), json_text(answer).decode())
        answers = [_wait(client, key(number, index), index) for index in range(self.count)]
        if number:  # all have set a later key, so all have read this one
            client.key_value_delete(key(number - 1, self.index))
        return answers


def _client() -> Any:
    from jax._src.distributed import global_state  # JAX has no public name for the store

    if global_state.client is None:
        raise CheckpointError("a state that lies on devices of several hosts needs jax.distributed.initialize")
    return global_state.client


def _wait(client: Any, key: str, index: int) -> Any:
    try:
        return json.loads(client.blocking_key_value_get(key, 1000 * WAIT))
    except jax.errors.JaxRuntimeError as error:
        raise CheckpointError(f"process {index} did not answer in {WAIT} seconds") from error


def _text(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, CheckpointError) else repr(error)


ALONE = Alone()


def processes_of(tree: Any) -> Alone:
    """Those among which a tree is spread: all, if a leaf lies on devices of several hosts."""
    spread = any(isinstance(x, jax.Array) and not x.is_fully_addressable for x in jax.tree.leaves(tree))
    return Together() if spread else ALONE
