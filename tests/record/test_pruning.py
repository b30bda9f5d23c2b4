import asyncio
import time
from dataclasses import replace

import pytest

from gateway.errors import Problem
from gateway.record import Checkpoint, LogReader, NoteSigner, Prover, Question, check_proof, verify_log
from gateway.record.archiving import archive
from gateway.record.boundary import state_at
from gateway.record.folder import LogFolder
from gateway.record.line import line_of, record_of, rest_of
from gateway.record.pruning import plan, prune
from gateway.record.sidecar import Sidecar
from gateway.record.tree import Frontier, leaf_hash
from tests.record.world import files, keys, opened, settings, small_log, twin, verified, write_call

LATER_US = time.time_ns() // 1000 + 200 * 24 * 3600 * 1_000_000


async def pruned(folder, n, *, roots_only=False, packed=False):
    given = settings(folder)
    if packed:
        archive(LogFolder(folder / "log"))
    planned = plan(LogFolder(folder / "log"), given, n=n, now_us=LATER_US)
    receipt = await asyncio.to_thread(prune, given, folder / "keys", planned, "plan 3", force=False, roots_only=roots_only)
    return planned, receipt


@pytest.fixture
async def log(tmp_path):
    await small_log(tmp_path / "a", calls=10)
    return tmp_path / "a"


def heads(folder):
    return [first for first, _ in LogFolder(folder / "log").segment_list()]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("roots_only", [False, True])
async def test_what_was_pruned_is_told_and_the_rest_is_judged(log, packed, roots_only):
    cut = heads(log)[3]
    planned, receipt = await pruned(log, cut, roots_only=roots_only, packed=packed)
    assert (planned.before, planned.records, planned.young) == (cut, cut, 0)
    assert heads(log)[0] == cut
    assert LogFolder(log / "log").leaves_of(0).exists() is not roots_only
    for level in ("chain", "root", "full"):
        report = verified(log, level=level)
        assert (report.exit_code, report.first_bad) == (3, None), report
        assert f"records 0 to {cut - 1} were pruned, as record {receipt.n} says" in report.message
        assert ("leaf hashes" in report.message) is not roots_only
    assert verify_log(log / "log", keys(log), Question(since=cut)).ok
    record = LogReader(log / "log").find(receipt.n)
    assert (record.body["before"], record.body["why"], record.body["keeps"]) == (cut, "plan 3", "root" if roots_only else "leaves")


@pytest.mark.parametrize("packed", [False, True])
async def test_a_pruning_that_was_stopped_is_told_and_the_next_finishes_it(log, packed):
    second, cut = heads(log)[2:4]
    if packed:
        archive(LogFolder(log / "log"))
    kept = {path.name: path.read_bytes() for path in files(log) if path.name.startswith(f"{second:020d}.jsonl")}
    _, receipt = await pruned(log, cut)
    for name, data in kept.items():
        (log / "log" / "log" / name).write_bytes(data)
    report = verified(log)
    assert (report.exit_code, report.first_bad) == (3, None), report
    assert f"records 0 to {second - 1} were pruned, as record {receipt.n} says, and up to {cut - 1} were to go" in report.message
    await pruned(log, cut)
    assert heads(log)[0] == cut
    assert f"records 0 to {cut - 1} were pruned, as record {receipt.n} says; " in verified(log).message


async def test_a_segment_in_both_forms_goes_in_both(log):
    path = files(log)[0]
    plain = path.read_bytes()
    archive(LogFolder(log / "log"))
    path.write_bytes(plain)  # archiving was stopped before it removed it
    await pruned(log, heads(log)[1])
    assert not [name for name in files(log) if name.name.startswith(f"{0:020d}.jsonl")]


@pytest.mark.parametrize("roots_only", [False, True])
@pytest.mark.parametrize("index_before", [False, True])
async def test_proofs_of_what_is_left_are_the_ones_that_they_were(log, roots_only, index_before):
    whole = Prover(LogReader(twin(log, log.parent / "b") / "log"), keys(log))
    if index_before:
        Prover(LogReader(log / "log"), keys(log)).inclusion(0)
    cut = heads(log)[4]
    await pruned(log, cut, roots_only=roots_only)
    for _ in range(2):  # with the index that the first one makes, too
        prover = Prover(LogReader(log / "log"), keys(log))
        newest = prover.checkpoint()
        for n in range(cut, newest.size):
            check_proof(bytes(prover.inclusion(n)), keys(log))
        for old in range(cut, whole.checkpoint().size):
            assert prover.prefix(old, newest).root == whole.prefix(old, whole.checkpoint()).root
        with pytest.raises(Problem, match="was pruned"):
            prover.inclusion(cut - 1)
        prover.close()
    whole.close()


