"""`portreeve log export`: into a file or a pipe, all of it or some."""

import json
import stat

import pytest

from gateway.errors import Problem
from tests.cli.test_log import AUTHZ, HALTED, WHAT, WHO, at, files, run
from tests.record.world import ENTITIES, POLICIES, SCHEMA, keys, opened, result


@pytest.fixture
async def log(tmp_path):
    async with opened(tmp_path) as log:
        call = {"id": "c", "who": WHO, "what": WHAT, "authz": AUTHZ, "code": ""}
        await log.append("call", call, blobs=(POLICIES, SCHEMA, ENTITIES))
        await log.append("result", result(1, 1))
        await log.append("call", call | {"authz": HALTED, "code": "denied"})
    (tmp_path / "key").write_text(f"{keys(tmp_path)[0]}\n")
    return tmp_path


def export(folder, form, *words):
    return run("export", *at(folder, key=False), "--format", form, *words)


def test_the_stored_lines_come_out_as_they_are(log):
    done = export(log, "jsonl")
    assert (done.exit_code, done.stdout_bytes) == (0, files(log)[0].read_bytes())
    assert "5 records exported" in done.stderr


def test_some_calls_with_what_came_of_them(log):
    assert [json.loads(line)["n"] for line in export(log, "jsonl", "--decision", "allow").stdout.splitlines()] == [1, 2]
    assert [
        json.loads(line)["n"] for line in export(log, "jsonl", "--agent", "billing", "--user", "alice", "--tool", "tickets").stdout.splitlines()
    ] == [1, 2, 3]
    assert export(log, "jsonl", "--since", "2999-01-01").stdout == ""
    assert len(export(log, "jsonl", "--until", "2999-01-01").stdout.splitlines()) == 5


@pytest.mark.parametrize(("form", "lines"), [("ocsf", 3), ("otlp", 1), ("cloudevents", 5), ("csv", 6)])
def test_a_file_is_for_its_owner_and_has_its_name_when_it_is_whole(log, form, lines):
    to = log / "out"
    assert export(log, form, "--to", to).exit_code == 0
    assert to.read_bytes() == export(log, form).stdout_bytes
    assert len(to.read_bytes().splitlines()) == lines
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    with pytest.raises(Problem, match="there already"):
        export(log, form, "--to", to)
    path = files(log)[0]
    path.write_bytes(path.read_bytes().replace(b'{"n":3', b"{n:3"))
    assert export(log, form, "--to", log / "other").exit_code == 1
    assert [found.name for found in log.iterdir() if found.name.startswith("other")] == []


def test_what_a_form_does_not_have_is_counted(log):
    assert "3 records exported; 2 records of kinds that ocsf has no form for left out" in export(log, "ocsf").stderr


def test_tiles_need_a_folder_and_a_key_and_no_selection(log):
    words = ["export", *at(log), "--format", "tiles"]
    assert run(*words, "--to", log / "tiles").exit_code == 0
    assert (log / "tiles" / "checkpoint").read_bytes() == (log / "log" / "checkpoint").read_bytes()
    assert run(*words).exit_code == 2
    assert run(*words, "--to", log / "tiles", "--agent", "billing").exit_code == 2
    assert export(log, "tiles", "--to", log / "tiles").exit_code == 2
    path = files(log)[0]
    path.write_bytes(path.read_bytes().replace(b'"http":200', b'"http":500'))
    assert run(*words, "--to", log / "more").exit_code == 1
