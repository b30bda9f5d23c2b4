"""The writer process and those who would misuse it: strangers, liars, workers that vanish."""

import asyncio
import contextlib
import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Problem, Refusal
from gateway.record import frames
from gateway.record.frames import MAGIC, Frames, Sent
from gateway.record.line import record_of, rest_of
from gateway.record.remote import connect_log
from gateway.record.service import listen_at
from tests.record.world import ENTITIES, ORIGIN, POLICIES, SCHEMA, call, lines, opened, plain, result, service, settings, verified, write_call

ROOT = Path(__file__).resolve().parents[2]


class Raw:
    """A worker that says what it likes."""

    def __init__(self, path: Path, hello: bytes = MAGIC + ORIGIN.encode()) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.frames = Frames()
        self.heard: list[tuple[int, bytes]] = []
        if hello:
            self.send(frames.frame(frames.HELLO, hello))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self, kind: int) -> bytes | None:
        """The next message of a kind; None when the writer hung up."""
        while True:
            while self.heard:
                got, payload = self.heard.pop(0)
                if got == kind:
                    return payload
            try:
                data = self.socket.recv(65_536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.heard += self.frames.feed(data)

    def ask(self, *rests: bytes) -> list:
        self.send(frames.batch([Sent(rest) for rest in rests]))
        payload = self.hear(frames.ACK)
        assert payload is not None
        return frames.read_ack(payload, ORIGIN)[1]


@pytest.fixture
def raw():
    """Connects, and hangs up when the test is over."""
    made: list[Raw] = []

    def connect(*given) -> Raw:
        made.append(Raw(*given))
        return made[-1]

    yield connect
    for one in made:
        one.socket.close()


def of_kind(folder: Path, kind: str):
    return [record for record in map(record_of, lines(folder)) if record.kind == kind]


async def test_every_record_of_a_worker_names_the_record_that_let_it_in(tmp_path):
    with service(tmp_path) as found:
        one, two = [await connect_log(settings(tmp_path), found.path) for _ in range(2)]
        await write_call(one, 1)
        await write_call(two, 2)
        await one.close()
        await two.close()
    (first, second) = of_kind(tmp_path, "worker.open")
    assert first.body == {"uid": os.getuid(), "gid": os.getgid(), "pid": os.getpid()}
    assert [(r.body["id"], r.body["w"]) for r in of_kind(tmp_path, "call")] == [("call-1", first.n), ("call-2", second.n)]
    assert {r.body["worker"] for r in of_kind(tmp_path, "worker.close")} == {first.n, second.n}
    assert verified(tmp_path).ok


async def test_another_users_process_is_not_heard(tmp_path):
    with service(tmp_path, uids=frozenset({os.getuid() + 1})) as found:
        with pytest.raises(Problem) as problem:
            await connect_log(settings(tmp_path), found.path)
        assert problem.value.code == "log_writer"
    assert f"of user {os.getuid()} may not append" in found.said[0]
    assert [record_of(line).kind for line in lines(tmp_path)] == ["log.open", "log.close"]


async def test_a_worker_of_another_log_is_sent_away(tmp_path):
    with service(tmp_path) as found:
        with pytest.raises(Problem, match="this is the writer of"):
            await connect_log(settings(tmp_path, origin="gw.example/other"), found.path)


def test_only_its_owner_may_connect_to_the_socket_unless_a_group_is_named(tmp_path):
    for group, mode in ((None, 0o600), (os.getgid(), 0o660)):
        listening = listen_at(tmp_path / "s", group)
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
        listening.close()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(Problem):
        listen_at(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    with pytest.raises(Problem, match="100 bytes"):
        listen_at(tmp_path / ("s" * 120))


LIES = {
    "a second line": b',"k":"call","id":"a"}\n{"n":9,"prev":"00","t":1,"k":"call"}',
    "a raw newline": b',"k":"call","id":"a\nb"}',
    "no JSON": b',"k":"call",',
    "no object behind": b',"k":"call"}{}',
    "empty": b"",
    "white space": b', "k":"call"}',
    "a duplicate member": b',"k":"call","id":"a","id":"b"}',
    "a needless escape": b',"k":"call","id":"\\u0061"}',
    "a number rounded by others": b',"k":"call","id":18446744073709551616}',
    "a place of its own": b',"k":"call","n":5}',
    "a link of its own": b',"k":"call","prev":"00"}',
    "a time of its own": b',"k":"call","t":0}',
    "another worker's name": b',"k":"call","w":1}',
    "the kind not first": b',"id":"a","k":"call"}',
    "no kind": b',"id":"a"}',
    "a kind that is no word": b',"k":"call\\n"}',
    "a kind that is a number": b',"k":7}',
    "the log's beginning": b',"k":"log.open"}',
    "the log's end": b',"k":"log.close"}',
    "a segment's head": b',"k":"seg.open","size":0}',
    "a recovery": b',"k":"recover","status":"unknown","calls":[1],"torn":[]}',
    "an accepted loss": b',"k":"gap","size":1}',
    "a key to trust": b',"k":"key.rotate","new":"k"}',
    "another worker": b',"k":"worker.open","uid":0}',
    "the outcome of a call that it did not make": b',"k":"result","call":1,"status":"ok"}',
    "a list": b',"k":"call"]',
    "bytes that are no text": b',"k":"call","id":"\xff"}',
    "a lone surrogate": b',"k":"call","id":"\\ud800"}',
    "too long with its stamp": rest_of("call", {"id": "x" * (65_535 - 160)})[:-1] + b"x" * 40 + b"}",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_what_a_worker_may_not_say_is_refused_and_leaves_nothing(raw, tmp_path, lie):
    with service(tmp_path) as found:
        other = raw(found.path)
        other.hear(frames.WELCOME)
        opened_by_another = other.ask(rest_of("call", {"id": "b", "authz": {"decision": "allow"}, "code": ""}))[0]
        worker = raw(found.path)
        worker.hear(frames.WELCOME)
        lie = lie.replace(b'"call":1,', b'"call":%d,' % opened_by_another.n)
        good, bad, fine = worker.ask(rest_of("call", plain(1)), lie, rest_of("call", plain(2)))
        assert isinstance(bad, Refusal)
        assert fine.n == good.n + 1
    assert verified(tmp_path, level="root").ok
    assert len(of_kind(tmp_path, "call")) == 3


NOISE = {
    "a batch before the greeting": (b"", frames.batch([Sent(b",")])),
    "no greeting but another": (b"GET / HTTP/1.1\r\n", b""),
    "a second greeting": (MAGIC + ORIGIN.encode(), frames.frame(frames.HELLO, MAGIC + ORIGIN.encode())),
    "a frame without end": (MAGIC + ORIGIN.encode(), struct.pack(">IB", 2**32 - 1, frames.BATCH)),
    "what only the writer says": (MAGIC + ORIGIN.encode(), frames.frame(frames.ACK, b"")),
    "a batch that does not add up": (MAGIC + ORIGIN.encode(), frames.frame(frames.BATCH, b"\0\1more")),
}


@pytest.mark.parametrize(("hello", "more"), NOISE.values(), ids=NOISE)
async def test_a_connection_that_breaks_the_rules_ends_and_others_go_on(raw, tmp_path, hello, more):
    with service(tmp_path) as found:
        log = await connect_log(settings(tmp_path), found.path)
        noisy = await asyncio.to_thread(raw, found.path, hello)
        if hello.startswith(MAGIC):
            await asyncio.to_thread(noisy.hear, frames.WELCOME)
        with contextlib.suppress(BrokenPipeError):  # it may have hung up already
            noisy.send(more)
        assert await asyncio.to_thread(noisy.hear, frames.ACK) is None
        await write_call(log, 1)
        await log.close()
    assert verified(tmp_path).ok


def test_a_worker_that_does_not_read_its_answers_is_cut_off_and_its_records_stay(raw, tmp_path):
    with service(tmp_path, queue_records_max=100_000) as found:
        deaf = raw(found.path)
        deaf.hear(frames.WELCOME)
        lies = frames.batch([Sent(b",")] * 4_096)  # answered without the disk
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(10_000):
                deaf.send(lies)
    assert "does not read" in found.said[0]
    assert verified(tmp_path).ok


async def test_calls_that_a_vanished_worker_left_open_read_unknown_at_once(raw, tmp_path):
    with service(tmp_path) as found:
        log = await connect_log(settings(tmp_path), found.path)
        worker = await asyncio.to_thread(raw, found.path)
        await asyncio.to_thread(worker.hear, frames.WELCOME)
        allowed = rest_of("call", {"id": "a", "authz": {"decision": "allow"}, "code": ""})
        first, second = await asyncio.to_thread(worker.ask, allowed, allowed)
        await asyncio.to_thread(worker.ask, rest_of("result", result(first.n, 1)))
        worker.send(frames.batch([Sent(allowed)]))  # and gone before its answer
        worker.socket.close()
        while log.open_calls or not of_kind(tmp_path, "recover"):
            await log.append("call", plain(0))
        await log.close()
    (told,) = of_kind(tmp_path, "recover")
    assert told.body["status"] == "unknown"
    assert told.body["calls"][0] == second.n
    assert len(told.body["calls"]) == 2
    assert told.body["worker"] == of_kind(tmp_path, "worker.open")[1].n
    assert verified(tmp_path, level="root").ok


async def test_without_its_writer_a_worker_acknowledges_nothing_and_says_so_once(tmp_path):
    told = []
    with service(tmp_path) as found:
        log = await connect_log(settings(tmp_path), found.path, on_fatal=lambda: told.append("fatal"))
        await write_call(log, 1)
        await asyncio.to_thread(found.stop)
        while log.state != "failed":
            await asyncio.sleep(0.001)
        with pytest.raises(Refusal) as refused:
            await log.append("call", call(2), blobs=(POLICIES, SCHEMA, ENTITIES))
        assert refused.value.code == "log_unavailable"
        await log.close()
    assert told == ["fatal"]
    with pytest.raises(Problem, match="cannot be reached"):
        await connect_log(settings(tmp_path), found.path)


async def test_a_second_writer_is_refused_while_a_service_lives(tmp_path):
    with service(tmp_path):
        with pytest.raises(Problem, match="another gateway"):
            async with opened(tmp_path):
                pass
    assert verified(tmp_path).ok


CHILD = """
import asyncio, sys
from pathlib import Path
from gateway.record.remote import connect_log
from tests.record.world import settings, write_call

async def main(folder, socket):
    log = await connect_log(settings(folder), socket)
    await asyncio.gather(*(work(log, i) for i in range(25)))
    await log.close()

async def work(log, number):
    for i in range(20):
        await write_call(log, number * 100 + i)

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.slow
def test_fifty_writers_in_two_processes_make_one_chain(tmp_path):
    with service(tmp_path, segment_bytes_max=100_000, checkpoint_records=64) as found:
        children = [subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), str(found.path)], cwd=ROOT) for _ in range(2)]
        assert [child.wait(60) for child in children] == [0, 0]
    report = verified(tmp_path)
    assert report.ok, report
    assert len(of_kind(tmp_path, "call")) == len(of_kind(tmp_path, "result")) == 1_000
    assert report.segments > 1