async def test_the_writer_starts_and_goes_on_and_can_prune_again(log):
    first, second = heads(log)[2], heads(log)[5]
    await pruned(log, first)
    async with opened(log, segment_bytes_max=1_000, checkpoint_records=4) as running:
        await write_call(running, 100)
    _, receipt = await pruned(log, second)
    assert heads(log)[0] == second
    assert f"as record {receipt.n} says; their leaf hashes are those" in verified(log).message


async def test_kept_leaves_of_two_prunings_that_were_cut_to_roots_still_prove_the_rest(log):
    await pruned(log, heads(log)[2])
    await pruned(log, heads(log)[3], roots_only=True)
    assert not any((log / "log" / "log").glob("*.leaves"))
    prover = Prover(LogReader(log / "log"), keys(log))
    check_proof(bytes(prover.inclusion(prover.checkpoint().size - 1)), keys(log))
    prover.close()


async def test_records_that_just_vanish_are_missing(log):
    archive(LogFolder(log / "log"))
    for path in files(log)[:4]:
        path.unlink()
    report = verified(log)
    assert (report.exit_code, report.first_bad) == (3, 0)
    assert "no record says that they were pruned" in report.message


async def test_more_taken_away_than_was_recorded_is_missing(log):
    await pruned(log, heads(log)[2])
    folder = LogFolder(log / "log")
    folder.segment_list()[0][1].unlink()
    assert "no record says that they were pruned" in verified(log).message


@pytest.mark.parametrize("harm", ["changed", "cut", "exchanged"])
async def test_leaf_hashes_that_are_not_those_that_were_signed_are_found(log, harm):
    await pruned(log, heads(log)[3])
    path = LogFolder(log / "log").leaves_of(0)
    data = bytearray(path.read_bytes())
    if harm == "changed":
        data[-1] ^= 1
    elif harm == "cut":
        del data[-32:]
    else:
        data = data[:-64] + data[-32:] + data[-64:-32]
    path.write_bytes(bytes(data))
    assert verified(log).exit_code == 1


async def test_a_pin_of_the_pruned_part_is_held_against_the_leaf_hashes(log, tmp_path):
    pin = tmp_path / "pin"
    early = twin(log, tmp_path / "early")
    notes = (early / "log" / "checkpoints").read_bytes().split(b"\n\n")
    signatures = [part.split(b"\n", 1) for part in notes]
    first_note = signatures[0][0] + b"\n" + signatures[0][1] + b"\n\n" if len(signatures[0]) > 1 else b""
    pin.write_bytes(first_note + signatures[1][0] + b"\n")
    assert verify_log(early / "log", keys(log), Question(pin=pin)).ok
    pin.write_bytes(first_note + signatures[1][0] + b"\n")
    await pruned(log, heads(log)[4])
    assert verified(log, pin=pin).exit_code == 3
    assert "the rest is as it was written" in verified(log, pin=pin).message
    pin.write_bytes(first_note + signatures[1][0] + b"\n")
    await pruned(log, heads(log)[1], roots_only=True)
    report = verified(log, pin=pin)
    assert (report.exit_code, "the pin is of" in report.message) == (3, True)


async def test_young_records_are_pruned_only_when_it_is_forced_and_the_record_says_so(log):
    given = settings(log)
    planned = plan(LogFolder(log / "log"), given, n=heads(log)[2])
    assert planned.young == planned.records
    with pytest.raises(Problem, match="younger than 183 days"):
        await asyncio.to_thread(prune, given, log / "keys", planned, "why", force=False, roots_only=False)
    assert heads(log)[0] == 0
    receipt = await asyncio.to_thread(prune, given, log / "keys", planned, "why", force=True, roots_only=False)
    assert LogReader(log / "log").find(receipt.n).body["forced"] is True


