"""`portreeve log` on real folders: what it prints, and the exit codes that scripts rely on."""

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from gateway.cli.log import app
from gateway.config.load import load
from gateway.errors import Problem
from gateway.record import LogReader, NoteSigner, open_log
from tests.config.deployments import write
from tests.record.world import ENTITIES, ORIGIN, POLICIES, SCHEMA, files, opened, result

HALTED = {
    "ctx": {"gateway": {"stop": "halted", "detail": "all"}},
    "decision": "deny",
    "reasons": ["gateway:halted"],
    "errors": [],
    "obl": [],
    "shadow": [],
}
WHO = {"agent": "billing", "iss": "https://gw.example", "jti": "t-1", "user": "alice", "act": ["planner"], "run": None}
WHAT = {"tool": "tickets", "op": "refund", "method": "POST", "path": "/refunds", "effect": "write", "door": "http", "peer": "127.0.0.1:5"}
AUTHZ = {
    "p": 'Agent::"billing"',
    "ctx": {"input": {"amount": {"__extn": {"fn": "decimal", "arg": "12.5"}}, "note": "for\u202e you\x1b[2J\n"}, "user": "alice"},
    "ents": ENTITIES.digest,
    "policies": POLICIES.digest,
    "schema": SCHEMA.digest,
    "decision": "allow",
    "reasons": ["small-refunds"],
    "errors": [],
    "obl": [],
}


def run(*words: object):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
async def log(tmp_path):
    """0 log.open, 1 an allowed call, 2 its result, 3 a halted call, 4 log.close."""
    async with opened(tmp_path) as log:
        blobs = (POLICIES, SCHEMA, ENTITIES)
        await log.append("call", {"id": "c1", "who": WHO, "what": WHAT, "authz": AUTHZ, "now": 1, "code": ""}, blobs=blobs)
        more = {
            "tries": [{"u": "127.0.0.1:9", "s": "200", "ms": 3}],
            "bytes": 10,
            "ms": 4,
            "code": "",
            "cred": {"name": "k", "kind": "header", "fp": "ab", "cert": "cd"},
        }
        await log.append("result", result(1, 1) | more)
        await log.append("call", {"id": "c2", "who": WHO, "what": WHAT, "authz": HALTED, "now": 1, "code": "denied"})
    (tmp_path / "key").write_text(f"{NoteSigner.open(tmp_path / 'keys').key(ORIGIN)}\n")
    return tmp_path


def at(folder, *, key: bool = True) -> list:
    return ["--log", folder / "log", *(["--key", folder / "key"] if key else [])]


def test_a_sound_log_verifies_with_exit_code_0(log):
    done = run("verify", *at(log))
    assert done.exit_code == 0
    assert done.stdout.startswith("ok ")
    assert ORIGIN in done.stdout
    report = json.loads(run("verify", *at(log), "--json").stdout)
    assert (report["ok"], report["size"], report["unsigned"]) == (True, 5, 0)


@pytest.mark.parametrize("level", ["chain", "root", "full"])
def test_a_changed_byte_gives_exit_code_1_and_its_place(log, level):
    path = files(log)[0]
    path.write_bytes(path.read_bytes().replace(b'"http":200', b'"http":500'))
    done = run("verify", *at(log), "--level", level, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["first_bad"] == 3
    assert "TAMPERED" in run("verify", *at(log)).stdout


def test_what_is_missing_gives_exit_code_3_and_a_wrong_key_4(log):
    (log / "other").write_text(f"{NoteSigner.open(log / 'other-keys').key(ORIGIN)}\n")
    assert run("verify", "--log", log / "log", "--key", log / "other").exit_code == 4
    assert run("verify", "--log", log / "log", "--key", log / "none").exit_code == 4
    next((log / "log" / "objects").rglob("*.zst")).unlink()
    assert run("verify", *at(log)).exit_code == 3


def test_a_log_without_a_key_from_elsewhere_is_not_verified_at_all(log):
    done = run("verify", *at(log, key=False))
    assert done.exit_code == 2
    assert "--key" in done.stderr


def test_a_pin_is_written_and_kept_to(log):
    assert run("verify", *at(log), "--pin", log / "pin").exit_code == 0
    assert (log / "pin").read_bytes() == (log / "log" / "checkpoint").read_bytes()


def test_show_prints_a_record_for_people_and_its_exact_bytes_for_machines(log):
    assert '"op": "refund"' in run("show", 1, *at(log, key=False)).stdout
    raw = run("show", 1, *at(log, key=False), "--json").stdout_bytes
    assert raw == files(log)[0].read_bytes().split(b"\n")[1] + b"\n"
    with pytest.raises(Problem, match="no record 99"):
        run("show", 99, *at(log, key=False))


def test_tail_prints_the_newest_records_a_line_each(log):
    lines = run("tail", *at(log, key=False), "-n", 3).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "3", "4"]
    assert "deny" in lines[1]
    assert len(run("tail", *at(log, key=False)).stdout.splitlines()) == 5
    raw = run("tail", *at(log, key=False), "-n", 2, "--json").stdout_bytes
    assert raw.splitlines() == files(log)[0].read_bytes().split(b"\n")[3:5]


