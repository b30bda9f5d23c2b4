"""Reads a deployment's settings: gateway.toml and the files it includes. Either everything is right, or every fault found is raised at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.config import agreement, handed_out, kinds, suggest
from gateway.config.anchors import read_anchors
from gateway.config.kinds import Fault
from gateway.config.lines import Key
from gateway.config.model import (
    CredentialSettings,
    InlineOperation,
    Limits,
    Listener,
    LogSettings,
    PeerSettings,
    Settings,
    ToolSettings,
    WitnessSettings,
)
from gateway.config.read_sources import read_tables, read_vault
from gateway.config.reader import Reader
from gateway.config.rules import ADDRESSES, RULES, GatewayTable, ListenTable
from gateway.config.source import Source, read_source
from gateway.config.sources import SOURCES, USES
from gateway.errors import Problem, Problems

FILE = "gateway.toml"
SCHEMA = 1
INCLUDED_FILES_MAX = 1_000
_TOP = frozenset({"schema", "include", "gateway", "listen", "log", "limits", "tool", "credential", "vault", "witness", "peer"})
_INCLUDED = frozenset({"schema", "tool", "credential"})


@dataclass(slots=True)
class _Found:
    """What has been read so far. A name stands in `written` even when its table is broken, so that nobody is told it is missing."""

    tools: dict[str, ToolSettings] = field(default_factory=dict)
    credentials: dict[str, CredentialSettings] = field(default_factory=dict)
    written: dict[Key, Source] = field(default_factory=dict)


def load(path: Path) -> Settings:
    """Read a deployment folder, or its gateway.toml. Raises Problems, which hold every fault found; values are never quoted where they may be secret."""
    main_path = _main_file(path)
    reader = Reader(main_path.parent)
    try:
        main = read_source(main_path)
    except Problem as problem:
        raise Problems([problem]) from None
    _keys(reader, main, _TOP)
    _schema(reader, main, required=True)
    sources = [main, *_included(reader, main)]
    found = _Found()
    for source in sources:
        _tools_and_credentials(reader, source, found)
    settings = _assemble(reader, main, found)
    _agree(reader, found)
    if settings is None or reader.problems:
        raise Problems(sorted(reader.problems, key=lambda p: (p.file, p.line)))
    return _sealed(settings, sources, reader)


def _main_file(path: Path) -> Path:
    try:
        path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are written: a deployment may be swapped by its link
        found = path / FILE if path.is_dir() else path
        if found.is_file():
            return found
    except (OSError, ValueError):
        pass
    raise Problems([Problem("no_deployment", f"there is no {FILE} here", file=str(path), remedy="name its folder, or make one: portreeve init DIR")])


def _keys(reader: Reader, source: Source, known: frozenset[str]) -> None:
    for name, value in source.table.items():
        if name in known:
            continue
        if name in _TOP:
            message = "does not belong into an included file"
            reader.report(
                source, (name,), Fault("table_not_here", message, f"move it to {FILE}; included files hold [tool.NAME] and [credential.NAME]")
            )
            continue
        code, remedy = suggest.for_unknown(name, value, known)
        owner = next((table for table, cls in (("limits", Limits), ("log", LogSettings), ("gateway", GatewayTable)) if name in RULES[cls]), "")
        reader.report(source, (name,), Fault(code, "is not a setting at the top of the file", f"write it below [{owner}]" if owner else remedy))


def _schema(reader: Reader, source: Source, *, required: bool) -> None:
    given = source.table.get("schema")
    if given is None and required:
        reader.report(source, ("schema",), Fault("missing_key", "schema is missing", f"write schema = {SCHEMA} as the first line"))
    elif given is not None and (given != SCHEMA or isinstance(given, bool)):
        reader.report(
            source, ("schema",), Fault("unknown_schema", "is a form of settings that this version does not know", f"write schema = {SCHEMA}")
        )


def _included(reader: Reader, main: Source) -> list[Source]:
    """The files that `include` names, in order of their names. Links are followed; patterns stay within the folder."""
    patterns = main.table.get("include", [])
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        reader.report(main, ("include",), Fault("wrong_type", "is not a list of texts", 'write include = ["tools/*.toml"]'))
        return []
    paths: set[Path] = set()
    for pattern in patterns:
        try:
            matched = _matches(main.path.parent, pattern)
        except Fault as fault:
            reader.report(main, ("include",), fault)
            continue
        paths |= set(matched)
    paths.discard(main.path)
    if len(paths) > INCLUDED_FILES_MAX:
        reader.report(main, ("include",), Fault("bad_include", f"names more than {INCLUDED_FILES_MAX} files", "name fewer"))
        return []
    sources: list[Source] = []
    for path in sorted(paths):
        try:
            source = read_source(path)
        except Problem as problem:
            reader.problems.append(problem)
            continue
        _keys(reader, source, _INCLUDED)
        _schema(reader, source, required=False)
        sources.append(source)
    return sources


def _matches(folder: Path, pattern: str) -> list[Path]:
    parts = PurePosixPath(pattern).parts
    if not pattern.isprintable() or not parts or ".." in parts or pattern.startswith("/") or "**" in pattern or "\\" in pattern:
        raise Fault(
            "bad_include", f"{kinds.quote(pattern)} is not a pattern for files in this folder", 'write for example include = ["tools/*.toml"]'
        )
    try:
        found = [path for path in folder.glob(pattern) if path.is_file()]
    except (OSError, ValueError, IndexError) as error:
        raise Fault("bad_include", f"{kinds.quote(pattern)} cannot be looked up", 'write for example include = ["tools/*.toml"]') from error
    if not found:
        raise Fault("include_matches_nothing", f"{kinds.quote(pattern)} matches no file", "correct the pattern, write the file, or take it out")
    return found


def _tools_and_credentials(reader: Reader, source: Source, found: _Found) -> None:
    for kind in ("tool", "credential"):
        tables = reader.table(source, (kind,), source.table.get(kind, {}))
        for name, value in tables.items():
            key = (kind, name)
            if other := found.written.get(key):
                where = f"{other.file}:{other.line(key)}"
                reader.report(source, key, Fault("duplicate_name", f"is written in {where}, too", "keep one of the two, or rename one"))
                continue
            found.written[key] = source
            try:
                kinds.name(name)
            except Fault as fault:
                reader.report(source, key, fault)
                continue
            table = reader.table(source, key, value)
            if not isinstance(value, dict):
                continue
            if kind == "tool":
                _tool(reader, source, name, table, found)
            else:
                _credential(reader, source, name, table, found)


def _tool(reader: Reader, source: Source, name: str, table: Mapping[str, Any], found: _Found) -> None:
    key = ("tool", name)
    values = reader.fields(ToolSettings, source, key, table, also=frozenset({"operation"}))
    operations: list[InlineOperation] = []
    for operation, value in reader.table(source, (*key, "operation"), table.get("operation", {})).items():
        place = (*key, "operation", operation)
        inner = reader.table(source, place, value)
        try:
            kinds.word(operation)
        except Fault as fault:
            reader.report(source, place, fault)
        fields = reader.fields(InlineOperation, source, place, inner) if isinstance(value, dict) else None
        if fields is not None:
            operations.append(InlineOperation(name=operation, file=source.file, line=source.line(place), **fields))
    if values is not None:
        found.tools[name] = ToolSettings(name=name, operations=tuple(operations), file=source.file, line=source.line(key), **values)


def _credential(reader: Reader, source: Source, name: str, table: Mapping[str, Any], found: _Found) -> None:
    key = ("credential", name)
    values = reader.fields(CredentialSettings, source, key, table, also=frozenset(SOURCES | USES))
    nested = read_tables(reader, source, key, table)
    if values is None or nested is None:
        return
    credential = CredentialSettings(name=name, file=source.file, line=source.line(key), **nested, **values)
    found.credentials[name] = credential
    # a placement that was refused already is not called missing, too
    if not any(k in table and k not in values for k in ("header", "query", "basic_user", "secret")):
        _report(reader, source, key, agreement.of_credential(credential, frozenset(table)))
        _report(reader, source, key, handed_out.of_user(credential))


def _assemble(reader: Reader, main: Source, found: _Found) -> Settings | None:
    table = main.table
    gateway = reader.fields(GatewayTable, main, ("gateway",), reader.table(main, ("gateway",), table.get("gateway", {})))
    log = reader.fields(LogSettings, main, ("log",), reader.table(main, ("log",), table.get("log", {})))
    limits = reader.fields(Limits, main, ("limits",), reader.table(main, ("limits",), table.get("limits", {})))
    agents, admin = _listeners(reader, main)
    if gateway is None or log is None or limits is None or agents is None or admin is None:
        return None
    vault = read_vault(reader, main)
    settings = Settings(
        folder=main.path.parent,
        agents=agents,
        admin=admin,
        log=LogSettings(**log),
        limits=Limits(**limits),
        tools=found.tools,
        credentials=found.credentials,
        witnesses=read_anchors(reader, main, "witness", WitnessSettings),
        vault=vault,
        peers=read_anchors(reader, main, "peer", PeerSettings),
        **gateway,
    )
    _report(reader, main, (), handed_out.of_vault(settings, "vault" in table))
    _report(reader, main, ("gateway",), agreement.of_signing(settings, frozenset(table.get("gateway", {}))))
    _report(reader, main, ("limits",), agreement.of_limits(settings.limits))
    _report(reader, main, ("log",), agreement.of_log(settings.log))
    _report(reader, main, ("listen", "admin"), agreement.of_listeners(agents, admin))
    return settings


def _listeners(reader: Reader, main: Source) -> tuple[Listener | None, Listener | None]:
    tables = reader.table(main, ("listen",), main.table.get("listen", {}))
    for name, value in tables.items():
        if name not in ADDRESSES:
            code, remedy = suggest.for_unknown(name, value, ADDRESSES)
            reader.report(main, ("listen", name), Fault(code, "is not a listener", remedy))
    agents, admin = (_listener(reader, main, name, tables.get(name, {})) for name in ADDRESSES)
    return agents, admin


def _listener(reader: Reader, main: Source, name: str, value: object) -> Listener | None:
    key = ("listen", name)
    fields = reader.fields(ListenTable, main, key, reader.table(main, key, value))
    if fields is None:
        return None
    try:
        host, port = kinds.address(fields.get("address", ADDRESSES[name]))
    except Fault as fault:
        reader.report(main, (*key, "address"), fault)
        return None
    return Listener(host, port, fields.get("hosts", ()))


def _agree(reader: Reader, found: _Found) -> None:
    names = frozenset(name for kind, name in found.written if kind == "credential")
    for name, tool in found.tools.items():
        _report(reader, found.written["tool", name], ("tool", name), agreement.of_tool(tool, found.credentials, names))


def _report(reader: Reader, source: Source, key: Key, findings: Iterable[agreement.Finding]) -> None:
    for name, fault in findings:
        reader.report(source, (*key, name) if name else key, fault)


def _sealed(settings: Settings, sources: list[Source], reader: Reader) -> Settings:
    """Add the digest over every file that the settings rest on, and the list of them."""
    settings_files = {source.path: source.raw for source in sources}
    for tool in settings.tools.values():
        for path in (tool.contract, tool.ca_file):
            if path is not None and path not in settings_files:
                try:
                    settings_files[path] = path.read_bytes()
                except OSError as error:
                    remedy = "check that it exists and its permissions"
                    reader.problems.append(Problem("unreadable_file", f"cannot be read: {error.strerror}", file=str(path), remedy=remedy))
    if reader.problems:
        raise Problems(reader.problems)
    whole = hashlib.sha256()
    for path, raw in settings_files.items():
        shown = os.path.relpath(path, settings.folder).encode()
        whole.update(len(shown).to_bytes(8, "big") + shown + len(raw).to_bytes(8, "big") + raw)
    return replace(settings, digest=f"sha256:{whole.hexdigest()}", files=tuple(settings_files))
