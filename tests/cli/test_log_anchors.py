"""`portreeve log verify` with what peers and witnesses hold: the rewriting of a log with its own key, found by each of them."""

import shutil
import time

import pytest

from gateway.anchoring import submit
from gateway.fetch import Fetcher
from gateway.record import Anchors, LogFolder, LogReader, Prover
from tests.cli.test_log import at, run
from tests.record.test_pruning import pruned
from tests.record.world import ORIGIN, keys, lines, opened, plain, small_log, twin
from tests.simulators.witness import COSIGNER, witnessing


async def grow(folder, *numbers: int, **changes) -> None:
    async with opened(folder, **changes) as log:
        for number in numbers:
            await log.append("call", plain(number))


@pytest.fixture
async def place(tmp_path):
    """The log `a`, cosigned by one witness and recorded by its peer `b`, with the witness policy in `policy`."""
    await grow(tmp_path / "a", 1, 2, 3)
    (tmp_path / "a" / "key").write_text(f"{keys(tmp_path / 'a')[0]}\n")
    prover = Prover(LogReader(tmp_path / "a" / "log"), keys(tmp_path / "a"))
    async with witnessing(tmp_path / "w", {ORIGIN: keys(tmp_path / "a")}) as witness:
        found = (await submit(Fetcher(), prover, Anchors(LogFolder(tmp_path / "a" / "log")), witness)).checkpoint
    prover.close()
    async with opened(tmp_path / "b", origin="gw.example/peer") as log:
        told = {"peer": "a", "origin": ORIGIN, "size": found.size, "root": found.root.hex(), "note": found.note.decode()}
        await log.append("anchor", told)
    (tmp_path / "policy").write_text(f'quorum = 1\nwithin_s = 600\nkeys = ["{COSIGNER.key}"]\n')
    return tmp_path


async def rewrite(place) -> None:
    """Another history of the same log, sound and signed, in place of the first; the old anchors stay where they are."""
    anchors = place / "kept"
    shutil.copytree(place / "a" / "log" / "anchors", anchors)
    shutil.rmtree(place / "a" / "log")
    await grow(place / "a", 7, 8, 9, 10)
    shutil.copytree(anchors, place / "a" / "log" / "anchors")


def verify(place, *options: object):
    return run("verify", *at(place / "a"), *options)


async def test_a_log_agrees_with_its_peer_and_its_witness_also_when_it_has_grown(place):
    await grow(place / "a", 4)
    done = verify(place, "--peer", place / "b" / "log", "--witness-policy", place / "policy")
    assert (done.exit_code, "cosigned by 1 of 1 witnesses" in done.stdout) == (0, True)
    assert "2 states that others have seen agree with it" in done.stdout


async def test_a_log_rewritten_with_its_own_key_is_found_by_its_peer(place):
    await rewrite(place)
    assert verify(place).exit_code == 0
    done = verify(place, "--peer", place / "b" / "log")
    assert (done.exit_code, "peer's record 1" in done.stdout) == (1, True)


async def test_a_log_rewritten_with_its_own_key_is_found_by_its_witness(place):
    await rewrite(place)
    done = verify(place, "--witness-policy", place / "policy")
    assert (done.exit_code, f"witness {COSIGNER.key.name}" in done.stdout) == (1, True)


async def test_a_log_whose_witness_has_not_been_heard_is_incomplete(place):
    shutil.rmtree(place / "a" / "log" / "anchors")
    done = verify(place, "--witness-policy", place / "policy")
    assert (done.exit_code, "0 of the 1 witnesses" in done.stderr) == (3, True)


async def test_an_old_cosignature_does_not_count_for_now(place):
    (note,) = Anchors(LogFolder(place / "a" / "log")).notes()
    text = note.partition(b"\n\n")[0] + b"\n"
    old = note.rpartition("— ".encode())[0] + COSIGNER.cosign(text, int(time.time()) - 601)
    Anchors(LogFolder(place / "a" / "log")).keep("witness", "w1", old)
    assert verify(place, "--witness-policy", place / "policy").exit_code == 3


async def test_what_cannot_be_judged_is_not_passed_over(place):
    assert verify(place, "--peer", place / "a" / "log").exit_code == 3
    (place / "torn").write_bytes(lines(place / "b")[1])
    assert verify(place, "--peer", place / "torn").exit_code == 3
    Anchors(LogFolder(place / "a" / "log")).keep("witness", "w1", b"nothing")
    assert verify(place, "--witness-policy", place / "policy").exit_code == 4
    (place / "policy").write_text("quorum = 0")
    assert verify(place, "--witness-policy", place / "policy").exit_code == 2
    made_up = lines(place / "b")[1].replace(b"\\n5\\n", b"\\n4\\n")
    assert made_up != lines(place / "b")[1]
    (place / "made-up").write_bytes(made_up + b"\n")
    assert verify(place, "--peer", place / "made-up").exit_code == 4


@pytest.mark.parametrize("roots_only", [False, True])
async def test_pruning_does_not_hide_another_history_from_those_who_saw_the_first(place, roots_only):
    await small_log(place / "a", calls=8)
    cut = LogFolder(place / "a" / "log").segment_list()[2][0]
    with_peer = ("--peer", place / "b" / "log")
    twin(place / "a", place / "true")
    await pruned(place / "true", cut, roots_only=roots_only)
    for options in ((), ("--since", cut)):
        done = run("verify", *at(place / "true"), *with_peer, *options)
        agrees = "0 states" if roots_only else "1 state that others"
        assert (done.exit_code, agrees in done.stdout) == (3 if roots_only or not options else 0, True), done.stdout
        assert ("1 older one cannot be compared" in done.stdout) is roots_only
    await rewrite(place)
    await small_log(place / "a", calls=8)
    await pruned(place / "a", LogFolder(place / "a" / "log").segment_list()[2][0])
    assert verify(place).exit_code == 3
    for options in ((), ("--since", cut)):
        assert verify(place, *with_peer, *options).exit_code == 1


async def test_a_cosigned_checkpoint_of_another_log_does_not_count_for_this_one(place):
    """The auditor has the keys of both in one file. Of a log that was never witnessed, the anchors of the other one would say that it was."""
    shutil.rmtree(place / "a" / "log" / "anchors")
    await grow(place / "c", 1, origin="gw.example/other")
    theirs = keys(place / "c", "gw.example/other")
    prover = Prover(LogReader(place / "c" / "log"), theirs)
    async with witnessing(place / "w2", {"gw.example/other": theirs}) as witness:
        await submit(Fetcher(), prover, Anchors(LogFolder(place / "c" / "log")), witness)
    prover.close()
    shutil.copytree(place / "c" / "log" / "anchors", place / "a" / "log" / "anchors")
    with (place / "a" / "key").open("a") as stream:
        stream.write(f"{theirs[0]}\n")
    done = verify(place, "--witness-policy", place / "policy")
    assert (done.exit_code, "no trusted key has signed the note" in done.output) == (4, True)
