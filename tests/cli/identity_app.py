"""The identity commands alone, registered as the main program registers them: `python -m tests.cli.identity_app ...`."""

from __future__ import annotations

import sys

import typer

from gateway.cli.agent_tokens import enrol, env, headers
from gateway.cli.identity import identity
from gateway.cli.run import RUN_CONTEXT, run
from gateway.cli.token import app as token
from gateway.errors import Problem, Problems

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(env)
app.command()(headers)
app.command()(enrol)
app.command(context_settings=RUN_CONTEXT)(run)
app.add_typer(token)
app.add_typer(identity)

if __name__ == "__main__":
    try:
        app()
    except (Problem, Problems) as found:
        print(found, file=sys.stderr)
        sys.exit(1)
