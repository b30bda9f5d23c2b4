"""The `portreeve` command: all subcommands, and the one place where their errors become text and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

import gateway
from gateway.cli.agent_tokens import enrol, env, headers
from gateway.cli.check import check
from gateway.cli.config import config
from gateway.cli.demo.command import demo
from gateway.cli.identity import identity
from gateway.cli.identity_add import add
from gateway.cli.identity_review import diff, expire_report, schema, suspend
from gateway.cli.init import init
from gateway.cli.keys import app as keys
from gateway.cli.kill import halts, kill, revoke, unkill
from gateway.cli.log import app as log
from gateway.cli.output import print_problems
from gateway.cli.policy import app as policy
from gateway.cli.run import RUN_CONTEXT, run
from gateway.cli.serve import serve
from gateway.cli.token import app as token
from gateway.errors import Problem, Problems, Refusal

EXIT_PROBLEM = 1
EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h: not the deployment's fault but ours."""

_HELP = """The gate that every tool call of an AI agent goes through: identified, authorized by policy, given a credential, forwarded, recorded.

\b
Begin:
  portreeve demo                          watch it work, on this machine
  portreeve init my-gateway               write a small working deployment
  cd my-gateway && portreeve check        is everything in order?
  portreeve serve                         run it

Exit codes: 0 done, 1 a problem that is shown, 2 wrong usage. PORTREEVE_DEBUG=1 shows where an unexpected error arose.
"""

app = typer.Typer(
    name="portreeve",
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 120},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"portreeve {gateway.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


for _command in (demo, init, check, serve, config, env, headers, enrol, kill, unkill, halts, revoke):
    app.command()(_command)
app.command(context_settings=dict(RUN_CONTEXT))(run)
app.add_typer(policy, name="policy")
app.add_typer(token, name="token")
for _of_identity in (add, diff, suspend, schema):
    identity.command()(_of_identity)
identity.command("expire-report")(expire_report)
app.add_typer(identity, name="identity")
app.add_typer(keys, name="keys")
app.add_typer(log, name="log")


def main() -> None:
    """Run the command line; never returns. What is expected to go wrong is shown without a traceback."""
    try:
        app()
    except Problems as found:
        print_problems(found.problems)
        sys.exit(EXIT_PROBLEM)
    except Problem as found:
        print_problems([found])
        sys.exit(EXIT_PROBLEM)
    except Refusal as refusal:
        print(f"portreeve: {refusal.detail} [{refusal.code}]: {refusal.reason}", file=sys.stderr)
        sys.exit(EXIT_PROBLEM)
    except OSError as error:
        _show_trace()
        where = f"{error.filename}: " if error.filename else ""
        print(f"portreeve: {where}{error.strerror or type(error).__name__}", file=sys.stderr)
        sys.exit(EXIT_PROBLEM)
    except Exception as error:  # noqa: BLE001 - the last handler of the process
        _show_trace()
        print(f"portreeve: an unexpected {type(error).__name__}; this is a fault of portreeve, not of your deployment.", file=sys.stderr)
        print(
            "Please report it with the output of the same command under PORTREEVE_DEBUG=1 (see SECURITY.md if it looks like a hole).", file=sys.stderr
        )
        sys.exit(EXIT_BUG)


def _show_trace() -> None:
    """A traceback can hold values of a deployment, so it is printed only when it is asked for."""
    if os.environ.get("PORTREEVE_DEBUG") == "1":
        traceback.print_exc()
