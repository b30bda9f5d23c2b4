"""Reads the tables of what hands credentials out, and of how they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from gateway.config import handed_out
from gateway.config.lines import Key
from gateway.config.reader import Reader
from gateway.config.source import Source
from gateway.config.sources import SOURCES, USES, SourceSettings, UseSettings, VaultSettings

Table = TypeVar("Table", bound=SourceSettings | UseSettings)


def read_table(reader: Reader, source: Source, key: Key, value: object, cls: type[Table]) -> Table | None:
    """A table below `[credential.NAME]` that says who hands it out, or how it is used; what is wrong with it is reported."""
    table = reader.table(source, key, value)
    values = reader.fields(cls, source, key, table) if isinstance(value, dict) else None
    if values is None:
        return None
    settings = cls(**values)
    if table.keys() <= values.keys():  # else a key that was refused would be called missing, too
        for name, fault in handed_out.of_table(settings, frozenset(table)):
            reader.report(source, (*key, name), fault)
    return settings


def read_tables(reader: Reader, source: Source, key: Key, table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The nested tables of a credential as fields of its settings; None when one is broken. Of several sources the first counts."""
    found = {kind: read_table(reader, source, (*key, kind), table[kind], cls) for kind, cls in (SOURCES | USES).items() if kind in table}
    if None in found.values():
        return None
    uses = {kind: found[kind] for kind in USES if kind in found}
    return {"source": next((found[kind] for kind in SOURCES if kind in found), None), **uses}


def read_vault(reader: Reader, main: Source) -> VaultSettings | None:
    """`[vault]`, if there is one; what is wrong with it is reported."""
    if "vault" not in main.table:
        return None
    key = ("vault",)
    values = reader.fields(VaultSettings, main, key, reader.table(main, key, main.table["vault"]))
    return None if values is None else VaultSettings(**values)
