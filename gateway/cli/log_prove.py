"""`portreeve log prove`, `check-proof`, `check-receipt`, `consistency`: proofs that others can check without the log."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_place import (
    INCOMPLETE,
    KEY,
    TAMPERED,
    AsJson,
    Folder,
    KeyFile,
    LogFolderWithKey,
    Number,
    Where,
    keys_in,
    place_of,
    stop,
)
from gateway.cli.log_view import moment
from gateway.cli.output import print_json, printable, styled
from gateway.cli.progress import progress as show_progress
from gateway.errors import Problem
from gateway.record import (
    BadNote,
    BadProof,
    Checkpoint,
    NotAsSigned,
    NoteKey,
    Prover,
    ReceiptText,
    check_consistency,
    check_proof,
    open_own_checkpoint,
    read_hashes,
    record_of,
)

FILE_BYTES_MAX = 1 << 20

ProofFile = Annotated[Path, typer.Argument(metavar="FILE", help="The proof, as `portreeve log prove` writes it. - for standard input.")]
TheKey = Annotated[Path, typer.Option("--key", metavar="FILE", help="Verifier key lines of the log, from a place that its writer cannot change.")]
OutFile = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it there instead of printing it.")]


def prove(
    number: Number,
    *,
    folder: Folder = Path(),
    log: LogFolderWithKey = None,
    key: KeyFile = None,
    out: OutFile = None,
    bare: Annotated[bool, typer.Option("--bare", help="Leave the record out: whoever checks the proof must have it.")] = False,
) -> None:
    """Write the proof that record N stands in the log, under the newest signed checkpoint (c2sp.org/tlog-proof).

    Exit codes: 0 it is written, 1 the log is not as it was signed, 2 wrong usage, 3 the record was pruned, or a file cannot be read, 4 no given key
    has signed the log.

    Example: portreeve log prove 6 --out 6.tlog-proof
    """
    with _proving(place_of(folder, log, key, needs_key=True)) as prover:
        proof = bytes(prover.inclusion(number).without_record() if bare else prover.inclusion(number))
    _write(out, proof)


def check_proof_file(
    file: ProofFile,
    key: TheKey,
    record: Annotated[Path | None, typer.Option("--record", metavar="FILE", help="The record, as `portreeve log show N --json` prints it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a proof without the log: is this record in it, under a signed checkpoint?

    Example: portreeve log check-proof 6.tlog-proof --key log.vkey

    Exit codes: 0 yes, 1 the proof does not prove it, 2 wrong usage, 4 no given key has signed the checkpoint.
    """
    line = _read(record).removesuffix(b"\n") if record else None
    try:
        found = check_proof(_read(file), keys_in(key), record=line)
        what = record_of(found.record)
    except BadNote as error:
        stop(KEY, f"the checkpoint of the proof: {error}")
    except ValueError as error:  # BadProof, BrokenLine
        stop(TAMPERED, f"nothing is proven: {error}")
    if as_json:
        seen = {"origin": found.checkpoint.origin, "n": found.n, "size": found.checkpoint.size, "root": found.checkpoint.root.hex()}
        print_json({"ok": True, **seen, "leaf": what.leaf, "record": found.record.decode()})
        return
    told = f"record {found.n} is in {found.checkpoint.origin}, whose first {found.checkpoint.size:,} records are signed"
    print(f"{styled('ok', 'green', sys.stdout)}  {printable(told)}")
    print(f"  {moment(what.t)}  {printable(what.kind)}  leaf {what.leaf}")


