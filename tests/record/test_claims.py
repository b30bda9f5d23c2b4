import pytest

from gateway.record import Claim, contradiction
from gateway.record.folder import LogFolder
from gateway.record.tree import EMPTY_ROOT
from tests.record.test_leaves import long_log, roots
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
