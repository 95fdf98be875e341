"""What a check of a gradient has found, probe by probe, and what that says of the whole."""

from __future__ import annotations

import math
from typing import NamedTuple

from gdjax.text import html_table, table

RIGHT, WRONG, KINK, UNDECIDED = "right", "WRONG", "kink", "undecided"
HEAD = ("leaf", "direction", "gradient", "difference", "relative", "ULP", "verdict")
NUMBERS = range(2, 6)  # columns of the table that hold numbers


class Probe(NamedTuple):
    """One directional derivative, by the gradient and by differences."""

    leaf: str  # its path; "all" for a direction through every leaf
    direction: str  # "random", or an entry such as "[3, 0]"; "i [0]" is along the imaginary part
    gradient: float
    difference: float
    error: float  # of the difference, estimated; infinite where there is none
    relative: float  # to the larger of the two, or to the slopes further away where both are zero
    ulp: float  # of the parameters' dtype
    verdict: str


class Check(NamedTuple):
    """What was found; `passed` if nothing is wrong and something is known.

    A kink is no error: any slope between those of both sides will do. Nothing is known of an undecided probe, and a gradient
    has not passed while nothing is known of one of its leaves, all probes are kinks, or the loss does not move at all or
    only by jumps, as an accuracy does.
    """

    probes: tuple[Probe, ...]
    entries: int = 0  # real numbers that were moved by themselves
    total: int = 0  # real numbers that the loss was to be differentiated by
    # Error in one entry that shows in any leaf, relative to the leaf's largest gradient entry.
    visible: float = math.inf
    moves: bool = True  # whether the loss changed along any probe
    near: bool = True  # whether it did so near the parameters, rather than by jumps further away
    not_finite: tuple[tuple[str, str], ...] = ()  # leaves whose gradient is not in their own dtype, each with words

    def __bool__(self) -> bool:
        """As `passed`, so that `assert check_gradients(...)` fails where the gradient is wrong."""
        return self.passed

    @property
    def passed(self) -> bool:
        verdicts = {p.verdict for p in self.probes}
        known = RIGHT in verdicts and self.moves and not self.unknown_leaves()
        return known and WRONG not in verdicts and not self.not_finite

    @property
    def worst(self) -> Probe:
        return max(self.probes, key=lambda p: (p.verdict == WRONG, p.verdict != UNDECIDED, p.relative))

    def wrong_leaves(self) -> list[str]:
        """The leaves in which the gradient is wrong, in order."""
        wrong = [p.leaf for p in self.probes if p.verdict == WRONG and p.leaf != "all"]
        return list(dict.fromkeys([*wrong, *(leaf for leaf, _ in self.not_finite)]))

    def unknown_leaves(self) -> list[str]:
        """The leaves of which every probe is undecided, in order."""
        decided = {p.leaf for p in self.probes if p.verdict != UNDECIDED}
        return list(dict.fromkeys(p.leaf for p in self.probes if p.leaf not in {*decided, "all"}))

    def __str__(self) -> str:
        return f"{table([HEAD, *map(_cells, self.probes)], NUMBERS)}\n{self.summary()}"

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return html_table([HEAD, *map(_cells, self.probes)], NUMBERS, self.summary())

    def summary(self) -> str:
        """The verdict, and what could have been seen, in two lines."""
        if not self.probes:
            return "nothing is known of the gradient: no floating or complex parameter to probe"
        counts = {
            verdict: sum(p.verdict == verdict for p in self.probes) for verdict in (RIGHT, WRONG, KINK, UNDECIDED)
        }
        also = f", {counts[KINK]} at a kink" if counts[KINK] else ""
        if counts[UNDECIDED]:
            also += f", {counts[UNDECIDED]} undecided ({self._undecided_names()}): the loss's own rounding hides them"
        largest = f"largest relative error {self.worst.relative:.1e}"
        if counts[WRONG] or self.not_finite:
            also += "".join(f"; {words}" for _, words in self.not_finite)
            verdict = (
                f"the gradient is WRONG in {', '.join(self.wrong_leaves()) or 'all leaves together'}{also}; {largest}"
            )
        elif not self.moves:
            verdict = "nothing is known of the gradient: the loss does not move, whatever the parameters"
        elif not self.near:
            verdict = "nothing is known of the gradient, undecided: the loss is constant near the parameters"
        elif self.passed:
            verdict = f"the gradient is right along {counts[RIGHT]} directions{also}; {largest}"
        else:
            unknown = ", ".join(self.unknown_leaves()) or "any leaf"
            verdict = f"nothing is known of the gradient in {unknown}: {counts[RIGHT]} directions are right{also}"
        return f"{verdict}\n{self._share()}"

    def _undecided_names(self) -> str:
        """Their names, a few of them."""
        names = [f"{p.leaf} {p.direction}".removeprefix("the root ") for p in self.probes if p.verdict == UNDECIDED]
        names = list(dict.fromkeys(names))
        return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")

    def _share(self) -> str:
        randoms = sum(p.direction == "random" for p in self.probes)
        share = (
            f"probed: {self.entries} of {self.total} entries alone, all of them together in {randoms} random directions"
        )
        if not math.isfinite(self.visible):
            return f"{share}; an error in one other entry might not have been seen"
        return f"{share}; an error in one entry is seen from {self.visible:.0e} of the largest in its leaf"


def _cells(p: Probe) -> tuple[str, ...]:
    figures = (f"{p.gradient:.8g}", f"{p.difference:.8g}", f"{p.relative:.1e}", f"{p.ulp:.2g}")
    return (p.leaf, p.direction, *figures, p.verdict)
