"""The birth of the first value of a training step that is not finite, told in a few sentences."""

from __future__ import annotations

import dataclasses

from gdjax.backprop.places import Place
from gdjax.text import listing

SIGNS = {"add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "integer_pow": "**"}
WORDS = {
    "add": "sum",
    "add_any": "sum",
    "sub": "difference",
    "mul": "product",
    "div": "division",
    "pow": "power",
    "integer_pow": "power",
    "dot_general": "matrix product",
    "reduce_sum": "sum",
    "reduce_prod": "product",
    "convert_element_type": "conversion to another dtype",
    "gather": "lookup",
    "cumsum": "cumulative sum",
}
PHASES = {"forward": "forward pass", "backward": "backward pass", "update": "update"}


@dataclasses.dataclass(frozen=True)
class Birth:
    """Where the first non-finite value of a step was born; `str` says it in whole sentences."""

    step: int  # number of the batch in the run, from 0
    phase: str  # "input", "forward", "backward" or "update"
    kind: str  # "nan", "inf" or "-inf"
    operation: str  # in words: "log", "division"; "constant"; "" for an input
    where: Place | None  # the user's file and line
    values: tuple[float | complex, ...]  # of the operation's inputs
    rows: tuple[int, ...] | None  # of the batch, from 0; None if it is no matter of single rows
    leaves: tuple[str, ...]  # what is not finite after the step: "loss", "gradient['w']", "params['w']"
    source: str = ""  # the path of the input that was not finite before the step
    primitive: str = ""  # JAX's name of the operation
    derivative_of: str = ""  # in words, the operation in whose derivative it was born
    discarded: bool = False  # whether it is computed in the forward pass too, and thrown away there
    loops: tuple[tuple[str, int], ...] = ()  # the loops around it, with the number of the iteration, from 0
    constant: str = ""  # the infinity of the code of which it was made
    then: str = ""  # what it made in turn, if that is of another kind
    skipped: bool = False  # whether the optimizer skips the update, so that nothing of it stays
    only_compiled: bool = False  # whether the step is finite if each operation is evaluated by itself

    def __str__(self) -> str:
        sentences = (self._outcome(), self._origin(), self._rows(), self._consequence())
        return " ".join(sentence for sentence in sentences if sentence)

    def _outcome(self) -> str:
        names = [f"the {name}" if name in ("loss", "gradient") else name for name in self.leaves]
        rest = "" if "loss" in self.leaves else "; the loss is finite"
        rest += ", and the update was skipped" if self.skipped else ""
        return f"After step {self.step} {listing(names)} {'is' if len(names) == 1 else 'are'} not finite{rest}."

    def _origin(self) -> str:
        if self.phase == "input":
            return f"{self.source} held {self.kind} before the step."
        where = f", at {self.where}" if self.where else ""
        where += "".join(f", in iteration {number} of a {name}" for name, number in self.loops)
        if self.only_compiled:
            found = "It is so only in the compiled program: it is finite if each operation is evaluated by itself"
            at = f". The first compiled value that is not finite is {self.kind}, of a {self.operation}{where}"
            return f"{found}{at if self.operation else ''}."
        if self.operation == "constant":
            return f"It comes from a constant {self.kind} of the code{where}."
        derivative = f"in the derivative of a {self.derivative_of}, " if self.derivative_of else ""
        constant = f" It is made of a constant {self.constant}." if self.constant else ""
        made = equation_text(self.primitive, self.values, self.kind)
        if self.discarded:
            return (
                f"It was born in the backward pass: {made}{where}, is thrown away in the forward pass, as behind a `where`, "
                f"but differentiated.{constant}"
            )
        return f"It was born in the {PHASES[self.phase]}: {derivative}{made}{where}.{constant}"

    def _rows(self) -> str:
        if self.rows is None:
            return ""
        some = [str(row) for row in self.rows]
        return f"It came with row{'s' * (len(self.rows) > 1)} {listing(some)} of the batch."

    def _consequence(self) -> str:
        return f"From it came {self.then}." if self.then else ""


def in_words(primitive: str) -> str:
    """The name of an operation: its own, or a word where that is a sign."""
    return WORDS.get(primitive, primitive)


def equation_text(primitive: str, values: tuple[float | complex, ...], kind: str) -> str:
    """An operation with its numbers, e.g. "log(-0.5) = nan"."""
    numbers = [f"{x:.6g}" for x in values]
    if primitive in SIGNS and len(numbers) == 2:
        made = f"{numbers[0]} {SIGNS[primitive]} {numbers[1]}"
    elif primitive == "gather":
        made = f"a lookup of an index out of range, such as {numbers[-1]}"
    elif primitive in WORDS or not numbers:
        made = f"a {in_words(primitive)}" + (f" of {listing(numbers)}" if numbers else "")
    else:
        made = f"{primitive}({', '.join(numbers)})"
    return f"{made} = {kind}"
