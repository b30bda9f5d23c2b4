"""`portreeve config`: every setting that gateway.toml knows."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from gateway.cli.output import print_json, print_table
from gateway.config.reference import Setting, settings_reference
from gateway.errors import Problem, Problems


def config(
    table: Annotated[str, typer.Argument(help="Only this table: gateway, listen, log, limits, tool, credential.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
) -> None:
    """Print every setting of gateway.toml.

    Each with its default, type, unit, range and meaning.

    Example: portreeve config limits
    """
    found = [s for s in settings_reference() if not table or s.table.split(".")[0] == table.strip("[]").split(".")[0]]
    if not found:
        raise Problems([Problem("unknown_table", f"there is no table {table}", remedy="name one of: gateway, listen, log, limits, tool, credential")])
    if as_json:
        print_json([asdict(setting) for setting in found])
        return
    for name, settings in groupby(found, lambda s: s.table):
        (_markdown if as_markdown else _plain)(name, list(settings))


def _plain(name: str, settings: list[Setting]) -> None:
    print(f"[{name}]" if name else "at the top")
    print_table(("key", "default", "type", "unit", "range", "meaning"), [(s.key, s.default, s.type, s.unit, s.range, s.doc) for s in settings])
    print()


def _markdown(name: str, settings: list[Setting]) -> None:
    print(f"### {f'`[{name}]`' if name else 'At the top'}\n\n| key | default | type | unit | range | meaning |\n|---|---|---|---|---|---|")
    for s in settings:
        default = f"`{s.default}`" if s.default not in {"", "required"} else s.default
        print(f"| `{s.key}` | {default} | {s.type} | {s.unit} | {s.range} | {s.doc} |")
    print()
