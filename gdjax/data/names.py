"""What the name of a column says: words such as "id", "age" or "class"."""

from __future__ import annotations

import re


def _vocabulary(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Columns that name rows, and columns that count on: a row number is no identifier if its name is one of these.
NAMING = _vocabulary("id ids identifier uuid guid key index idx rownames rowname row rowid serial sno")
COUNTING = _vocabulary(
    "t time times year years month months day days date dates hour hours minute minutes second seconds week weeks step "
    "steps epoch iteration dose length distance position depth frame cycle cycles temperature angle"
)
TIMING = _vocabulary("t time times timestamp datetime date dates epoch year")
# Targets of whole numbers that measure, and those that name.
MEASURING = _vocabulary(
    "age ages year years rating ratings score scores star stars quality grade grades count counts number num n total "
    "amount price prices cost costs value values day days hour hours minute minutes month months week weeks height weight "
    "size length width distance duration depth rooms bedrooms bathrooms children siblings visits visitors sales quantity "
    "qty points goals rings income salary wage temperature level levels rank severity cnt rentals passengers dose"
)
CODING = _vocabulary(
    "class classes label labels type types species category categories cluster group groups code codes zip zipcode "
    "postcode postal kind digit digits letter letters id region state segment cultivar color colour status diagnosis "
    "outcome flag"
)


def words(name: str) -> list[str]:
    """The words of a name, in lower case: "customerID" is customer, id; "zip-code 2" is zip, code."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", name)]


def says(name: str, vocabulary: frozenset[str]) -> str | None:
    """The last word of a name that belongs to a vocabulary, or None."""
    return next((word for word in reversed(words(name)) if word in vocabulary), None)