def test_following_a_log_whose_signature_is_forged_stops(log):
    path = log / "log" / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n5\n", b"\n6\n"))
    done = run("tail", *at(log), "-f")
    assert done.exit_code == 4
    assert "checkpoint" in done.stderr


def test_a_broken_line_is_told_without_a_traceback(log):
    path = files(log)[0]
    path.write_bytes(path.read_bytes().replace(b'{"n":1', b"{n:1"))
    for command in (["show", 1], ["tail"], ["explain", 1], ["replay"]):
        done = run(*command, *at(log, key=False))
        assert done.exit_code == 1
        assert "portreeve log verify" in done.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_explain_tells_who_what_why_and_what_came_of_it(log, number):
    done = run("explain", number, *at(log, key=False))
    assert done.exit_code == 0
    for part in (
        "ALLOWED",
        "billing for user alice delegated by planner",
        "tickets/refund",
        'amount = "12.5"',
        "small-refunds",
        "refunds.cedar:1",
        "permit(principal",
        "HTTP 200",
        "credential k (header, ab, certificate cd)",
    ):
        assert part in done.stdout, part


def test_what_an_agent_wrote_cannot_move_the_cursor_of_its_reader(log):
    for command in (["explain", 1], ["tail"], ["show", 1]):
        text = run(*command, *at(log, key=False)).stdout
        assert "\x1b" not in text
        if command[0] != "show":
            assert "\u202e" not in text


def test_explain_says_when_nothing_was_sent(log):
    text = run("explain", 3, *at(log, key=False)).stdout
    assert "DENIED" in text
    assert "nothing was sent" in text
    story = json.loads(run("explain", 3, *at(log, key=False), "--json").stdout)
    assert (story["outcome"], story["authz"]["reasons"]) == (None, ["gateway:halted"])


def test_explain_wants_a_call(log):
    with pytest.raises(Problem, match=r"no call but a log.open"):
        run("explain", 0, *at(log, key=False))


def test_the_checkpoint_is_printed_as_it_was_signed_and_only_when_it_verifies(log):
    assert run("checkpoint", *at(log)).stdout_bytes == (log / "log" / "checkpoint").read_bytes()
    found = json.loads(run("checkpoint", *at(log), "--json").stdout)
    assert (found["origin"], found["size"], found["keys"]) == (ORIGIN, 5, [(log / "key").read_text().strip()])
    path = log / "log" / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n5\n", b"\n4\n"))
    assert run("checkpoint", *at(log)).exit_code == 4


def test_replay_tells_same_from_different_from_missing(log):
    """Record 1 has no schema that a policy engine could use, so it must not pass as recomputed; record 3 needs none."""
    done = run("replay", *at(log, key=False), "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (found["decisions"], found["same"], found["differ"], found["missing"]) == (2, 1, 1, 0)
    assert found["differences"][0]["n"] == 1
    for path in (log / "log" / "objects").rglob("*.zst"):
        path.unlink()
    done = run("replay", *at(log, key=False))
    assert done.exit_code == 3
    assert "1 identical, 0 different, 1 without their inputs" in done.stdout


async def test_a_decision_that_comes_out_otherwise_is_shown(tmp_path):
    async with opened(tmp_path) as log:
        await log.append("call", {"id": "c", "authz": HALTED | {"decision": "allow"}, "code": ""})
    done = run("replay", "--log", tmp_path / "log")
    assert done.exit_code == 1
    assert "DIFFERENT" in done.stdout
    assert '"decision": "deny"' in done.stdout


async def test_a_deployment_names_its_log_and_its_key(tmp_path):
    folder = write(tmp_path)
    settings = load(folder)
    log = await open_log(settings.log, NoteSigner.open(settings.keys))
    await log.close()
    assert run("verify", "-C", folder).exit_code == 0
    assert run("tail", "-C", folder).exit_code == 0
    assert settings.log.origin in run("checkpoint", "-C", folder).stdout
    # another log put in its place, signed by the same key under another name
    other = await open_log(dataclasses.replace(settings.log, folder=tmp_path / "other", origin="gw.example/other"), NoteSigner.open(settings.keys))
    await other.close()
    settings.log.folder.rename(tmp_path / "away")
    (tmp_path / "other").rename(settings.log.folder)
    assert LogReader(settings.log.folder).origin == "gw.example/other"
    assert run("verify", "-C", folder).exit_code == 1
    with pytest.raises(Problem):
        run("tail", "-C", folder)
