"""Reads the tables of what hands credentials out."""

from __future__ import annotations

from gateway.config import handed_out
from gateway.config.lines import Key
from gateway.config.reader import Reader
from gateway.config.signed import of_hmac
from gateway.config.source import Source
from gateway.config.sources import HmacSettings, SourceSettings, VaultSettings


def read_handed_out(reader: Reader, source: Source, key: Key, value: object, cls: type[SourceSettings]) -> SourceSettings | None:
    """A table below `[credential.NAME]` that says who hands it out; what is wrong with it is reported."""
    table = reader.table(source, key, value)
    values = reader.fields(cls, source, key, table) if isinstance(value, dict) else None
    if values is None:
        return None
    settings = cls(**values)
    if table.keys() <= values.keys():  # else a key that was refused would be called missing, too
        for name, fault in handed_out.of_source(settings, frozenset(table)):
            reader.report(source, (*key, name), fault)
    return settings


def read_hmac(reader: Reader, source: Source, key: Key, value: object) -> HmacSettings | None:
    """`[credential.NAME.hmac]`; what is wrong with it is reported."""
    table = reader.table(source, key, value)
    values = reader.fields(HmacSettings, source, key, table) if isinstance(value, dict) else None
    if values is None:
        return None
    settings = HmacSettings(**values)
    if table.keys() <= values.keys():
        for name, fault in of_hmac(settings):
            reader.report(source, (*key, name), fault)
    return settings


def read_vault(reader: Reader, main: Source) -> VaultSettings | None:
    """`[vault]`, if there is one; what is wrong with it is reported."""
    if "vault" not in main.table:
        return None
    key = ("vault",)
    values = reader.fields(VaultSettings, main, key, reader.table(main, key, main.table["vault"]))
    return None if values is None else VaultSettings(**values)
