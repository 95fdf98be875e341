"""A cell as a number: signs, currencies, percents, thousands, and which of point and comma is the decimal mark."""

from __future__ import annotations

import re
from typing import NamedTuple

WHITE = " \t\n\r\f\v\x1a\u00a0\u2002\u2003\u2009\u200b\u202f\u3000\ufeff"  # what may stand around a cell
EXACT = 2**53  # the whole numbers up to it are floats
MISSING = frozenset(
    [
        "",
        "NA",
        "N/A",
        "n/a",
        "na",
        "#N/A",
        "#NA",
        "<NA>",
        "NaN",
        "nan",
        "NAN",
        "-nan",
        "NaT",
        "NULL",
        "null",
        "Null",
        "(null)",
        "\\N",
        "?",
        "-",
        "--",
        "---",
        ".",
        "..",
        "—",
        "–",
        "None",
        "none",
        "NONE",
        "n.a.",
        "N.A.",
        "n.d.",
        "n/d",
        "#VALUE!",
        "#DIV/0!",
        "#REF!",
        "#NAME?",
        "missing",
        "Missing",
        "MISSING",
        "unknown",
        "Unknown",
        "UNKNOWN",
        "no data",
        "No data",
        "not available",
        "Not available",
        "Not Available",
        "NOT AVAILABLE",
    ]
)
INFINITE = frozenset(
    sign + word for sign in ("", "+", "-") for word in ("inf", "Inf", "INF", "infinity", "Infinity", "∞")
)
_CODES = r"(?:USD|EUR|GBP|CHF|JPY|CNY|INR|RUB|AUD|CAD|SEK|NOK|DKK|PLN|CZK|kr|zł|Rs)"
_CURRENCY = rf"(?:US|R|A|C|NZ|HK)?\$|[\u00a2-\u00a5\u20a0-\u20cf\uffe5]|{_CODES}\.?"
_MINUS = "−–‐‑－"  # of web pages and word processors
_NUMBER = re.compile(
    rf"(?:(?P<outer>{_CURRENCY})\s*(?=\())?(?P<open>\()?\s*(?P<sign>[-+{_MINUS}])?\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[-+{_MINUS}])?"
    r"(?P<body>\.?,?\d[\d.,'’\u00a0\u2009\u202f ]*?)(?P<exponent>[eE][-+−]?\d+)?(?P<behind>-)?"
    rf"\s*(?P<after>{_CURRENCY}|%)?\s*(?P<close>\))?"
)
_SIMPLE = re.compile(r"([-+]?)(\d+)(?:\.(\d*))?", re.ASCII)
_BLANKS = "'’\u00a0\u2009\u202f "
_WHOLE = re.compile(r"\d+")
_DECIMAL = re.compile(r"\d*(\.)\d*|\d*(,)\d+")
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}([.,])\d{3}")
_GROUPED = re.compile(
    r"[1-9]\d{0,2}(?:(?P<blank>[" + _BLANKS + r"])\d{3}(?:(?P=blank)\d{3})*(?:([.,])\d*)?"
    r"|\.\d{3}(?:\.\d{3})*,\d*|,\d{3}(?:,\d{3})*\.\d*|\.\d{3}(?:\.\d{3})+|,\d{3}(?:,\d{3})+)"
    r"|[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d*)?"
)
PLAIN = {
    ".": re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"),
    ",": re.compile(r"[-+]?(\d+(,\d+)?|,\d+)([eE][-+]?\d+)?"),
}
CODE = re.compile(r"0\d+")


class Number(NamedTuple):
    """What a cell says, if it is a number.

    Args:
        digits: of the number without its sign, with marks as they stand.
        sign: "-" or "".
        exponent: such as "e5", or "".
        unit: a currency or "%", or "".
        proof: the decimal mark that the cell shows: "." or ","; "" if it shows none; "?" for `1.200` and `1,200`.
    """

    digits: str
    sign: str
    exponent: str
    unit: str
    proof: str

    def value(self, decimal: str) -> int | float | None:
        """The number, under a decimal mark; None if the cell has another one."""
        if self.proof not in ("", "?", decimal):
            return None
        thousands = "," if decimal == "." else "."
        digits = self.digits.replace(thousands, "").replace(decimal, ".")
        if digits.isdecimal() and not self.exponent:
            return int(self.sign + digits)
        return float(f"{self.sign}{digits}{self.exponent}")

    @property
    def is_code(self) -> bool:
        """Whether zeros lead it, as in 01234."""
        return CODE.fullmatch(self.digits) is not None and not (self.sign or self.unit or self.exponent)


def number_of(cell: str) -> Number | None:
    """What a stripped cell says as a number; None for a text, a date, a range or a missing word."""
    simple = _SIMPLE.fullmatch(cell)
    if simple is not None:
        return _simple(cell, *simple.groups())
    if cell in INFINITE:
        return Number("inf", "-" if cell[0] == "-" else "", "", "", "")
    found = _NUMBER.fullmatch(cell)
    if found is None or bool(found["open"]) != bool(found["close"]) or (found["before"] and found["after"]):
        return None
    if (found["sign"] or found["open"]) and found["inner"]:
        return None
    sign = found["sign"] or found["inner"]
    if found["behind"] and (sign or found["open"] or not re.search(r"[.,]\d\d$", found["body"])):
        return None
    negative = found["open"] or found["behind"] or (sign or "+") != "+"
    body, exponent = found["body"].strip(), (found["exponent"] or "").replace("−", "-")
    proof = _proof(body, exponent)
    if proof is None or (sign == "+" and " " in body):  # a telephone number
        return None
    digits = body.translate(dict.fromkeys(map(ord, _BLANKS)))
    return Number(
        digits, "-" if negative else "", exponent, found["outer"] or found["before"] or found["after"] or "", proof
    )


def _simple(cell: str, sign: str, whole: str, decimals: str | None) -> Number:
    """A number of digits and at most one point, as most cells are."""
    proof = "." if decimals is not None else ""
    if decimals is not None and len(decimals) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0":
        proof = "?"
    return Number(cell.lstrip("+-"), "-" if sign == "-" else "", "", "", proof)


def _proof(body: str, exponent: str) -> str | None:
    """The decimal mark that the digits prove; None if they are no number."""
    if _WHOLE.fullmatch(body):
        return ""
    if _AMBIGUOUS.fullmatch(body):
        return "?" if not exponent else re.sub(r"\d", "", body)
    if _DECIMAL.fullmatch(body):
        return re.sub(r"\d", "", body)
    if exponent or not _GROUPED.fullmatch(body):
        return None
    marks = re.sub(r"[^.,]", "", body)
    if not marks:
        return ""
    if len(set(marks)) == 1 and (len(marks) > 1):  # 1.234.567
        return "," if marks[0] == "." else "."
    return marks[-1]


def mark(cell: Number) -> str:
    """The mark of an ambiguous number, "." or ","."""
    return re.sub(r"\d", "", cell.digits)
