"""Every state that a power cut may leave in the midst of erase, archive, prune and keys rotate: nothing that was acknowledged is lost, no key that
was destroyed comes back, and the same command, given again, finishes what the first one began.

The calls that write the log's folder and that of its keys are written down as they happen, and each place between two of them is a crash.
"""

import asyncio
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.record import LogReader, NoteKey, NoteSigner, Redactor, Withheld, parse_keys, verify_folder
from gateway.record.archiving import archive
from gateway.record.control import rotate_key
from gateway.record.erasure import erase
from gateway.record.folder import LogFolder
from gateway.record.keyring import Keyring
from gateway.record.pruning import plan, prune
from gateway.record.repair import diagnose
from gateway.record.signer import private_key
from tests.record import shim
from tests.record.crashes import Folder, states
from tests.record.test_crashes import memory, start  # noqa: F401 - a fixture
from tests.record.test_pruning import LATER_US
from tests.record.test_seals import SEALED, WHO, redacted
from tests.record.world import ENTITIES, ORIGIN, POLICIES, SCHEMA, opened, result, settings

pytestmark = pytest.mark.slow
PRUNED_BEFORE = 12

COMMANDS = """
import os, sys
from pathlib import Path
from tests.record.test_crashes_of_commands import RUN

def say(text):
    os.write(1, text.encode() + b"\\n")

top, *names = sys.argv[1:]
for name in names:
    say(name)
    say(f"{name} done {RUN[name](Path(top))}")
"""


def sealed(top: Path) -> int:
    return asyncio.run(seal(top, ["eve"], first=100))


async def seal(top: Path, users: list[str], *, first: int = 0) -> int:
    """Record a call for each of these. The number of the last one."""
    redactor = Redactor.open(settings(top), top / "keys")
    async with opened(top, segment_bytes_max=3_000) as log:
        for number, user in enumerate(users, first):
            body, payload = await redacted(redactor, SEALED, identity=replace(WHO, user=user), number=number)
            receipt = await log.append("call", body, blobs=(POLICIES, SCHEMA, ENTITIES), payload=payload)
            await log.append("result", result(receipt.n, number))
    redactor.close()
    return receipt.n


def erased(top: Path) -> int:
    receipt = erase(settings(top), top / "keys", "user:zoe", "why").receipt
    return receipt.n if receipt else -1


def archived(top: Path) -> int:
    return len(archive(LogFolder(top / "log")))


def pruned(top: Path) -> int:
    given = settings(top)
    planned = plan(LogFolder(top / "log"), given, n=PRUNED_BEFORE, now_us=LATER_US)
    return prune(given, top / "keys", planned, "why", force=False, roots_only=False).n if planned.segments else -1


def rotated(top: Path) -> str:
    return str(rotate_key(settings(top), top / "keys", "why", keep=False)[1])


def rotated_and_kept(top: Path) -> str:
    return str(rotate_key(settings(top), top / "keys", "why", keep=True)[1])


RUN = {"seal": sealed, "erase": erased, "archive": archived, "prune": pruned, "rotate": rotated, "rotate and keep": rotated_and_kept}


@dataclass(frozen=True)
class Life:
    """A log, what its records were before the commands ran, the trace of these, and the keys of its data subjects by name."""

    top: Path
    trace: Path
    before: Folder
    leaves: dict[int, str]
    subjects: dict[str, str]
    private: bytes


