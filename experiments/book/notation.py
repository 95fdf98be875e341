"""The notation of the equations in docstrings: a statement in plain text as one row of MathML.

Two names beside each other are multiplied, `a / b c` is (a / b) c, `x²` and `x^t` are powers, `|x|` is a norm, `<x, y>` an
inner product, `A'` a transpose, and `mu_hat` has a hat. Names of one letter, Greek ones and those with one subscript are set
as mathematics; longer ones as they are. A sum reaches to the end of its product: `a b / sum_i c d` is a quotient by all of
the sum.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from typing import NamedTuple

GREEK = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eps": "ε", "eta": "η", "lamb": "λ", "lambd": "λ"},
    **{"mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "theta": "θ"},
}
RELATIONS = {
    "<-": "←",
    "->": "→",
    "<=>": "⇔",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "=": "=",
    "<": "&lt;",
    ">": "&gt;",
    "~": "∼",
}
POWERS = {"²": "2", "³": "3", "⁴": "4", "⁶": "6"}
BIG = re.compile(
    r"(?:sum|max|min)_[a-z]|sum"
)  # an operator on the product that follows, if that does not stand in brackets
SIGNED = ("else", "is", "or")  # words after which a minus is a sign
TOKEN = re.compile(
    r"(?P<space> +)"
    r"|(?P<code>`[^`]*`(?:-[a-z]+)?)"
    r"|(?P<number>\d+\.\d+(?:e-?\d+)?|\d+e-?\d+|\d+)"
    r"|(?P<name>[A-Za-z]{2,}'s(?![A-Za-z])|[A-Za-z][A-Za-z0-9_]*(?:-[a-z]+)*\*?)"
    r"|(?P<sign><=>|<-|->|<=|>=|!=|\+-|\.\.\.|[-+/·^²³⁴⁶'|<>=~(){}\[\],;:._])"
)


class Token(NamedTuple):
    kind: str
    text: str
    tight: bool  # whether it follows the token before without a space


def tokens(text: str) -> list[Token]:
    """Raises: ValueError for a character that no equation has."""
    found, place, tight = [], 0, False
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"an equation must not have {text[place]!r}: {text!r}")
        kind, place = match.lastgroup or "", match.end()
        if kind != "space":
            found.append(Token(kind, match[0], tight))
        tight = kind != "space"
    return found


def is_word(items: list[Token], place: int, known: Collection[str]) -> bool:
    """Whether a name is a word of English."""
    kind, text, _ = items[place]
    if kind != "name" or text in known:
        return False
    follows = items[place + 1] if place + 1 < len(items) else Token("", "", False)
    if text == "a":
        return follows.kind == "name" and not follows.tight and len(follows.text) > 1
    if text.startswith("or") or (follows.text == "(" and follows.tight):
        return text == "or"
    base, _, below = text.rstrip("*").partition("_")
    base = base.rstrip("0123456789")
    return len(base) > 1 and base not in GREEK and not below


def mathml(piece: str, known: Collection[str]) -> str:
    """A piece as one row of MathML."""
    return Parser(tokens(piece), known).row(())


class Parser:
    """Recursive descent over the tokens of a piece; every method gives the MathML of what it has read."""

    def __init__(self, items: list[Token], known: Collection[str]):
        self.items, self.known, self.place = items, known, 0

    @property
    def next(self) -> Token:
        return self.items[self.place] if self.place < len(self.items) else Token("end", "", False)

    def take(self) -> Token:
        if self.place >= len(self.items):
            raise ValueError(f"an equation ends too early: {' '.join(item.text for item in self.items)!r}")
        self.place += 1
        return self.items[self.place - 1]

    def row(self, ends: tuple[str, ...]) -> str:
        """Sums, relations and commas up to one of the ends, which is not read."""
        parts: list[str] = []
        after_operand = False
        while self.next.kind != "end" and self.next.text not in ends:
            text, infix, after_operand = self.next.text, after_operand, False
            if text in (",", ";", ":"):
                parts.append(f'<mo separator="true">{self.take().text}</mo><mspace width="0.35em"></mspace>')
            elif text in RELATIONS and not self.begins_inner_product():
                self.take()
                parts.append(f'<mo form="infix">{RELATIONS[text]}</mo>')
            elif text in ("+", "-", "+-"):
                self.take()
                form = "infix" if infix else "prefix"
                parts.append(f'<mo form="{form}">{ {"+": "+", "-": "−", "+-": "±"}[text] }</mo>')
            else:
                parts.append(self.product(ends))
                after_operand = self.items[self.place - 1].text not in SIGNED
                parts += [] if after_operand else ['<mspace width="0.35em"></mspace>']
        return "".join(parts)

    def product(self, ends: tuple[str, ...]) -> str:
        """Factors beside each other, with quotients as fractions: `a b / c d` is (a b / c) d, `a b/c` is a (b/c)."""
        factors: list[str] = []
        words = [self.begins_word()]
        factors.append(self.factor())
        while self.begins_factor(ends) or self.next.text in ("/", "·"):
            if self.next.text == "·":
                self.take()
                factors[-1] += f"<mo>·</mo>{self.factor()}"
            elif self.next.text == "/":
                tight = self.take().tight and not self.begins_big()
                below = self.product(ends) if self.begins_big() else self.factor()
                of = 1 if tight and not (len(factors) > 1 and factors[-1].endswith("⊤</mo></msup>")) else len(factors)
                if tight and of > 1:
                    of = 2
                of = min(of, next((i for i, word in enumerate(reversed(words)) if word), of)) or 1
                above = times(factors[-of:], words[-of:])
                del factors[-of:], words[-of:]
                factors.append(f"<mfrac><mrow>{strip(above)}</mrow><mrow>{strip(below)}</mrow></mfrac>")
                words.append(False)
            else:
                words.append(self.begins_word())
                factors.append(self.factor())
        return times(factors, words)

    def begins_word(self) -> bool:
        if self.begins_big():
            return False
        return self.next.kind == "code" or (self.next.kind == "name" and is_word(self.items, self.place, self.known))

    def begins_big(self) -> bool:
        """Whether an operator such as `sum_i` is next, whose operand is not in brackets that are written to it."""
        after = self.items[self.place + 1] if self.place + 1 < len(self.items) else Token("end", "", False)
        return BIG.fullmatch(self.next.text) is not None and not after.tight and after.text != "of"

    def begins_factor(self, ends: tuple[str, ...]) -> bool:
        kind, text, _ = self.next
        opens = text in ("(", "[", "|", "...") or self.begins_inner_product()
        return kind in ("name", "number", "code") or (opens and text not in ends)

    def begins_inner_product(self) -> bool:
        """Whether a `<` opens one: no space follows it, as one does where it means less."""
        return self.next.text == "<" and self.place + 1 < len(self.items) and self.items[self.place + 1].tight

    def factor(self) -> str:
        """An atom with its powers and transposes, and what is written to it without a space after a transpose: y'y."""
        made = self.powers(self.atom())
        while made.endswith("⊤</mo></msup>") and self.next.tight and self.next.kind in ("name", "number"):
            made += self.powers(self.atom())
        return made

    def powers(self, base: str) -> str:
        while True:
            text = self.next.text
            if text in POWERS:
                self.take()
                base = f"<msup><mrow>{base}</mrow><mn>{POWERS[text]}</mn></msup>"
            elif text == "'":
                self.take()
                base = f"<msup><mrow>{base}</mrow><mo>⊤</mo></msup>"
            elif text == "^":
                self.take()
                base = f"<msup><mrow>{base}</mrow><mrow>{self.exponent()}</mrow></msup>"
            elif text == "_" and self.next.tight:
                self.take()
                base = f"<msub><mrow>{base}</mrow>{self.atom()}</msub>"
            elif text == "." and self.next.tight:
                self.take()
                base += f"<mo>.</mo>{self.atom()}"
            else:
                return base

    def exponent(self) -> str:
        if self.next.text == "+":
            self.take()
            return "<mo>+</mo>"
        sign = ""
        if self.next.text == "-":
            self.take()
            sign = '<mo form="prefix">−</mo>'
        if self.next.text == "T":
            self.take()
            return "<mo>⊤</mo>"
        if self.next.text == "(":
            self.take()
            inner = flat(self.raw(")"))
            return sign + inner
        return sign + self.atom()

    def raw(self, end: str) -> str:
        """What stands up to a closing bracket, which is read."""
        made = self.row((end,))
        if self.next.text != end:
            raise ValueError(f"a bracket is not closed: {' '.join(item.text for item in self.items)!r}")
        self.take()
        return made

    def atom(self) -> str:
        kind, text, _ = self.take()
        if kind == "number":
            digits, _, power = text.partition("e")
            if not power:
                return f"<mn>{digits}</mn>"
            times_ = "" if digits == "1" else f"<mn>{digits}</mn><mo>·</mo>"
            return f"{times_}<msup><mn>10</mn><mn>{power.replace('-', '−')}</mn></msup>"
        if kind == "code":
            return f"<mtext>{html.escape(text.replace('`', ''))}</mtext>"
        if kind == "name":
            return self.call(text)
        if text in ("(", "["):
            inner = self.raw({"(": ")", "[": "]"}[text])
            close = {"(": ")", "[": "]"}[text]
            return f'<mrow><mo form="prefix">{text}</mo>{inner}<mo form="postfix">{close}</mo></mrow>'
        if text == "|":
            return f'<mrow><mo form="prefix">|</mo>{self.raw("|")}<mo form="postfix">|</mo></mrow>'
        if text == "<":
            return f'<mrow><mo form="prefix">⟨</mo>{self.raw(">")}<mo form="postfix">⟩</mo></mrow>'
        if text == "...":
            return "<mi>…</mi>"
        raise ValueError(f"unexpected {text!r} in {' '.join(item.text for item in self.items)!r}")

    def call(self, text: str) -> str:
        """A name, with its arguments or its index if these are written to it."""
        self.place -= 1
        big, word = self.begins_big(), self.begins_word()
        self.place += 1
        if big:
            return symbol(text).replace("<mi>sum</mi>", "<mo>∑</mo>")
        if text in ("sqrt", "cbrt") and self.next.text == "(":
            self.take()
            inner = self.raw(")")
            return f"<msqrt>{inner}</msqrt>" if text == "sqrt" else f"<mroot><mrow>{inner}</mrow><mn>3</mn></mroot>"
        made = f"<mtext>{html.escape(text)}</mtext>" if word else symbol(text)
        if text.endswith("_") and self.next.text == "{":
            self.take()
            made = f"<msub>{identifier(text[:-1])}<mrow>{self.raw('}')}</mrow></msub>"
        while self.next.tight and self.next.text in ("(", "[") and not word:
            made = f"<mrow>{made}{self.atom()}</mrow>"
        return made


