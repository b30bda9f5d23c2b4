import tracemalloc

import pytest

from gateway.errors import Problem
from gateway.record import LogReader, NoteSigner, Question, verify_log
from gateway.record.archiving import archive
from gateway.record.folder import LogFolder
from gateway.record.repair import accept_loss, diagnose
from tests.record.world import files, keys, lines, opened, plain, small_log, twin, verified, write_call


@pytest.fixture
async def log(tmp_path):
    await small_log(tmp_path / "a", calls=10)
    return tmp_path / "a"


def place(folder):
    return LogFolder(folder / "log")


def spoil(path, old=b"call-", new=b"cell-", count=1):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))


def spoil_packed(folder):
    archive(place(folder))
    _, path = place(folder).segment_list()[3]
    spoil(path, path.read_bytes()[40:60], bytes(20))


HARMS = {
    "a changed record in the middle": lambda folder: spoil(files(folder)[3]),
    "a changed record at the end": lambda folder: spoil(files(folder)[-1], b'"k":"log.close"', b'"k":"log.cloze"'),
    "a missing segment": lambda folder: files(folder)[3].unlink(),
    "a missing end": lambda folder: files(folder)[-1].unlink(),
    "a cut end": lambda folder: files(folder)[-2].write_bytes(b"".join(files(folder)[-2].read_bytes().splitlines(keepends=True)[:2])),
    "zeros in the middle": lambda folder: spoil(files(folder)[2], files(folder)[2].read_bytes()[200:300], bytes(100)),
    "a packed segment that does not unpack": spoil_packed,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
async def test_what_is_sound_goes_on_and_the_gap_is_told_for_ever(log, harm):
    before = lines(log)
    harm(log)
    assert verified(log).exit_code != 0
    damage = diagnose(place(log), keys(log))
    assert damage is not None
    assert damage.sound.size + damage.lost_signed == len(before)
    done = accept_loss(place(log), keys(log), "disk died", "uid:1")
    assert done == damage
    async with opened(log) as running:
        await write_call(running, 100)
    records = list(LogReader(log / "log").records())
    assert [record.line for record in records][: damage.sound.size] == before[: damage.sound.size]
    gap = records[damage.sound.size]
    assert (gap.kind, gap.body["size"], gap.body["why"], gap.body["lost"]) == ("gap", damage.sound.size, "disk died", damage.lost_signed)
    assert gap.body["signed"]["note"].startswith("gw.example/test\n")
    report = verified(log)
    assert (report.exit_code, report.first_bad) == (3, None), report
    assert f"see record {gap.n}" in report.message
    assert verify_log(log / "log", keys(log), Question(since=records[-1].n)).exit_code in {0, 3}
    assert not place(log).gap.exists()


@pytest.mark.parametrize("torn", [b"\0" * 80, b'{"n":', b"garbage\nand more", b"\n\n", b"\xff\n{}\n"])
async def test_what_a_crash_leaves_at_the_end_is_no_damage_and_a_start_puts_it_right(log, torn):
    with files(log)[-1].open("ab") as stream:
        stream.write(torn)
    assert diagnose(place(log), keys(log)) is None
    async with opened(log):
        pass
    assert verified(log).ok


async def test_what_was_moved_is_all_there(log):
    whole = b"".join(path.read_bytes() for path in files(log))
    spoil(files(log)[3])
    broken = b"".join(path.read_bytes() for path in files(log))
    damage = diagnose(place(log), keys(log))
    accept_loss(place(log), keys(log), "why", "uid:1")
    moved = b"".join(path.read_bytes() for path in sorted((log / "log" / "torn").glob("*.jsonl.*")))
    kept = b"".join(path.read_bytes() for path in files(log))
    assert kept + moved == broken
    assert kept == whole[: len(kept)]
    assert damage.lost_bytes == len(moved)


async def test_a_loss_larger_than_memory_is_measured_in_pieces(log):
    files(log)[3].unlink()
    size = sum(path.stat().st_size for path in files(log)[3:])
    with files(log)[-1].open("r+b") as stream:
        stream.truncate(files(log)[-1].stat().st_size + (1 << 27))
    tracemalloc.start()
    damage = diagnose(place(log), keys(log))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert damage.lost_bytes >= size + (1 << 27)
    assert peak < 1 << 25


async def test_what_is_lost_of_packed_segments_is_counted_unpacked(log):
    twin(log, log.with_name("b"))
    archive(place(log.with_name("b")))
    found = []
    for folder in (log, log.with_name("b")):
        place(folder).segment_list()[3][1].unlink()
        damage = diagnose(place(folder), keys(log))
        found.append((damage.lost_bytes, damage.lost_lines, damage.sound.size))
    assert found[0] == found[1]


async def test_a_rewritten_end_is_cut_back_to_what_was_signed(log):
    """Links that hold and a root that is not the one of a checkpoint: the whole part since the checkpoint before is not to be believed."""
    folder = place(log)
    note = folder.checkpoint.read_bytes()
    signer = NoteSigner.open(log / "keys")
    size = int(note.split(b"\n")[1])
    folder.checkpoint.write_bytes(signer.sign("gw.example/test", b"gw.example/test\n%d\n" % size + b"A" * 43 + b"=\n"))
    damage = diagnose(folder, keys(log))
    assert "not the ones that were signed" in damage.why
    assert damage.sound.size < size


async def test_a_pin_of_what_was_lost_still_finds_it(log, tmp_path):
    pin = tmp_path / "pin"
    assert verified(log, pin=pin).ok
    spoil(files(log)[3])
    accept_loss(place(log), keys(log), "why", "uid:1")
    async with opened(log, checkpoint_records=1) as running:
        for number in range(20):
            await running.append("call", plain(number))
    report = verified(log, pin=pin)
    assert report.exit_code == 1, report


async def test_a_stop_after_the_move_still_tells_of_the_gap(log):
    spoil(files(log)[3])
    accept_loss(place(log), keys(log), "why", "uid:1")
    assert place(log).gap.exists()
    async with opened(log):
        pass
    assert [record.kind for record in LogReader(log / "log").records()].count("gap") == 1


async def test_nothing_is_moved_where_nothing_is_wrong(log):
    assert diagnose(place(log), keys(log)) is None
    with files(log)[-1].open("ab") as stream:
        stream.write(b'{"n":9')
    assert diagnose(place(log), keys(log)) is None, "what a crash tore is a start's to put right"
    with pytest.raises(Problem, match="nothing is wrong"):
        accept_loss(place(log), keys(log), "why", "uid:1")


async def test_a_log_without_a_sound_record_is_not_gone_on_with(log):
    spoil(files(log)[0], b'"k":"log.open"', b'"k":"log.opem"')
    spoil(files(log)[0], b'{"n":0', b'{"n":7')
    with pytest.raises(Problem, match="no record of this log is sound"):
        accept_loss(place(log), keys(log), "why", "uid:1")
    assert files(log)[0].exists()


async def test_keys_that_signed_nothing_judge_nothing(log, tmp_path):
    with pytest.raises(Problem, match="no given key"):
        diagnose(place(log), keys(tmp_path / "other"))


async def test_a_running_gateway_s_log_is_left_alone(log):
    async with opened(log):
        with pytest.raises(Problem, match="another gateway"):
            accept_loss(place(log), keys(log), "why", "uid:1")
