"""What peers and witnesses have on record of a log, as claims about it: checkpoints that its own key has signed, found in other hands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.canonical import Json
from gateway.record.claims import Claim
from gateway.record.cosign import WitnessKey, cosignatures
from gateway.record.line import BrokenLine, Record, record_of
from gateway.record.note import BadNote, NoteKey, open_own_checkpoint
from gateway.record.reader import LogReader, lines_of

POLICY_BYTES_MAX = 1 << 20
AHEAD_MAX_S = 300
"""How far a witness's clock may be ahead of ours. A time beyond that would make a cosignature fresh for ever."""


class BadPolicy(ValueError):  # noqa: N818
    """The file is no witness policy. The text says why."""


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """`quorum` of these witnesses must have cosigned the log within the last `within_s` seconds."""

    quorum: int
    within_s: int
    keys: tuple[WitnessKey, ...]

    @classmethod
    def parse(cls, raw: bytes) -> WitnessPolicy:
        """Read `quorum`, `within_s` and `keys` from TOML. Raises BadPolicy; nothing has a default."""
        try:
            table = tomllib.loads(raw.decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise BadPolicy("not TOML") from error
        quorum, within_s, keys = (table.get(name) for name in ("quorum", "within_s", "keys"))
        if table.keys() != {"quorum", "within_s", "keys"} or not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise BadPolicy('it holds exactly quorum = N, within_s = N and keys = ["...", ...]')
        try:
            found = tuple(WitnessKey.parse(key) for key in keys)
        except BadNote as error:
            raise BadPolicy(f"a key is none of a witness: {error}") from error
        if len({key.public for key in found}) != len(found):
            raise BadPolicy("a witness counts once, whatever it is called")
        if type(quorum) is not int or type(within_s) is not int or not 1 <= quorum <= len(found) or within_s < 1:
            raise BadPolicy("quorum is from 1 to the number of keys, within_s at least 1")
        return cls(quorum, within_s, found)


@dataclass(frozen=True, slots=True)
class Attested:
    """What the witnesses of a policy have cosigned. `ages_s` holds the age of each one's newest cosignature, for those within the time."""

    claims: tuple[Claim, ...]
    ages_s: tuple[int, ...]


def witness_claims(notes: Sequence[bytes], policy: WitnessPolicy, keys: Sequence[NoteKey], now_s: int) -> Attested:
    """Judge cosigned checkpoints. Raises BadNote when one is not signed by the log, or a cosignature by a known witness is wrong."""
    claims: list[Claim] = []
    newest: dict[WitnessKey, int] = {}
    for note in notes:
        found = open_own_checkpoint(note, keys)
        for key, at_s in cosignatures(note, policy.keys).items():
            claims.append(Claim(found.size, found.root, f"witness {key.name} at {_moment(at_s)}"))
            newest[key] = max(at_s, newest.get(key, 0))
    ages = sorted(now_s - at_s for at_s in newest.values() if -AHEAD_MAX_S <= now_s - at_s <= policy.within_s)
    return Attested(tuple(claims), tuple(max(0, age) for age in ages))


def peer_claims(path: Path, origin: str, keys: Sequence[NoteKey]) -> list[Claim]:
    """What a peer's log, or a file of its records, one a line, says of the log `origin`. The peer's word is not taken for it: each checkpoint
    must be signed by the log itself. Raises BadNote for one that is not, BrokenLine for a line that is no record, Problem and OSError.
    """
    found: list[Claim] = []
    for record in _records(path):
        if record.kind == "anchor" and record.body.get("origin") == origin:
            note = _note(record.body.get("note"))
            checkpoint = open_own_checkpoint(note, keys)
            found.append(Claim(checkpoint.size, checkpoint.root, f"peer's record {record.n} of {_moment(record.t // 1_000_000)}"))
    return found


def _records(path: Path) -> Iterator[Record]:
    if path.is_dir():
        yield from LogReader(path).records()
        return
    for _, line, whole in lines_of(path):
        if not whole:
            raise BrokenLine("the last line has no end")
        yield record_of(line)


def _note(text: Json) -> bytes:
    if not isinstance(text, str):
        raise BadNote("an anchor without a checkpoint")
    return text.encode("utf-8", "replace")


def _moment(at_s: int) -> str:
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at_s)
