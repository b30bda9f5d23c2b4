import asyncio

import pytest

from gateway.errors import Problem
from gateway.record import LogReader
from gateway.record.erasure import erase, look
from tests.record.test_seals import decisions, redactor, written  # noqa: F401 - a fixture
from tests.record.world import settings, verified


async def test_nothing_sealed_is_nothing_to_erase_and_leaves_no_record(tmp_path):
    assert look(settings(tmp_path), tmp_path / "keys", "user:zoe") == (0, 0)
    assert erase(settings(tmp_path), tmp_path / "keys", "user:zoe", "why").receipt is None
    assert not (tmp_path / "log").exists()


def apart(function, *given):
    """In a thread without a loop, as a command runs it."""
    return asyncio.to_thread(function, *given)


async def test_an_erasure_that_was_stopped_after_the_keys_is_finished_by_the_next(tmp_path, redactor):  # noqa: F811
    await written(tmp_path, redactor, count=2)
    redactor._keyring.destroy("user:zoe")
    done = await apart(erase, settings(tmp_path), tmp_path / "keys", "user:zoe", "why")
    assert (done.keys, done.calls) == (1, 2)
    again = await apart(erase, settings(tmp_path), tmp_path / "keys", "user:zoe", "why")
    assert again.receipt is None
    assert [r.kind for r in LogReader(tmp_path / "log").records()].count("erase") == 1


async def test_the_log_stays_valid_and_the_payload_is_gone(tmp_path, redactor):  # noqa: F811
    await written(tmp_path, redactor, count=2)
    before = verified(tmp_path)
    await apart(erase, settings(tmp_path), tmp_path / "keys", "user:zoe", "why")
    assert verified(tmp_path).ok
    assert verified(tmp_path).size > before.size
    assert [found.why for found in decisions(tmp_path)] == ["erased", "erased"]
    assert b'"s":{' not in b"".join(path.read_bytes() for path in (tmp_path / "log" / "payload").iterdir())


async def test_another_subject_is_left_alone(tmp_path, redactor):  # noqa: F811
    await written(tmp_path, redactor)
    await apart(erase, settings(tmp_path), tmp_path / "keys", "user:somebody", "why")
    assert isinstance(decisions(tmp_path)[0], dict)


async def test_under_a_legal_hold_nothing_is_erased(tmp_path, redactor):  # noqa: F811
    await written(tmp_path, redactor)
    (tmp_path / "log" / "hold").write_text("case 12\n")
    with pytest.raises(Problem, match="legal hold"):
        await apart(erase, settings(tmp_path), tmp_path / "keys", "user:zoe", "why")
    assert isinstance(decisions(tmp_path)[0], dict)


@pytest.mark.parametrize("subject", ["zoe", "person:zoe", "user:", "user:a\nb", ""])
def test_what_names_no_subject_is_refused(tmp_path, subject):
    with pytest.raises(Problem, match="no data subject"):
        look(settings(tmp_path), tmp_path / "keys", subject)
