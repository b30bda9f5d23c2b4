"""Any bytes in any file of a log: every reader answers, or raises an error of ours, and no verifier accepts what was changed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli.verify_alone import Wrong, verified
from gateway.errors import Problem
from gateway.record import (
    BadNote,
    BrokenLine,
    IndexUnusable,
    LogReader,
    ObjectBroken,
    ObjectMissing,
    Query,
    Question,
    count_calls,
    find_calls,
    scan_calls,
    verify_log,
)
from gateway.record.calls import members_of
from gateway.record.export import FORMS, selected, write_tiles
from gateway.record.index import CallIndex
from gateway.record.line import parse, record_of
from tests.record.test_parts import Here
from tests.record.world import ENTITIES, files, keys, small_log

OURS = (BadNote, BrokenLine, IndexUnusable, ObjectBroken, ObjectMissing, Problem, Wrong)
PIECES = [
    b"",
    b"\n",
    b"\0",
    b"{",
    b"}",
    b"[" * 1_200,
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"\xff",
    b"\xef\xbb\xbf",
]
PIECES += [
    b"\xe2\x80\xa8",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"n":1,',
    b'"k":"seg.open"',
    b'"calls":[9223372036854775808]',
    b"x" * 70_000,
    b"\xf0\x9f\x92\xa9",
]
chunks = st.sampled_from(PIECES) | st.binary(max_size=12)


@pytest.fixture
async def log(tmp_path) -> Path:
    await small_log(tmp_path, calls=3)
    return tmp_path


def everything(folder: Path) -> list[tuple[str, object]]:
    """Every way of reading a log, by name: what each makes of it, or the error of ours that it raises. Any other error passes through."""
    root, known = folder / "log", keys(folder)
    to = folder / f"tiles{len(list(folder.iterdir()))}"

    def reader() -> LogReader:
        return LogReader(root)

    def walked() -> list:
        records = list(reader().records())
        return [reader().outcome(record) for record in records] + [reader().decision(record) for record in records]

    ways = {
        "records": walked,
        "newest": lambda: reader().newest(3),
        "find": lambda: reader().find(2),
        "checkpoint": lambda: reader().checkpoint(known),
        "object": lambda: reader().object(ENTITIES.digest),
        "scan": lambda: scan_calls(reader(), Query()),
        "index": lambda: find_calls(reader(), Query(status="ok")),
        "count": lambda: count_calls(reader(), Query()),
        "rebuild": lambda: CallIndex(reader()).rebuild(),
        "tiles": lambda: write_tiles(reader(), known, to),
        "alone": lambda: verified(root, None),
    }
    for name, form in FORMS.items():
        ways[name] = lambda form=form: b"".join(form.write(selected(reader(), Query(agent="x") if form.kinds else Query()), "x"))
    found = []
    for name, way in ways.items():
        try:
            found.append((name, way()))
        except OURS as error:
            found.append((name, error))
    return found


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 99), at=st.floats(0, 1), cut=st.integers(0, 40), chunk=chunks)
def test_no_change_of_a_file_is_accepted_and_none_crashes_a_reader(log, which, at, cut, chunk):
    paths = sorted(path for path in (log / "log").rglob("*") if path.is_file() and not path.name.startswith(("index", ".", "lock", "reserve")))
    paths = [path for path in paths if "idx" not in path.parts]
    path = paths[which % len(paths)]
    sound = path.read_bytes()
    place = int(at * len(sound))
    changed = sound[:place] + chunk + sound[place + cut :]
    path.write_bytes(changed)
    try:
        found = dict(everything(log))
        for level in ("chain", "root", "full"):
            alone = verify_log(log / "log", keys(log), Question(level))
            beside = verify_log(log / "log", keys(log), Question(level, pool=Here(), since=5))
            assert alone.exit_code in {0, 1, 3, 4}
            assert beside.exit_code in {0, 1, 3, 4}
            if level == "full":
                assert alone.ok == (changed == sound), path
        if path.suffix == ".jsonl" and changed != sound:
            assert isinstance(found["alone"], Wrong)
            assert isinstance(found["tiles"], OURS) or changed.startswith(sound)
    finally:
        path.write_bytes(sound)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), cut=st.integers(0, 600), chunk=chunks)
def test_whatever_becomes_of_the_index_it_answers_as_the_log_does_or_not_at_all(log, at, cut, chunk):
    """SQLite may read a damaged page as rows. They are of the right types then, and wrong: the index proves nothing. It must not crash or hang."""
    reader = LogReader(log / "log")
    CallIndex(reader).rebuild()
    index = log / "log" / "index.db"
    sound = index.read_bytes()
    place = int(at * len(sound))
    index.write_bytes(sound[:place] + chunk + sound[place + cut :])
    assert isinstance(find_calls(reader, Query()), list)
    assert count_calls(reader, Query()) >= 0
    assert CallIndex(reader).rebuild() == 3
    assert find_calls(reader, Query()) == scan_calls(reader, Query())


def test_a_record_longer_than_a_line_may_be_is_broken_for_every_reader(log):
    path = files(log)[-1]
    head, rest = path.read_bytes().split(b'"k":', 1)
    path.write_bytes(head + b'"k":' + rest.replace(b"}\n", b',"x":"' + b"x" * 70_000 + b'"}\n'))
    found = dict(everything(log))
    del found["find"], found["checkpoint"], found["object"]  # which do not come by it
    assert [name for name, one in found.items() if not isinstance(one, OURS)] == []


@settings(max_examples=300, deadline=None)
@given(st.lists(chunks, max_size=6).map(b"".join) | st.binary(max_size=200))
def test_no_bytes_are_a_line_of_a_log_that_do_not_follow(data):
    for read in (lambda: parse(data, 3, b"\1" * 32), lambda: members_of(data, 3)):
        with pytest.raises(BrokenLine):
            read()
    try:
        record = record_of(data)
    except BrokenLine:
        return
    assert type(record.n) is int


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.lists(chunks, max_size=4).map(b"".join), max_size=4))
def test_a_segment_of_any_lines_is_never_a_sound_log(log, lines):
    path = files(log)[-1]
    sound = path.read_bytes()
    path.write_bytes(sound + b"\n".join(lines))
    try:
        everything(log)
        report = verify_log(log / "log", keys(log), Question())
        assert report.ok == (not b"\n".join(lines))
    finally:
        path.write_bytes(sound)