async def test_a_legal_hold_is_stronger_than_force(log):
    (log / "log" / "hold").touch()
    planned = plan(LogFolder(log / "log"), settings(log), n=heads(log)[2])
    with pytest.raises(Problem, match="legal hold"):
        await asyncio.to_thread(prune, settings(log), log / "keys", planned, "why", force=True, roots_only=False)
    assert heads(log)[0] == 0


async def test_only_whole_segments_before_the_time_go_and_never_the_last(log):
    folder, given = LogFolder(log / "log"), settings(log)
    assert plan(folder, given, n=heads(log)[2] + 1).before == heads(log)[2]
    assert plan(folder, given, n=10**9).before == heads(log)[-1]
    assert plan(folder, given, t=0).segments == ()
    assert plan(folder, given, t=LATER_US).before == heads(log)[-1]


async def test_a_pruned_record_is_told_as_pruned(log):
    await pruned(log, heads(log)[2])
    with pytest.raises(Problem, match="was pruned"):
        LogReader(log / "log").find(0)


async def test_leaf_hashes_with_a_root_of_their_own_are_found(log):
    await pruned(log, heads(log)[1])
    folder = LogFolder(log / "log")
    kept = Sidecar.read(folder.leaves_of(0))
    leaves = (bytes(32), *kept.leaves[1:])
    tree = Frontier()
    tree.extend(list(leaves))
    replace(kept, leaves=leaves, root=tree.root()).write(folder)
    report = verified(log)
    assert (report.exit_code, "not those that were signed" in report.message) == (1, True)


async def test_a_pin_of_another_past_is_found_after_that_past_was_pruned(log, tmp_path):
    await pruned(log, heads(log)[4])
    pin = tmp_path / "pin"
    other = Checkpoint(keys(log)[0].name, 3, bytes(32))
    pin.write_bytes(NoteSigner.open(log / "keys").sign(other.origin, other.text))
    report = verified(log, pin=pin)
    assert (report.exit_code, "not the ones that were pinned" in report.message) == (1, True)
    assert pin.read_bytes().startswith(other.text)


async def test_only_a_signed_record_can_say_that_the_log_was_pruned(log):
    archive(LogFolder(log / "log"))
    cut, gone = heads(log)[3], files(log)[:6]
    state = state_at(*LogFolder(log / "log").segment_list()[3], "root")
    for path in gone:
        path.unlink()
    last = files(log)[-1]
    line = last.read_bytes().split(b"\n")[-2]
    body = rest_of("prune", {"before": cut, "root": state.tree.root().hex()})
    record = record_of(line)
    last.write_bytes(last.read_bytes() + line_of(record.n + 1, leaf_hash(line), record.t, body) + b"\n")
    report = verified(log)
    assert (report.exit_code, report.unsigned) == (3, 1)
    assert "no record says that they were pruned" in report.message


async def test_a_line_that_only_looks_like_the_record_of_a_pruning_is_a_finding_and_no_crash(log):
    await pruned(log, heads(log)[3])
    path = files(log)[-1]
    line = path.read_bytes().split(b"\n")[-2]
    record = record_of(line)
    path.write_bytes(path.read_bytes() + line_of(record.n + 1, leaf_hash(line), record.t, b',"k":"prune",') + b"\n")
    assert verified(log, level="root").exit_code == 3  # the record that is meant stands before it
    path.write_bytes(b"".join(path.read_bytes().partition(b'{"n":%d,' % record.n)[:1]))
    assert verified(log, level="root").exit_code == 1


async def test_the_leaf_hashes_that_stay_are_those_of_the_records_and_not_of_a_file_that_was_there(log):
    archive(LogFolder(log / "log"))
    path = LogFolder(log / "log").leaves_of(0)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    young = Sidecar.read(LogFolder(log / "log").leaves_of(4))
    replace(young, last_t=1).write(LogFolder(log / "log"))
    await pruned(log, heads(log)[3])
    assert path.read_bytes() == sound
    assert "their leaf hashes are those that were signed" in verified(log).message


async def test_states_from_within_what_was_pruned_with_its_hashes_are_gone_and_not_forged(log):
    cut = heads(log)[3]
    await pruned(log, cut, roots_only=True)
    prover = Prover(LogReader(log / "log"), keys(log))
    with pytest.raises(Problem, match="pruned with its leaf hash"):
        prover.prefix(1, prover.checkpoint())
    prover.close()