async def lived(tmp_path: Path, *names: str, calls: int) -> Life:
    top, trace = tmp_path / "live", tmp_path / "trace"
    (top / "log").mkdir(parents=True)
    leaves, subjects, private = dict[int, str](), dict[str, str](), b"none"
    if calls:
        await seal(top, ["zoe", "ann"] * (calls // 2))
        leaves = {record.n: record.leaf for record in LogReader(top / "log").records()}
        keyring = Keyring.open(top / "log" / "keys.db", ORIGIN, top / "keys")
        subjects = {name: keyring.numbers(f"user:{name}")[0] for name in ("zoe", "ann")}
        keyring.close()
        private = (top / "keys" / "log.key").read_bytes().strip()
    life = Life(top, trace, Folder.of(top), leaves, subjects, private)
    done = await asyncio.to_thread(shim.run, COMMANDS, top, *names, shims=tmp_path, under=top, trace=trace)
    assert done.returncode == 0, done.stderr.decode()
    return life


def trusted(top: Path) -> tuple[NoteKey, ...]:
    return parse_keys((top / "keys" / "log.vkey").read_text())


class Judge:
    """What must hold of a folder after a crash, once the log was opened again. `said` is what the commands had said until then."""

    def __init__(self, life: Life, after: Path, said: list[str]) -> None:
        self.life, self.after, self.said = life, after, said
        self.reader = LogReader(after / "log", after / "keys")
        self.records = {record.n: record for record in self.reader.records()}

    def done(self, name: str) -> str | None:
        return next((line.split()[-1] for line in self.said if line.startswith(f"{name} done ")), None)

    def told(self, kind: str) -> list[int]:
        return [n for n, record in self.records.items() if record.kind == kind]

    def everything(self) -> None:
        self.nothing_is_lost()
        self.what_was_sealed_can_be_opened()
        self.what_was_pruned_is_told()
        self.who_was_erased_stays_so()
        self.the_key_is_the_one_that_was_named()

    def nothing_is_lost(self) -> None:
        first = min(self.records)
        assert all(self.records[n].leaf == leaf for n, leaf in self.life.leaves.items() if n >= first)
        assert all(int(n) in self.records for n in (self.done("erase"), self.done("prune")) if n)

    def what_was_sealed_can_be_opened(self) -> None:
        if n := self.done("seal"):
            authz = self.reader.decision(self.records[int(n)])
            assert not isinstance(authz, Withheld), authz
            assert authz["ctx"]["input"]["ssn"] == "078"

    def what_was_pruned_is_told(self) -> None:
        first = min(self.records)
        report = verify_folder(self.after / "log", keys=trusted(self.after))
        assert report.exit_code == (3 if first else 0), report
        if first:
            assert f"records 0 to {first - 1} were pruned, as record {self.told('prune')[0]} says" in report.message
        if self.done("prune"):
            assert first == PRUNED_BEFORE
            assert not [path for path in (self.after / "log" / "payload").iterdir() if int(path.stem) < first], "what was sealed for pruned calls"

    def who_was_erased_stays_so(self) -> None:
        if not self.life.subjects:
            return
        keyring = Keyring.open(self.after / "log" / "keys.db", ORIGIN, self.after / "keys")
        try:
            zoe, ann = keyring.find(self.life.subjects["zoe"]), keyring.find(self.life.subjects["ann"])
        finally:
            keyring.close()
        assert ann is not None
        if self.told("erase"):
            assert zoe is None
        elif "erase" not in self.said:
            assert zoe is not None
        if self.done("erase"):
            assert all(b'"s":{' not in line or b'"key":"%b"' % self.life.subjects["ann"].encode() in line for line in self.sealed())
            assert erased(self.after) == -1, "there is nothing left to do"

    def sealed(self) -> list[bytes]:
        return [line for path in (self.after / "log" / "payload").iterdir() for line in path.read_bytes().splitlines()]

    def the_key_is_the_one_that_was_named(self) -> None:
        own = str(NoteSigner.open(self.after / "keys").key(ORIGIN))
        named = [self.records[n].body["new"] for n in self.told("key.rotate")]
        assert own == (named[-1] if named else own)
        assert not (self.done("rotate") and self.done("rotate") not in named)
        if named:
            private = [path.name for path in (self.after / "keys").iterdir() if self.life.private in path.read_bytes()]
            assert private == [], "the old private key is gone"
        for n in self.told("key.rotate"):
            body = self.records[n].body
            kept = self.after / "keys" / f"log.key.{body['old'].split('+')[1]}"
            assert kept.exists() is body["keeps"]
            assert not body["keeps"] or str(NoteSigner(private_key(kept)).key(ORIGIN)) == body["old"]


def finished(after: Path) -> None:
    """Every command, given again, does what is left to do."""
    for name in ("erase", "archive", "prune", "rotate", "rotate and keep"):
        RUN[name](after)
    reader = LogReader(after / "log")
    assert min(record.n for record in reader.records()) == PRUNED_BEFORE
    assert {path.suffix for _, path in reader.folder.segment_list()[:-1]} == {".zst"}
    assert verify_folder(after / "log", keys=trusted(after)).exit_code == 3


@shim.needs_compiler
async def test_whatever_a_power_cut_leaves_of_a_command_is_whole_and_can_be_finished(tmp_path, memory):  # noqa: F811
    life = await lived(tmp_path, "erase", "archive", "prune", "rotate", "rotate and keep", calls=8)
    tried = await asyncio.to_thread(explore, life, memory)
    assert tried > 150


@shim.needs_compiler
async def test_what_is_sealed_in_a_log_that_only_begins_can_be_opened_after_any_power_cut(tmp_path, memory):  # noqa: F811
    life = await lived(tmp_path, "seal", calls=0)
    tried = await asyncio.to_thread(explore, life, memory)
    assert tried > 50


def explore(life: Life, memory: Path) -> int:  # noqa: F811
    """Judge a state for each call of the trace; how many they were."""
    chance = random.Random(7)
    tried = 0
    for disk, said in states(life.trace, life.top, life.before):
        after = memory / "after"
        disk.write(after, chance)
        tried += 1
        if life.leaves:
            assert diagnose(LogFolder(after / "log"), trusted(after)) is None, "a start puts everything right"
        start(after)
        Keyring.open(after / "log" / "keys.db", ORIGIN, after / "keys").close()
        Judge(life, after, said).everything()
        if life.leaves and tried % 11 == 0:
            finished(after)
        shutil.rmtree(after)
    return tried
