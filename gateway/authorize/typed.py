"""Turns JSON arguments into typed Cedar values, exactly or not at all.

An agent's object never becomes a Cedar object by itself: every value here is built for the type that the contract declares. So `__extn` or
`__entity` in a request is either a text in a String, or a member that no contract declares, which is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Never

from gateway.authorize.shapes import Shape
from gateway.canonical import INTEGER_MAX, INTEGER_MIN, Json, JsonError, dumps

Convert = Callable[[Json], Json]

_EXACT_FLOAT = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECIMAL_MAX, DECIMAL_MIN = Decimal("922337203685477.5807"), Decimal("-922337203685477.5808")
_UNIT = Decimal("0.0001")
_SHORT = re.compile(r"-?[0-9]{1,14}\.[0-9]{1,4}")
"""What needs no arithmetic: most amounts are written like this."""

_DATE_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII)


class Unrepresentable(ValueError):  # noqa: N818 - the refusal code of the same name
    """A value has no exact typed form. `pointer` is a JSON pointer into the arguments; neither part quotes the value."""

    def __init__(self, why: str, *below: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = list(below)

    @property
    def pointer(self) -> str:
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in self.path)

    def inside(self, name: str) -> Unrepresentable:
        self.path.insert(0, name)
        return self


def converter(shape: Shape) -> Convert:
    """The function that makes a typed value of this shape. It raises Unrepresentable. Not for `raw`."""
    match shape.kind:
        case "string":
            return string
        case "boolean":
            return boolean
        case "long":
            return long
        case "decimal":
            return decimal
        case "datetime":
            return date_time
        case "set":
            assert shape.items
            return _set(converter(shape.items))
        case "record":
            return _record(shape)
        case "raw":
            raise AssertionError("raw values are handled as text")


def string(value: Json) -> Json:
    if type(value) is not str:
        raise Unrepresentable("a string was declared")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unrepresentable("a lone surrogate is not Unicode text") from None
    return value


def boolean(value: Json) -> Json:
    if type(value) is not bool:
        raise Unrepresentable("a boolean was declared")
    return value


def long(value: Json) -> Json:
    if type(value) is float and value.is_integer() and abs(value) <= _EXACT_FLOAT:
        value = int(value)
    if type(value) is not int:
        raise Unrepresentable("an integer was declared")
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise Unrepresentable("the integer does not fit in 64 bits")
    return value


def decimal(value: Json) -> Json:
    """Cedar's decimal has four places and 64 bits; it wants a point and no exponent."""
    kind = type(value)
    if kind is int:
        if not -922337203685477 <= value <= 922337203685477:
            raise Unrepresentable("the number is too large for a decimal")
        return {"__extn": {"fn": "decimal", "arg": f"{value}.0"}}
    if kind is not float:
        raise Unrepresentable("a number was declared")
    written = repr(value)
    if _SHORT.fullmatch(written):
        return {"__extn": {"fn": "decimal", "arg": written}}
    try:
        exact = Decimal(written)
        if not DECIMAL_MIN <= exact <= DECIMAL_MAX:
            raise Unrepresentable("the number is too large for a decimal")
        whole = exact.quantize(_UNIT)
    except InvalidOperation:
        raise Unrepresentable("the number is not finite") from None
    if whole != exact:
        raise Unrepresentable("the number has more than 4 decimal places")
    text = f"{whole:f}".rstrip("0")
    return {"__extn": {"fn": "decimal", "arg": f"{text}0" if text.endswith(".") else text}}


def date_time(value: Json) -> Json:
    """RFC 3339 with any offset, as UTC with exact milliseconds."""
    found = _DATE_TIME.fullmatch(value) if type(value) is str else None
    if not found:
        raise Unrepresentable("a date-time (RFC 3339, with an offset) was declared")
    fraction = (found[7] or "").ljust(9, "0")
    if fraction[3:] != "000000":
        raise Unrepresentable("the time is finer than a millisecond")
    offset = timedelta(0)
    if found[9]:
        if int(found[10]) > 23 or int(found[11]) > 59:
            raise Unrepresentable("the offset is out of range")
        offset = timedelta(hours=int(found[10]), minutes=int(found[11])) * (-1 if found[9] == "-" else 1)
    try:
        year, month, day, hour, minute, second = (int(found[n]) for n in range(1, 7))
        moment = datetime(year, month, day, hour, minute, second, int(fraction[:3]) * 1000, tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unrepresentable("there is no such time") from None
    return instant(moment)


def instant(moment: datetime) -> Json:
    """A UTC time as Cedar's datetime. Digits below the millisecond are cut."""
    return {"__extn": {"fn": "datetime", "arg": moment.isoformat(timespec="milliseconds")[:-6].zfill(23) + "Z"}}


def moment_us(now_us: int) -> Json:
    """Microseconds since the epoch as Cedar's datetime; the same cut."""
    seconds, below = divmod(now_us, 1_000_000)
    return {"__extn": {"fn": "datetime", "arg": f"{_second(seconds)}.{below // 1000:03d}Z"}}


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")[:-6].zfill(19)


def raw(value: Json) -> str:
    """The canonical JSON of a value that has no type."""
    try:
        return dumps(value).decode()
    except JsonError:
        raise Unrepresentable("the value has no canonical JSON form") from None


def _set(item: Convert) -> Convert:
    def convert(value: Json) -> Json:
        if type(value) is not list:
            raise Unrepresentable("a list was declared")
        try:
            return [item(v) for v in value]
        except Unrepresentable as error:
            raise error.inside("-") from None

    return convert


def _record(shape: Shape) -> Convert:
    typed = [(m.name, converter(m.shape), m.required) for m in shape.members if m.shape.kind != "raw"]
    declared = frozenset(m.name for m in shape.members)
    needed = [m.name for m in shape.members if m.required and m.shape.kind != "raw"]
    present = frozenset(m.name for m in shape.members if m.required)
    closed = shape.closed

    def convert(value: Json) -> Json:
        if type(value) is not dict:
            raise Unrepresentable("an object was declared")
        if closed and not value.keys() <= declared:
            _undeclared()
        found = {}
        for name, item, _ in typed:
            member = value.get(name)
            if member is not None:
                try:
                    found[name] = item(member)
                except Unrepresentable as error:
                    raise error.inside(name) from None
        if not present <= value.keys() or not all(name in found for name in needed):
            raise Unrepresentable("it is missing", min(name for name in present if name not in value or (name in needed and name not in found)))
        return found

    return convert


def _undeclared() -> Never:
    raise Unrepresentable("a member is not declared")
