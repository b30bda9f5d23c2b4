"""What the policies of a deployment are about, read without starting it: its settings, contracts and identities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import Bundle, describe, read_bundle
from gateway.authorize.schema import SchemaSource
from gateway.call import Operation
from gateway.canonical import Json
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.errors import Refusal
from gateway.identities import Identities, load_identities
from gateway.tools.catalogue import Catalogue

Folder = Annotated[
    Path, typer.Option("--folder", "-C", metavar="DIR", envvar="PORTREEVE_FOLDER", help="Deployment folder: where gateway.toml stands.")
]
Instead = Annotated[Path | None, typer.Option("--candidate", metavar="DIR", help="Take the policies of this folder instead of those in force.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True, slots=True)
class Deployment:
    """Settings, tools and identities of one deployment folder."""

    settings: Settings
    catalogue: Catalogue
    identities: Identities

    @classmethod
    def read(cls, folder: Path, candidate: Path | None = None) -> Deployment:
        """Read a deployment, with the policies of `candidate` in place of its own where one is given."""
        settings = load(folder)
        if candidate is not None:
            settings = replace(settings, policies=candidate)
        return cls(settings, Catalogue.load(settings), load_identities(settings.identities))

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(self.catalogue.operations())

    def bundle(self) -> Bundle:
        return read_bundle(
            self.settings.policies, self.operations, self.settings.tools.values(), self.identities, today=dt.datetime.now(tz=dt.UTC).date()
        )

    def schema(self) -> SchemaSource:
        return describe(self.settings.policies, self.operations, list(self.settings.tools.values()), self.identities)[1]

    def violation(self, operation: Operation, arguments: Mapping[str, Json]) -> str:
        """Why the contract refuses these arguments before policy is asked; empty where it does not."""
        tool = self.catalogue.tool(operation.tool)
        plan = tool.plans.get(operation.name) if tool else None
        if plan is None:
            return ""
        try:
            plan.check.hold(dict(arguments))
        except Refusal as refusal:
            return f"{refusal.pointer or '/'} {refusal.detail}"
        if plan.body is not None and arguments.keys() - plan.body.elsewhere:  # there is a body, so what it must have must be there
            return next((f"/{name} is required" for name in plan.body.members if name not in arguments), "")
        return ""
