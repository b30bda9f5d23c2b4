"""A proof that travels by itself (c2sp.org/tlog-proof@v1): a record's place, the hashes beside its way to the root, the signed checkpoint.

The record itself stands in the `extra` line, unless it is handed over in another way. It is not believed for that: its hash must lead to the root.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.record.line import LINE_BYTES_MAX
from gateway.record.note import Checkpoint, NoteKey, open_own_checkpoint
from gateway.record.proof import PATH_HASHES_MAX, BadProof, check_inclusion
from gateway.record.tree import leaf_hash

MAGIC = "c2sp.org/tlog-proof@v1"
PROOF_BYTES_MAX = 256 * 1024
"""A record in base64, its path, and a checkpoint with many signatures."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as it is written. `record` is the line without its newline, None when it travels apart; `note` is the checkpoint's exact text."""

    n: int
    path: tuple[bytes, ...]
    note: bytes
    record: bytes | None = None

    def __bytes__(self) -> bytes:
        extra = [f"extra {_encoded(self.record)}"] if self.record is not None else []
        head = [MAGIC, *extra, f"index {self.n}", *map(_encoded, self.path)]
        return "\n".join(head).encode() + b"\n\n" + self.note

    def without_record(self) -> TlogProof:
        return replace(self, record=None)

    @classmethod
    def parse(cls, raw: bytes) -> TlogProof:
        """Read a proof without judging it. Raises BadProof for what is not exactly in the form."""
        head, separator, note = raw.partition(b"\n\n")
        if len(raw) > PROOF_BYTES_MAX or not separator:
            raise BadProof("not a proof of a transparency log")
        try:
            magic, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise BadProof("not a proof of a transparency log") from error
        record = None
        if lines and lines[0].startswith("extra "):
            record = decoded(lines.pop(0).removeprefix("extra "), "the record")
        if magic != MAGIC or not lines or not lines[0].startswith("index "):
            raise BadProof("not a proof of a transparency log, version 1")
        index = lines.pop(0).removeprefix("index ")
        return cls(number(index, "the index"), read_hashes(lines), note, record)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a good proof shows: that this record is record `n` of the log that the checkpoint speaks of."""

    n: int
    record: bytes
    checkpoint: Checkpoint


def check_proof(raw: bytes, keys: Sequence[NoteKey], *, record: bytes | None = None) -> Proven:
    """Judge a proof with nothing but keys. `record` is the line when it came apart; one that came with the proof must be the same.

    Only a key under the log's own name counts. Raises BadProof, and BadNote when the checkpoint is not one that such a key has signed.
    """
    proof = TlogProof.parse(raw)
    found = open_own_checkpoint(proof.note, keys)
    line = record if record is not None else proof.record
    if line is None:
        raise BadProof("the proof comes without its record, and no record is given")
    if proof.record not in {None, line} or len(line) > LINE_BYTES_MAX:
        raise BadProof("the proof is of another record than the one given")
    check_inclusion(leaf_hash(line), proof.n, found.size, found.root, proof.path)
    return Proven(proof.n, line, found)


def number(text: str, name: str) -> int:
    """A number in the one form that it has. Raises BadProof."""
    if not _NUMBER.fullmatch(text):
        raise BadProof(f"{name} is not a number in its plain form")
    return int(text)


def read_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    """The hashes of a proof, one a line. Raises BadProof."""
    if len(lines) > PATH_HASHES_MAX:
        raise BadProof(f"a proof has at most {PATH_HASHES_MAX} hashes")
    found = tuple(decoded(line, "a hash") for line in lines)
    if any(len(one) != 32 for one in found):
        raise BadProof("a hash does not have 32 bytes")
    return found


def decoded(text: str, name: str) -> bytes:
    """Base64 in its one spelling: decoders ignore stray low bits of the last digit. Raises BadProof."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadProof(f"{name} is not in base64") from error
    if _encoded(raw) != text:
        raise BadProof(f"{name} is not in base64")
    return raw


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
