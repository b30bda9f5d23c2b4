"""Reads the tables that name witnesses and peers, [witness.NAME] and [peer.NAME]."""

from __future__ import annotations

from typing import TypeVar

from gateway.config import kinds
from gateway.config.kinds import Fault
from gateway.config.model import PeerSettings, WitnessSettings
from gateway.config.reader import Reader
from gateway.config.source import Source

Anchor = TypeVar("Anchor", WitnessSettings, PeerSettings)


def read_anchors(reader: Reader, main: Source, kind: str, cls: type[Anchor]) -> dict[str, Anchor]:
    """The tables of one kind by name; what is wrong with them is reported."""
    found: dict[str, Anchor] = {}
    for name, value in reader.table(main, (kind,), main.table.get(kind, {})).items():
        try:
            kinds.name(name)
        except Fault as fault:
            reader.report(main, (kind, name), fault)
            continue
        table = reader.table(main, (kind, name), value)
        values = reader.fields(cls, main, (kind, name), table) if isinstance(value, dict) else None
        if values is not None:
            found[name] = cls(name=name, **values)
    return found
