"""`show` and `explain` say whether what they show is what was signed."""

import json

import pytest

from gateway.config.load import load
from gateway.record import NoteSigner, open_log
from tests.cli.test_log import AUTHZ, WHAT, WHO, at, run
from tests.config.deployments import write
from tests.record.test_verify import forge, hide_a_failure
from tests.record.world import ENTITIES, ORIGIN, POLICIES, SCHEMA, files, opened, result

CALL = {"id": "c1", "who": WHO, "what": WHAT, "authz": AUTHZ, "now": 1, "code": ""}


@pytest.fixture
async def log(tmp_path):
    async with opened(tmp_path) as log:
        await log.append("call", CALL, blobs=(POLICIES, SCHEMA, ENTITIES))
        await log.append("result", result(1, 1))
    (tmp_path / "key").write_text(f"{NoteSigner.open(tmp_path / 'keys').key(ORIGIN)}\n")
    return tmp_path


COMMANDS = [["show", 1], ["explain", 1], ["explain", 2]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_signed_record_is_verified_under_the_newest_checkpoint(log, command):
    done = run(*command, *at(log))
    assert done.exit_code == 0
    assert "verified under checkpoint 4" in done.stdout
    assert "not verified: there is no key" in run(*command, *at(log, key=False)).stdout


def test_machines_are_told_too(log):
    assert json.loads(run("explain", 1, *at(log), "--json").stdout)["standing"] == {"verified": True, "checkpoint": 4, "why": ""}
    done = run("show", 1, *at(log), "--json")
    assert done.stdout_bytes == files(log)[0].read_bytes().split(b"\n")[1] + b"\n"
    assert "verified under checkpoint 4" in done.stderr


@pytest.mark.parametrize("warm", [False, True])
def test_a_record_that_was_changed_is_shown_and_said_to_be_changed(log, warm):
    """Also when the index of hashes was made before the change, and knows the record that was signed."""
    if warm:
        run("show", 1, *at(log))
    forge(log, hide_a_failure)
    done = run("show", 2, *at(log))
    assert done.exit_code == 1
    assert '"http": 500' in done.stdout
    assert "not verified" in done.stdout


def test_a_signature_by_another_key_verifies_nothing(log):
    (log / "key").write_text(f"{NoteSigner.open(log / 'other').key(ORIGIN)}\n")
    done = run("show", 1, *at(log))
    assert done.exit_code == 1
    assert "not verified" in done.stdout


async def test_a_record_that_is_not_signed_yet_is_not_verified(tmp_path):
    async with opened(tmp_path, checkpoint_records=1_000) as log:
        await log.append("call", CALL, blobs=(POLICIES, SCHEMA, ENTITIES))
        (tmp_path / "key").write_text(f"{NoteSigner.open(tmp_path / 'keys').key(ORIGIN)}\n")
        done = run("show", 1, *at(tmp_path))
        assert done.exit_code == 0
        assert "no checkpoint covers it yet" in done.stdout
        assert "verified under checkpoint 1" in run("show", 0, *at(tmp_path)).stdout


async def test_a_deployment_s_own_key_is_at_hand(tmp_path):
    folder = write(tmp_path)
    settings = load(folder)
    log = await open_log(settings.log, NoteSigner.open(settings.keys))
    await log.close()
    assert "verified under checkpoint 2" in run("show", 0, "-C", folder).stdout