def times(factors: list[str], words: list[bool]) -> str:
    """Factors beside each other: thin spaces between them, wider ones beside words."""
    made = factors[0]
    for i in range(1, len(factors)):
        wide = words[i] or words[i - 1]
        made += f'<mspace width="{"0.35em" if wide else "0.17em"}"></mspace>{factors[i]}'
    return made


def strip(fenced: str) -> str:
    """A numerator or denominator without the brackets that a fraction bar makes needless."""
    match = re.fullmatch(r'<mrow><mo form="prefix">\(</mo>(.*)<mo form="postfix">\)</mo></mrow>', fenced)
    inner = match[1] if match else ""
    depth = 0
    for bracket in re.findall(r">([()])</mo>", inner):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return fenced
    return inner or fenced


def flat(exponent: str) -> str:
    """An exponent with its fractions on one line."""
    return re.sub(r"<mfrac><mrow>(.*?)</mrow><mrow>(.*?)</mrow></mfrac>", _beside, exponent)


def _beside(match: re.Match[str]) -> str:
    above, below = match.groups()
    few = below.count("<m") == 1
    return f"{above}<mo>/</mo>{below}" if few else f"{above}<mo>/</mo><mo>(</mo>{below}<mo>)</mo>"


def symbol(name: str) -> str:
    """A name as a symbol: mu_hat has a hat, b1 and p_0 subscripts, eps is ε; longer names stay as they are."""
    star, name = name.endswith("*"), name.rstrip("*")
    if star:
        return f"<msup>{symbol(name)}<mo>∗</mo></msup>"
    if name.endswith("_hat"):
        inner = symbol(name.removesuffix("_hat"))
        if inner.startswith("<msub>"):
            return inner.replace("<msub>", '<msub><mover accent="true">', 1).replace(
                "</mi>", "</mi><mo>^</mo></mover>", 1
            )
        return f'<mover accent="true">{inner}<mo>^</mo></mover>'
    base, _, below = name.partition("_")
    split = re.fullmatch(r"(.*?)(\d+)", base)
    if split and not below and short(split[1]):
        return f"<msub>{identifier(split[1])}<mn>{split[2]}</mn></msub>"
    if below and "_" not in below and (short(base) or len(below) == 1):
        kind = "mn" if below.isdigit() else "mi"
        shown = "∞" if below == "inf" else below
        return f"<msub>{identifier(base)}<{kind}>{shown}</{kind}></msub>"
    return identifier(name)


def short(name: str) -> bool:
    return len(name) == 1 or name in GREEK


def identifier(name: str) -> str:
    return f"<mi>{html.escape(GREEK.get(name, name))}</mi>"