def check_receipt(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT", help="What an agent got: ORIGIN#N;LEAF, from its `portreeve-decision` header.")],
    folder: Folder = Path(),
    log: LogFolderWithKey = None,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Check a receipt against the log: does it hold, signed, what the gateway said it recorded?

    Example: portreeve log check-receipt "$RECEIPT"

    Exit codes: 0 yes, 1 the log holds something else or ends before it, 2 wrong usage, 3 the record was pruned, or a file cannot be read, 4 no
    given key has signed the log.
    """
    wanted = ReceiptText.parse(receipt)
    if wanted is None:
        raise typer.BadParameter("a receipt reads ORIGIN#N;LEAF, the leaf with 64 hexadecimal digits")
    where = place_of(folder, log, key, needs_key=True)
    with _proving(where) as prover:
        origin, newest = where.reader().origin, prover.checkpoint()
        if wanted.origin != origin:
            stop(TAMPERED, f"the receipt is of another log: {wanted.origin}, and this is {origin}")
        if wanted.n >= newest.size:
            stop(TAMPERED, f"the receipt names record {wanted.n}, and {newest.size} are signed; if it is not seconds old, the log was cut")
        leaf = check_proof(bytes(prover.inclusion(wanted.n)), where.keys).record
    found = record_of(leaf)
    if found.leaf != wanted.leaf.hex():
        stop(TAMPERED, f"record {wanted.n} is not the one the receipt was given for: its leaf is {found.leaf}")
    if as_json:
        print_json({"ok": True, "origin": origin, "n": found.n, "leaf": found.leaf, "signed": newest.size})
    else:
        print(f"{styled('ok', 'green', sys.stdout)}  record {found.n} is the one the receipt was given for, and it is signed")


def consistency(
    first: Annotated[str, typer.Argument(metavar="A", help="A file with a checkpoint, or a number of records.")],
    second: Annotated[str, typer.Argument(metavar="B", help="A file with a later checkpoint, or a number of records.")],
    *,
    folder: Folder = Path(),
    log: LogFolderWithKey = None,
    key: KeyFile = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", metavar="FILE", help="Check this proof, one hash a line, between two files; no log is needed.")
    ] = None,
    evidence: Annotated[Path, typer.Option(metavar="FILE", help="Where two checkpoints that exclude each other are kept.")] = Path("fork.evidence"),
) -> None:
    """Does one state of the log go on from the other? Prints the consistency proof (RFC 6962), one hash a line, after checking it.

    Example: portreeve log consistency seen.note newest.note

    Exit codes: 0 yes, 1 no (two signed checkpoints of one size with different roots are kept as evidence), 2 wrong usage, 3 what it takes was
    pruned, or a file cannot be read, 4 a signature is wrong.
    """
    without_log = proof is not None and key is not None and log is None
    where = Where(Path(), keys_in(key), None) if without_log and key else place_of(folder, log, key, needs_key=True)
    ends = sorted((_end(first, where.keys), _end(second, where.keys)), key=lambda end: end if isinstance(end, int) else end.size)
    old, new = ends
    if isinstance(old, Checkpoint) and isinstance(new, Checkpoint):
        _same_log(old, new, evidence)
    if proof is None:
        hashes = _hashes_between(old, new, where)
    elif isinstance(old, Checkpoint) and isinstance(new, Checkpoint):
        hashes = _given_hashes(old, new, proof)
    else:
        raise typer.BadParameter("--proof needs two files with checkpoints")
    print(f"ok  {_size(new):,} records go on from {_size(old):,}", file=sys.stderr)
    sys.stdout.write("".join(f"{base64.b64encode(one).decode()}\n" for one in hashes))


def _end(text: str, keys: tuple[NoteKey, ...]) -> Checkpoint | int:
    """One end of the comparison. Only a checkpoint that a key of its own log has signed counts."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    try:
        return open_own_checkpoint(_read(Path(text)), keys)
    except BadNote as error:
        stop(KEY, f"{text}: {error}")


def _size(end: Checkpoint | int) -> int:
    return end if isinstance(end, int) else end.size


def _same_log(old: Checkpoint, new: Checkpoint, evidence: Path) -> None:
    if old.origin != new.origin:
        raise typer.BadParameter(f"these are two logs: {printable(old.origin)} and {printable(new.origin)}")
    if old.size == new.size and old.root != new.root:
        evidence.write_bytes(old.note + b"\n" + new.note)
        stop(TAMPERED, f"FORK: two histories of {old.origin} were signed, both with {old.size} records; the proof of it is in {evidence}")


def _given_hashes(old: Checkpoint, new: Checkpoint, proof: Path) -> tuple[bytes, ...]:
    try:
        hashes = read_hashes(_read(proof).decode("ascii", "replace").splitlines())
        check_consistency(old.size, old.root, new.size, new.root, hashes)
    except BadProof as error:
        stop(TAMPERED, str(error))
    return hashes


def _hashes_between(old: Checkpoint | int, new: Checkpoint | int, where: Where) -> tuple[bytes, ...]:
    """From the log. Both ends must be what it holds: it can be a third history."""
    with _proving(where) as prover:
        newest = prover.checkpoint()
        for end in (old, new):
            if isinstance(end, int):
                if end > newest.size:
                    raise typer.BadParameter(f"{newest.size} records are signed")
                continue
            if end.origin != newest.origin:
                raise typer.BadParameter(f"the log is {newest.origin}, and a checkpoint is of {printable(end.origin)}")
            if end.size > newest.size:
                stop(TAMPERED, f"{end.size} records were signed, and the log has {newest.size}: it was set back")
            if prover.prefix(end.size, newest).root != end.root:
                stop(TAMPERED, f"the first {end.size} records of this log are not the ones that were signed in the checkpoint given")
        end = Checkpoint(newest.origin, _size(new), prover.prefix(_size(new), newest).root)
        return prover.prefix(_size(old), end).path


@contextlib.contextmanager
def _proving(where: Where) -> Iterator[Prover]:
    """A prover with a progress bar; what it may meet becomes a line and an exit code."""
    try:
        with show_progress("reading the log", None) as progress:
            prover = Prover(where.reader(), where.keys, pause=progress)
            with contextlib.closing(prover):
                yield prover
    except BadNote as error:
        stop(KEY, f"the newest checkpoint: {error}")
    except NotAsSigned as error:
        stop(TAMPERED, f"{error}; see `portreeve log verify`")
    except OSError as error:
        stop(INCOMPLETE, f"a file cannot be read: {error.strerror} ({error.filename})")
    except Problem as problem:
        if problem.code != "log_pruned":
            raise
        stop(INCOMPLETE, f"{problem.message}; {problem.remedy}")


def _read(path: Path) -> bytes:
    with contextlib.ExitStack() as stack:
        stream = sys.stdin.buffer if str(path) == "-" else stack.enter_context(path.open("rb"))
        return stream.read(FILE_BYTES_MAX)


def _write(out: Path | None, data: bytes) -> None:
    if out is None:
        sys.stdout.buffer.write(data)
    else:
        out.write_bytes(data)
