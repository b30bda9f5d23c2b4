import pytest

from gateway.record import Claim, comparable_from, contradiction
from gateway.record.folder import LogFolder
from gateway.record.tree import EMPTY_ROOT
from tests.record.test_leaves import long_log, roots
from tests.record.test_pruning import pruned
from tests.record.world import files, lines, small_log


async def test_every_earlier_state_of_a_log_is_true_of_it(tmp_path):
    await small_log(tmp_path)
    claims = [Claim(size, root, "a test") for size, root in enumerate(roots(lines(tmp_path)))]
    assert contradiction(LogFolder(tmp_path / "log"), [*claims, *reversed(claims)]) is None
    assert contradiction(LogFolder(tmp_path / "log"), []) is None


async def test_the_first_claim_that_is_not_true_is_named(tmp_path):
    await small_log(tmp_path)
    known = roots(lines(tmp_path))
    claims = [Claim(5, b"\x05" * 32, "later"), Claim(3, b"\x03" * 32, "earlier"), Claim(4, known[4], "true")]
    found = contradiction(LogFolder(tmp_path / "log"), claims)
    assert found is not None
    assert (found.claim.by, str(found)) == ("earlier", "earlier: the first 3 records are not the ones that were there")
    found = contradiction(LogFolder(tmp_path / "log"), [Claim(0, known[1], "of nothing")])
    assert found is not None
    assert contradiction(LogFolder(tmp_path / "log"), [Claim(0, EMPTY_ROOT, "of nothing")]) is None


async def test_a_log_that_was_cut_contradicts_whoever_saw_it_longer(tmp_path):
    await small_log(tmp_path)
    known = roots(lines(tmp_path))
    path, last = files(tmp_path)[-1], lines(tmp_path)[-1]
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-2]) + b"\n")
    found = contradiction(LogFolder(tmp_path / "log"), [Claim(len(known) - 1, known[-1], "an agent")])
    assert found is not None
    assert f"ends after {len(known) - 2}" in found.why
    path.write_bytes(path.read_bytes() + last)
    torn = contradiction(LogFolder(tmp_path / "log"), [Claim(len(known) - 1, known[-1], "an agent")])
    assert torn == found


@pytest.mark.parametrize("n", [0, 1, 7])
async def test_any_changed_record_contradicts_every_later_claim_and_no_earlier_one(tmp_path, n):
    await small_log(tmp_path)
    known = roots(lines(tmp_path))
    for path in files(tmp_path):
        data = path.read_bytes()
        path.write_bytes(data.replace(b'{"n":%d,' % n, b'{"m":%d,' % n, 1))
    for size, root in enumerate(known):
        found = contradiction(LogFolder(tmp_path / "log"), [Claim(size, root, "a test")])
        assert (found is None) == (size <= n)


async def test_a_long_look_tells_how_far_it_is(tmp_path):
    await long_log(tmp_path, 4_200, queue_records_max=5_000)
    told: list[int] = []
    contradiction(LogFolder(tmp_path / "log"), [Claim(4_150, roots(lines(tmp_path))[4_150], "a test")], told.append)
    assert told == [4_096]


@pytest.mark.parametrize("roots_only", [False, True])
async def test_a_pruned_log_is_still_held_to_what_was_seen_of_it(tmp_path, roots_only):
    await small_log(tmp_path, calls=10)
    folder = LogFolder(tmp_path / "log")
    known = [Claim(size, root, "a test") for size, root in enumerate(roots(lines(tmp_path)))]
    cut = folder.segment_list()[3][0]
    await pruned(tmp_path, cut, roots_only=roots_only)
    begins = comparable_from(folder)
    assert begins == (cut if roots_only else 0)
    assert contradiction(folder, known[begins:]) is None
    for claim in known[begins:]:
        found = contradiction(folder, [Claim(claim.size, b"\x07" * 32, "another")])
        assert found is not None
    if roots_only:
        return
    path = folder.leaves_of(0)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert contradiction(folder, known[-1:]) is not None
    path.write_bytes(b"x")
    assert contradiction(folder, known[-1:]) is not None
    path.unlink()
    assert comparable_from(folder) == cut


async def test_hashes_made_up_for_what_was_pruned_are_not_believed(tmp_path):
    """Whoever rewrote the log could leave, of what is gone, the hashes of the history that others have seen."""
    for name, calls in (("seen", 10), ("other", 9)):
        await small_log(tmp_path / name, calls=calls)
    seen, other = (LogFolder(tmp_path / name / "log") for name in ("seen", "other"))
    known = roots(lines(tmp_path / "seen"))
    cut = other.segment_list()[3][0]
    assert seen.segment_list()[3][0] == cut
    for name in ("seen", "other"):
        await pruned(tmp_path / name, cut)
    for path in seen.segments.glob("*.leaves"):
        (other.segments / path.name).write_bytes(path.read_bytes())
    found = contradiction(other, [Claim(2, known[2], "a witness"), Claim(cut, known[cut], "a witness")])
    assert found is not None
    assert "not those that the log goes on from" in found.why
