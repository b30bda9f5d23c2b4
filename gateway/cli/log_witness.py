"""`portreeve log witness`: be a witness of other people's logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from gateway.anchoring import AnchorFailed, open_prover
from gateway.anchoring import submit as ask_witness
from gateway.cli.log_place import INCOMPLETE, KEY, TAMPERED, AsJson, Folder, stop
from gateway.cli.output import printable, styled
from gateway.config.kinds import Fault, address
from gateway.config.load import load
from gateway.config.model import Settings, WitnessSettings
from gateway.doors.server import serve as listen
from gateway.doors.witness import WITNESS_LIMITS, witness_app
from gateway.errors import Problem
from gateway.fetch import Fetcher
from gateway.record import Anchors, BadNote, Cosigner, LogFolder, NoteKey, Prover, Witness, private_key

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Witness other logs, or have this one witnessed (c2sp.org/tlog-witness).")

KEY_FILE = "witness.key"


@app.command()
def serve(
    *,
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="Folder of the witness's key and memory; made on first use.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The witness's name, for ever: witness.example/w1.")],
    logs: Annotated[
        Path, typer.Option(metavar="FILE", help="Verifier key lines of the logs to witness; an origin that is not the key's name stands behind it.")
    ],
    where: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:7380",
    as_json: AsJson = False,
) -> None:
    """Run a witness: it cosigns checkpoints of the logs it knows, and never two histories of one.

    Run it where whoever runs the logs has no access, or it proves nothing.

    Example: portreeve log witness serve --state w1 --name witness.example/w1 --logs log.vkey
    """
    try:
        host, port = address(where)
        cosigner = Cosigner(name, private_key(state / KEY_FILE))
    except Fault as fault:
        raise typer.BadParameter(f"{fault.message}: {fault.remedy}") from fault
    except BadNote as error:
        raise typer.BadParameter(str(error)) from error
    with contextlib.closing(Witness(state, cosigner, _logs_in(logs))) as witness:
        uvloop.run(_serve(witness, cosigner, host, port, as_json=as_json))


@app.command()
def submit(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Witnesses of gateway.toml; all without it.")] = None,
    folder: Folder = Path(),
) -> None:
    """Have the newest checkpoint cosigned now, by the witnesses of gateway.toml. A running gateway does it by itself.

    Exit codes: 0 all have, 1 a witness has seen another history of this log, 3 a witness could not be asked or did not cosign.

    Example: portreeve log witness submit
    """
    settings = load(folder)
    unknown = [name for name in names or () if name not in settings.witnesses]
    if unknown or not settings.witnesses:
        known = ", ".join(sorted(settings.witnesses)) or "none; write [witness.NAME] with url and key"
        raise typer.BadParameter(f"known witnesses: {known}")
    wanted = [settings.witnesses[name] for name in names or settings.witnesses]
    with contextlib.closing(open_prover(settings, lambda _: None)) as prover:
        failed = uvloop.run(_submit(settings, prover, wanted))
    if failed:
        raise typer.Exit(TAMPERED if "conflict" in failed else INCOMPLETE)


async def _submit(settings: Settings, prover: Prover, witnesses: list[WitnessSettings]) -> list[str]:
    """Ask one after the other; gives the reasons of those that failed."""
    failed = []
    anchors = Anchors(LogFolder(settings.log.folder))
    for witness in witnesses:
        try:
            found = await ask_witness(Fetcher(timeout_s=witness.timeout_s), prover, anchors, witness)
        except AnchorFailed as error:
            failed.append(error.reason)
            print(f"{styled(error.reason, 'red', sys.stdout)}  {witness.name}: {printable(str(error))}")
        else:
            print(f"{styled('ok', 'green', sys.stdout)}  {witness.name} has cosigned {found.checkpoint.size:,} records")
    return failed


def _logs_in(path: Path) -> dict[str, tuple[NoteKey, ...]]:
    """Keys by origin. `VKEY` alone is for the origin that is its name, `VKEY ORIGIN` for another; an origin may hold spaces."""
    found: dict[str, tuple[NoteKey, ...]] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        text, _, origin = line.strip().partition(" ")
        try:
            key = NoteKey.parse(text)
        except BadNote as error:
            stop(KEY, f"{path}: {error}")
        origin = origin.strip() or key.name
        found[origin] = (*found.get(origin, ()), key)
    if not found:
        stop(KEY, f"{path}: there is no verifier key")
    return found


async def _serve(witness: Witness, cosigner: Cosigner, host: str, port: int, *, as_json: bool) -> None:
    try:
        server = await listen(witness_app(witness, _say), (host, port), WITNESS_LIMITS, on_refusal=lambda *_: None)
    except OSError as error:
        raise Problem("address_in_use", f"cannot listen: {error.strerror}", key="--listen", remedy="choose a free address") from error
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
    if as_json:
        print(json.dumps({"ready": True, "url": url, "key": str(cosigner.key)}), flush=True)
    else:
        print(f"witness at {url}; its key, for gateway.toml and --witness-policy:\n{cosigner.key}", flush=True)
    await ended.wait()
    await server.stop(5.0)


def _say(text: str) -> None:
    print(f"portreeve: {text}", file=sys.stderr, flush=True)
