"""`portreeve policy schema`: what policies can be about, for people, for machines, and for editors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.engine import parse_schema
from gateway.authorize.schema import SchemaSource
from gateway.canonical import Json, dumps
from gateway.cli.output import print_json
from gateway.cli.policy_completion import operations
from gateway.cli.policy_deployment import Deployment, Folder
from gateway.errors import Problem

_EMPTY = re.compile(r"\{\s+\}")
"""A record without members, as the engine prints it."""

TEXT, JSON = "portreeve.cedarschema", "portreeve.cedarschema.json"
"""Names that editors with support for Cedar find by themselves."""

Write = Annotated[Path | None, typer.Option("--write", metavar="DIR", help=f"Write it to DIR as {TEXT} and {JSON}, where editors find it.")]


def schema(
    folder: Folder = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print Cedar's JSON form, or what was written.")] = False,
    action: Annotated[
        str, typer.Option("--action", metavar="TOOL/OPERATION", autocompletion=operations, help="Only this operation, such as tickets/create_refund.")
    ] = "",
    write: Write = None,
) -> None:
    """Print what policies can be about: types, operations, arguments. Generated from contracts, tools and identities.

    Example: portreeve policy schema --action tickets/create_refund
    """
    source = Deployment.read(folder).schema()
    generated = _only(source.generated, action) if action else source.generated
    if action:
        source = SchemaSource(generated)
    if write is not None:
        files = _write(source, write)
        if as_json:
            print_json({"ok": True, "written": files})
        else:
            print(f"Written to {write}. In VS Code, the Cedar extension takes it by itself, or by the setting cedar.schemaFile: {write / TEXT}")
    elif as_json:
        print(_json(generated))
    else:
        print(_text(source))


def _only(generated: Mapping[str, Json], action: str) -> dict[str, Json]:
    actions = generated[""]["actions"]
    if "appliesTo" not in actions.get(action, {}):
        known = ", ".join(sorted(name for name, kind in actions.items() if "appliesTo" in kind))
        raise Problem("unknown_operation", f"there is no operation {action}", remedy=f"name one of: {known}")
    chosen = {parent["id"]: {} for parent in actions[action]["memberOf"]} | {action: actions[action]}
    return {"": {**generated[""], "actions": chosen}}


def _text(source: SchemaSource) -> str:
    text = str(parse_schema(dumps(source.generated).decode())).replace("__cedar::", "").strip()
    text = _EMPTY.sub("{}", text)
    return f"{text}\n\n// from schema.cedarschema\n{source.declared.strip()}" if source.declared.strip() else text


def _json(generated: Mapping[str, Json]) -> str:
    return json.dumps(generated, indent=2, ensure_ascii=False)


def _write(source: SchemaSource, folder: Path) -> list[str]:
    """The text holds what is declared, too. Cedar's JSON form has no place for that, so the JSON file is written only where nothing is declared."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TEXT).write_text(_text(source) + "\n")
        if source.declared.strip():
            (folder / JSON).unlink(missing_ok=True)
        else:
            (folder / JSON).write_text(_json(source.generated) + "\n")
    except OSError as error:
        raise Problem("schema_not_written", error.strerror or "cannot be written", file=str(folder), remedy="name a folder that is yours") from error
    return [str(folder / name) for name in (TEXT, JSON) if (folder / name).exists()]
