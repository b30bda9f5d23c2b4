"""`portreeve log erase`: makes the sealed arguments of one person or agent unreadable for ever, and says so in the log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_place import AsJson, Folder
from gateway.cli.output import plural, print_json, printable, styled
from gateway.config.load import load
from gateway.record import erasure

Subject = Annotated[str, typer.Option("--subject", metavar="user:ID|agent:ID", help="Whose arguments: as `who` of the records names them.")]
Reason = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for the record: it stays in the log. Not the person's data again.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def erase(subject: Subject, why: Reason, folder: Folder = Path(), *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Destroy the keys under which a subject's arguments were sealed. It cannot be undone. Works beside a running gateway.

    The log stays whole: chain, proofs and checkpoints are over commitments. What was recorded in clear stays; names in `who` are in clear.

    Example: portreeve log erase --subject user:u-1729 --why "request 2026-114"
    """
    settings = load(folder)
    if not 0 < len(why) <= 1_000 or not why.isprintable():
        raise typer.BadParameter("--why: one line of at most 1000 characters")
    keys, calls = erasure.look(settings.log, settings.keys, subject)
    if not yes and keys:
        typer.confirm(f"Erase the sealed arguments of {plural(calls, 'call')} of {printable(subject)}, for ever?", abort=True, err=True)
    done = erasure.erase(settings.log, settings.keys, subject, why)
    if as_json:
        n = done.receipt.n if done.receipt else None
        print_json({"subject": subject, "keys": done.keys, "calls": done.calls, "record": n})
    elif done.receipt is None:
        print(f"nothing is sealed for {printable(subject)}, so there is nothing to erase")
    else:
        verdict = styled("erased", "green", sys.stdout)
        print(f"{verdict}  {plural(done.keys, 'key')} and the arguments of {plural(done.calls, 'call')}; record {done.receipt.n} says so")
