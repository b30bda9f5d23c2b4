"""Reading members of a record that may hold anything: the exports never fail on a value of another type than ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

from gateway.canonical import Json
from gateway.record.line import Record


def part(record: Record, name: str) -> Mapping[str, Json]:
    """A member that is an object; an empty one when it is none."""
    found = record.body.get(name)
    return found if isinstance(found, Mapping) else {}


def text(value: Json) -> str:
    return value if type(value) is str else ""


def number(value: Json) -> int | None:
    """An integer that 63 bits hold."""
    return value if type(value) is int and 0 <= value < 2**63 else None


def texts(value: Json) -> list[str]:
    return [item for item in value if type(item) is str] if isinstance(value, list) else []


def moment(t: int) -> str:
    """Microseconds since the epoch by RFC 3339; the epoch for what is no time of this calendar."""
    try:
        return datetime.fromtimestamp(t // 1_000_000, UTC).isoformat()[:19] + f".{t % 1_000_000:06d}Z"
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"


def peer_of(value: Json) -> tuple[str, int | None]:
    """IP address and port of `address:port`; an empty address when there is none."""
    host, _, port = text(value).rpartition(":")
    try:
        address = str(ip_address(host.strip("[]")))
    except ValueError:
        return "", None
    return address, int(port) if port.isascii() and port.isdigit() and int(port) < 65_536 else None


def without_none(members: Mapping[str, Json]) -> dict[str, Json]:
    """Only what is known: members that are None, or empty texts, lists and objects, are left out."""
    return {name: value for name, value in members.items() if value is not None and value not in ("", [], {})}
