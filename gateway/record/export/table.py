"""CSV by RFC 4180, for spreadsheets: a row a record, and no cell that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from gateway.canonical import Json
from gateway.record.export.members import moment, number, part, text, texts
from gateway.record.line import Record

COLUMNS = (
    *("n", "time", "kind", "id", "agent", "user", "run", "tool", "operation", "method", "path", "effect", "decision", "reasons", "code"),
    *("call", "status", "http", "ms", "leaf"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell may not begin with (OWASP, CSV injection), full-width forms included."""


def csv_rows(records: Iterable[Record], _: str) -> Iterator[bytes]:
    """The first row names the columns. Every cell is quoted; one that begins like a formula gets an apostrophe in front, also behind spaces."""
    yield _row(COLUMNS)
    for record in records:
        who, what, authz = part(record, "who"), part(record, "what"), part(record, "authz")
        named = [record.body.get("id"), who.get("agent"), who.get("user"), who.get("run"), what.get("tool"), what.get("op"), what.get("method")]
        named += [what.get("path"), what.get("effect"), authz.get("decision")]
        ended = [record.body.get(name) for name in ("call", "http", "ms")]
        call, http, ms = ("" if number(value) is None else str(value) for value in ended)
        tail = ["; ".join(texts(authz.get("reasons"))), text(record.body.get("code")), call, text(record.body.get("status")), http, ms, record.leaf]
        yield _row([str(record.n), moment(record.t), record.kind, *map(text, named), *tail])


def _row(cells: Iterable[Json]) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow([_safe(cell) for cell in cells])
    return out.getvalue().encode()


def _safe(cell: str) -> str:
    return "'" + cell if cell.lstrip(" ").startswith(FORMULA) else cell
