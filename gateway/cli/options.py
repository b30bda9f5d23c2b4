"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id: the name of its file in identities/agents.")]
Folder = Annotated[
    Path, typer.Option("--folder", "-C", metavar="DIR", envvar="PORTREEVE_FOLDER", help="Deployment folder: where gateway.toml stands.")
]
ForUser = Annotated[str | None, typer.Option("--for-user", metavar="USER", help="The user the agent acts for; its file must allow that.")]
Ttl = Annotated[str | None, typer.Option("--ttl", metavar="5m", help="How long the token lives (90s, 5m, 1h); never longer than the agent's cap.")]
Scopes = Annotated[list[str] | None, typer.Option("--scope", metavar="SCOPE", help="A scope, repeatable; without it all that the agent may have.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
