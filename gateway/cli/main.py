"""The `portreeve` command: all subcommands, and the one place where their errors become text and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

import gateway
from gateway.cli.later import Later, those
from gateway.cli.output import print_problems
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

_RUN = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Options behind the name of the command that `run` runs belong to that command."""

COMMANDS = (
    Later("demo", "gateway.cli.demo.command:demo", "Watch real tool calls: allowed, denied, retried, recorded."),
    Later("init", "gateway.cli.init:init", "Write a small working deployment into a folder."),
    Later("check", "gateway.cli.check:check", "Check a whole deployment without starting it."),
    Later("serve", "gateway.cli.serve:serve", "Run the gateway in the foreground."),
    Later("config", "gateway.cli.config:config", "Print every setting of gateway.toml."),
    Later("env", "gateway.cli.agent_tokens:env", "Print shell exports: a token, the URLs of gateway and tools."),
    Later("headers", "gateway.cli.agent_tokens:headers", "Print request headers as JSON, for clients that ask for them."),
    Later("curl", "gateway.cli.curl:curl", "Make one call as an agent, and print the answer as it comes."),
    Later("enrol", "gateway.cli.agent_tokens:enrol", "Make an agent's key on this machine, and register it."),
    Later("kill", "gateway.cli.kill:kill", "Stop an agent, tool, run, user or everything, at once."),
    Later("unkill", "gateway.cli.kill:unkill", "Lift a halt."),
    Later("halts", "gateway.cli.kill:halts", "List what is halted: since when, why, and by whom."),
    Later("revoke", "gateway.cli.kill:revoke", "End one token and all that was exchanged from it, for good."),
    Later("run", "gateway.cli.run:run", "Run a command as an agent, with a token that is kept fresh.", _RUN),
    Later("policy", "gateway.cli.policy:app", "Check, test and look at the policies of a deployment."),
    Later("token", "gateway.cli.token:app", "Print a token for an agent, or verify one."),
    Later("identity", "gateway.cli.identity:identity", "Look at the agents of a deployment."),
    Later("keys", "gateway.cli.keys:app", "The keys that sign the gateway's tokens."),
    Later("log", "gateway.cli.log:app", "Verify, read, explain and replay the decision log."),
)

app = typer.Typer(
    name="portreeve",
    help=_HELP,
    cls=those(COMMANDS),
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
        _show_trace(error)
        where = f"{error.filename}: " if error.filename else ""
        print(f"portreeve: {where}{error.strerror or type(error).__name__}", file=sys.stderr)
        sys.exit(EXIT_PROBLEM)
    except Exception as error:  # noqa: BLE001 - the last handler of the process
        _show_trace(error)
        print(f"portreeve: an unexpected {type(error).__name__}; this is a fault of portreeve, not of your deployment.", file=sys.stderr)
        print(
            "Please report it with the output of the same command under PORTREEVE_DEBUG=1 (see SECURITY.md if it looks like a hole).", file=sys.stderr
        )
        sys.exit(EXIT_BUG)


def _show_trace(error: BaseException) -> None:
    """When it is asked for: files, lines and types, of what it came from, too. What errors say can quote a secret, and people send this on."""
    if os.environ.get("PORTREEVE_DEBUG") != "1":
        return
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        _show_trace(before)
    trace = "".join(traceback.format_tb(error.__traceback__))
    print(f"Traceback (most recent call last):\n{trace}{type(error).__name__}", file=sys.stderr)
