"""What was seen of an argument over many calls, and the simplest condition in Cedar that all of it satisfies and little else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from gateway.authorize.typed import DECIMAL_MAX, DECIMAL_MIN
from gateway.canonical import INTEGER_MAX, INTEGER_MIN, Json

FEW_MAX = 5
"""Different texts up to which they are listed one by one."""
EACH_MIN = 3
"""How often each of a few texts must have been seen, on average, before they are taken for all there are."""
TEXT_CHARS_MAX = 80
DIGITS = 2
"""Significant digits to which a largest number is rounded up, and a smallest down."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"})


class Values:
    """The values of one member of the context. `texts` are the different ones, None when they are too many; `common` is what all sets share.

    `hidden`: the log hides some of them, so nothing is told of any.
    """

    __slots__ = ("common", "hidden", "least", "most", "seen", "texts")

    def __init__(self) -> None:
        self.seen = 0
        self.hidden = False
        self.texts: set[str] | None = set()
        self.common: set[str] | None = None
        self.least: Decimal | None = None
        self.most: Decimal | None = None

    def add(self, value: Json) -> None:
        """Take one in: a text, a boolean, a number, a set of texts. Others are counted only."""
        self.seen += 1
        if type(value) is str:
            self._text(value)
        elif type(value) is bool:
            self._text(str(value).lower())
        elif type(value) is list:
            items = {item for item in value if type(item) is str}
            self.common = items if self.common is None else self.common & items
            for item in items:
                self._text(item)
        else:
            self._number(value)

    def hide(self) -> None:
        """Count one that must not be told."""
        self.seen += 1
        self.hidden = True

    def _text(self, value: str) -> None:
        if self.texts is None:
            return
        self.texts.add(value)
        if len(self.texts) > FEW_MAX or len(value) > TEXT_CHARS_MAX or not value.isprintable():
            self.texts = None

    def _number(self, value: Json) -> None:
        if type(value) is int:
            number = Decimal(value)
        elif isinstance(value, dict) and value.get("__extn", {}).get("fn") == "decimal":
            number = Decimal(value["__extn"]["arg"])
        else:
            return
        self.least = number if self.least is None else min(self.least, number)
        self.most = number if self.most is None else max(self.most, number)

    @property
    def few(self) -> tuple[str, ...] | None:
        """All the texts there seem to be; None when they are many, or seen too seldom to tell."""
        if self.texts is None or self.seen < EACH_MIN * len(self.texts):
            return None
        return tuple(sorted(self.texts))


def argument_bounds(expression: str, kind: Mapping[str, Json], values: Values) -> list[str]:
    """The conditions on an argument of this Cedar type; none where what was seen does not bound it."""
    if values.hidden:
        return []
    few = values.few
    match kind:
        case {"type": "Long"}:
            return _long(expression, values)
        case {"type": "Extension", "name": "decimal"}:
            return _decimal(expression, values)
        case {"type": "Boolean"}:
            return [f"{expression} == {few[0]}"] if few and len(few) == 1 else []
        case {"type": "String"}:
            return _one_of(expression, few)
        case {"type": "Set", "element": {"type": "String"}}:
            return _all_of(expression, few)
        case _:
            return []


def fact_bounds(expression: str, members: Mapping[str, Values]) -> list[str]:
    """The conditions on the facts of an argument: a folder that all paths lie in, few hosts or a domain they lie in, a largest size."""
    found: list[str] = []
    if any(values.hidden for values in members.values()):
        return found
    if "size" in members:
        found += [f"{expression}.size <= {_digits(_up(members['size'].most or Decimal(0), 0))}"]
    if "folders" in members:
        found += _within(f"{expression}.folders", members["folders"], lambda folder: folder != "/") or (
            _one_of(f"{expression}.path", members["path"].few) if "path" in members else []
        )
    elif "scheme" in members:
        found += _one_of(f"{expression}.scheme", members["scheme"].few)
    for name in ("host", "domain"):
        if name in members:
            found += _one_of(f"{expression}.{name}", members[name].few) or _within(
                f"{expression}.domains", members["domains"], lambda domain: "." in domain
            )
    for name in ("paths", "schemes", "hosts"):
        if name in members:
            found += _all_of(f"{expression}.{name}", members[name].few)
    return found


def member(expression: str, name: str) -> str:
    """`context.input.amount`, or `context.input["odd name"]`."""
    plain = _NAME.fullmatch(name) and name not in _RESERVED
    return f"{expression}.{name}" if plain else f"{expression}[{quoted(name)}]"


def present(expression: str, name: str) -> str:
    """`context.input has amount`."""
    plain = _NAME.fullmatch(name) and name not in _RESERVED
    return f"{expression} has {name if plain else quoted(name)}"


def quoted(text: str) -> str:
    """The text as a Cedar string. What no reviewer would see is written by its number."""
    return '"' + "".join(f"\\{c}" if c in '\\"' else c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text) + '"'


def _one_of(expression: str, few: tuple[str, ...] | None) -> list[str]:
    if not few:
        return []
    return [f"{expression} == {quoted(few[0])}"] if len(few) == 1 else [f"{_set(few)}.contains({expression})"]


def _all_of(expression: str, few: tuple[str, ...] | None) -> list[str]:
    if few is None:
        return []
    return [f"{_set(few)}.containsAll({expression})" if few else f"{expression}.isEmpty()"]


def _within(expression: str, values: Values, narrow: Callable[[str], bool]) -> list[str]:
    """The narrowest of what all of them lie in: the one with the most parts, which is the longest."""
    found = [name for name in values.common or () if narrow(name) and name.isprintable()]
    return [f"{expression}.contains({quoted(max(found, key=len))})"] if found else []


def _set(few: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, few))}]"


def _long(expression: str, values: Values) -> list[str]:
    if values.least is None or values.most is None:
        return []
    low, high = max(_down(values.least, 0), Decimal(INTEGER_MIN)), min(_up(values.most, 0), Decimal(INTEGER_MAX))
    return [f"{expression} >= {_digits(low)}", f"{expression} <= {_digits(high)}"]


def _decimal(expression: str, values: Values) -> list[str]:
    if values.least is None or values.most is None:
        return []
    low, high = max(_down(values.least, -4), DECIMAL_MIN), min(_up(values.most, -4), DECIMAL_MAX)
    return [
        f'{expression}.greaterThanOrEqual(decimal("{_pointed(low)}"))',
        f'{expression}.lessThanOrEqual(decimal("{_pointed(high)}"))',
    ]


def _up(number: Decimal, finest: int) -> Decimal:
    unit = Decimal(1).scaleb(max(number.adjusted() - DIGITS + 1, finest))
    return (number / unit).to_integral_value(ROUND_CEILING) * unit if number else number


def _down(number: Decimal, finest: int) -> Decimal:
    """Nothing below zero was seen: zero. Else rounded away from it."""
    if number >= 0:
        return Decimal(0)
    unit = Decimal(1).scaleb(max(number.adjusted() - DIGITS + 1, finest))
    return (number / unit).to_integral_value(ROUND_FLOOR) * unit


def _digits(number: Decimal) -> str:
    return f"{number:f}"


def _pointed(number: Decimal) -> str:
    text = f"{number:f}"
    whole, _, places = text.partition(".")
    return f"{whole}.{places.rstrip('0') or '0'}"
