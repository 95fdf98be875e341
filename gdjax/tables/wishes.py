"""What the user has said of the columns, by name: which are used, and as what."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdjax.tables.cells import is_text
from gdjax.tables.columns import Column, recognize
from gdjax.text import near

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class Wishes:
    """Names of columns: not used (drop, id), the only ones used (only), and used whatever they look like (the others)."""

    drop: tuple[str, ...] = ()
    id: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()

    def check(self, names: Sequence[str], target: str) -> None:
        """Raises: ValueError, naming all names that are not there or are said to be two things."""
        wrong = [_unknown(name, names, "target") for name in (target,) if name not in names]
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            wrong += [_unknown(name, names, field.name) for name in given if name not in names]
            wrong += [f"`{field.name}={target}`: it is the target" for name in given if name == target]
        for one, other in (("categorical", "numeric"), ("drop", "only"), ("id", "only")):
            both = sorted(set(getattr(self, one)) & set(getattr(self, other)))
            wrong += [f"`{one}={name}` and `{other}={name}` exclude each other" for name in both]
        if wrong:
            raise ValueError("; ".join(wrong))

    def column(self, series: pandas.Series) -> Column:
        """The column, and whether it is used by the user's word; else by its kind."""
        name = str(series.name)
        for is_meant, kind, said in (
            (name in self.drop, "not used", "as asked (drop)"),
            (name in self.id, "identifier", "as asked (id)"),
            (bool(self.only) and name not in self.only, "not used", "others are asked for (only)"),
        ):
            if is_meant:
                return Column(name, kind, said, int(series.isna().sum()))
        forced = "category" if name in self.categorical else "number" if name in self.numeric else None
        found = recognize(series, forced)
        if forced is None and name in self.only and not found.used:
            return _in_spite(series, found)
        return found

    def demand(self, name: str) -> bool:
        """True if the user wants the column used, whatever it looks like."""
        return name in (*self.only, *self.categorical, *self.numeric)


def apart(given: str | Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names that were given, those apart that were given as one text: "age,sex"."""
    words = [given] if isinstance(given, str) else list(given)
    return tuple(name for word in words for name in ([word] if word in names else word.split(",")))


def _in_spite(series: pandas.Series, found: Column) -> Column:
    """A column that is used although it looks like an identifier or a constant."""
    kind = "category" if is_text(series) else "number"
    return dataclasses.replace(
        recognize(series, kind), reason=f"as asked, although it looks like {article(found.kind)}"
    )


def _unknown(name: str, names: Sequence[str], option: str) -> str:
    close = near(name, names)
    hint = f"did you mean {close!r}?" if close else f"there are {', '.join(names)}"
    return f"`{option}={name}`: there is no such column; {hint}"


def article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
