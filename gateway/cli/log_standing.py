"""Whether a record that is shown is as it was signed: its place in the tree of the newest checkpoint, found without reading the log."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gateway.canonical import Json
from gateway.cli.log_place import Where, keys_in
from gateway.cli.output import printable, styled
from gateway.errors import Problem
from gateway.record import PUBLIC_FILE, BadNote, LogReader, NotAsSigned, Prover, Record


@dataclass(frozen=True, slots=True)
class Standing:
    """`size` is that of the checkpoint under which a record was found to be, None when it was not; then `why`. `tampered`: it is not what was signed."""

    size: int | None
    why: str = ""
    tampered: bool = False

    def __str__(self) -> str:
        return f"verified under checkpoint {self.size}" if self.size is not None else f"not verified: {self.why}"

    def as_json(self) -> dict[str, Json]:
        return {"verified": self.size is not None, "checkpoint": self.size, "why": self.why}

    def styled(self) -> str:
        style = "green" if self.size is not None else "red" if self.tampered else "yellow"
        return styled(printable(str(self)), style, sys.stdout)


def standing_of(where: Where, reader: LogReader, record: Record) -> Standing:
    """Proves one record under the newest checkpoint, by the keys given or those of the deployment."""
    keys = where.keys
    if not keys and where.unseal is not None and (where.unseal / PUBLIC_FILE).exists():
        keys = keys_in(where.unseal / PUBLIC_FILE)
    if not keys:
        return Standing(None, "there is no key at hand (--key FILE)")
    try:
        newest = reader.checkpoint(keys)
        if newest is None or record.n >= newest.size:
            return Standing(None, "no checkpoint covers it yet")
        prover = Prover(reader, keys)
        try:
            proof = prover.inclusion(record.n)
        finally:
            prover.close()
    except NotAsSigned as error:
        return Standing(None, str(error), tampered=True)
    except (BadNote, Problem) as error:
        return Standing(None, str(error), tampered=isinstance(error, BadNote))
    except OSError as error:
        return Standing(None, f"the index of hashes cannot be made here: {error.strerror}")
    if proof.record != record.line:
        return Standing(None, f"record {record.n} is not the one that was signed", tampered=True)
    return Standing(newest.size)
