"""The log that a real journey leaves: every byte of it, changed, dropped, cut, swapped or doubled, is found."""

import asyncio
import shutil

import pytest

from gateway.record import NoteKey, parse_keys, verify_folder
from tests.journeys.place import client_of, running, token_of, write_place
from tests.simulators.upstreams import echo, upstream

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    """The folder of a finished log with permits, denials, contract violations and a summary of strangers; and its key."""
    folder = tmp_path_factory.mktemp("journey")

    async def play() -> None:
        async with upstream(echo) as up:
            write_place(folder, up.port, log="segment_bytes_max = 6000")
            async with running(folder) as place:
                await place.client.get("/tools/notes/notes/1")
                await place.client.post("/tools/notes/notes", json={"text": "x", "stars": 6})
                await place.client.post("/tools/notes/notes", json={"text": 1})
                async with client_of(place.gateway.addresses["agents"], "nobody") as nobody:
                    await nobody.get("/tools/notes/notes/1")
                async with client_of(place.gateway.addresses["agents"], token_of(folder, "stranger")) as stranger:
                    await stranger.get("/tools/notes/notes/1")

    asyncio.run(play())
    return folder / "log", parse_keys((folder / "var" / "keys" / "log.vkey").read_text())


class Copy:
    """A copy of the log in which one segment can be written anew, and judged."""

    def __init__(self, log, folder, keys: tuple[NoteKey, ...]):
        self.folder = folder / "copy"
        shutil.copytree(log, self.folder)
        self.keys = keys
        self.segments = sorted((self.folder / "log").glob("*.jsonl"))

    def passes(self) -> bool:
        return verify_folder(self.folder, keys=self.keys, level="root", origin="journey.test/log").ok

    def undetected(self, segment, changed) -> list[int]:
        """The positions of those changed contents that verify all the same. The segment is as before afterwards."""
        before = segment.read_bytes()
        missed = []
        for position, content in changed:
            assert content != before
            segment.write_bytes(content)
            if self.passes():
                missed.append(position)
        segment.write_bytes(before)
        assert self.passes()
        return missed


@pytest.fixture
def copy(journey, tmp_path):
    return Copy(journey[0], tmp_path, journey[1])


def test_the_journeys_log_has_several_segments_and_verifies(copy):
    assert len(copy.segments) > 1
    assert copy.passes()


def test_no_changed_byte_goes_unnoticed(copy):
    for segment in copy.segments:
        data = segment.read_bytes()
        changed = ((i, data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]) for i in range(len(data)))
        assert copy.undetected(segment, changed) == []


def test_no_deleted_or_inserted_byte_goes_unnoticed(copy):
    for segment in copy.segments:
        data = segment.read_bytes()
        assert copy.undetected(segment, ((i, data[:i] + data[i + 1 :]) for i in range(0, len(data), 3))) == []
        assert copy.undetected(segment, ((i, data[:i] + b" " + data[i:]) for i in range(0, len(data) + 1, 3))) == []


def test_no_truncation_goes_unnoticed(copy):
    for segment in copy.segments:
        data = segment.read_bytes()
        assert copy.undetected(segment, ((i, data[:i]) for i in range(len(data)))) == []


def test_no_record_can_be_dropped_doubled_or_swapped(copy):
    for segment in copy.segments:
        lines = segment.read_bytes().splitlines(keepends=True)
        dropped = ((i, b"".join(lines[:i] + lines[i + 1 :])) for i in range(len(lines)))
        doubled = ((i, b"".join(lines[: i + 1] + lines[i:])) for i in range(len(lines)))
        swapped = ((i, b"".join([*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]])) for i in range(len(lines) - 1))
        for changed in (dropped, doubled, swapped):
            assert copy.undetected(segment, changed) == []


def test_no_segment_can_be_missing(copy):
    for segment in copy.segments:
        content = segment.read_bytes()
        segment.unlink()
        assert not copy.passes()
        segment.write_bytes(content)


def test_no_changed_byte_of_a_signature_or_its_size_goes_unnoticed(copy):
    notes = copy.folder / "checkpoints"
    data = notes.read_bytes()
    changed = ((i, data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]) for i in range(len(data)))
    assert copy.undetected(notes, changed) == []
