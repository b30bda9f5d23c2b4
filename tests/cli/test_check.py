"""`portreeve check` says whether a deployment would work, all that is wrong with it, and changes nothing."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
from pathlib import Path

import pytest
import typer

from gateway.canonical import dumps
from gateway.cli.check import check
from gateway.cli.init import write_sample
from gateway.cli.inspection import inspect

SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"
ORIGIN = "sample.localhost/decisions"


@pytest.fixture
def deployment(tmp_path):
    """The sample on ports of its own choosing, so that whoever uses the usual ones does not matter."""
    write_sample(tmp_path / "deployment")
    change(tmp_path / "deployment", "127.0.0.1:8080", "127.0.0.1:0")
    change(tmp_path / "deployment", "127.0.0.1:9090", "127.0.0.1:0")
    return tmp_path / "deployment"


def change(folder: Path, old: str, new: str, file: str = "gateway.toml") -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(f'address = "{old}', f'address = "{new}') if old[0].isdigit() else text.replace(old, new))


def failed(folder: Path) -> dict[str, list[str]]:
    """The failed parts, and the codes of all problems."""
    found = inspect(folder)
    return {"parts": [p.name for p in found.parts if p.state == "failed"], "codes": [p.code for p in found.problems]}


def tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*"))


def test_the_sample_is_in_order(deployment):
    found = inspect(deployment)
    assert found.problems == ()
    assert [(p.name, p.state) for p in found.parts] == [
        (name, "ok") for name in ("settings", "identities", "contracts", "policies", "credentials", "keys", "log", "listeners")
    ]


def test_counts_are_shown_for_each_part(deployment):
    details = {p.name: p.detail for p in inspect(deployment).parts}
    assert details["settings"] == "3 tools, 1 credential in 1 file"
    assert "agents" in details["identities"]
    assert "flaky" in details["contracts"]
    assert "rules" in details["policies"]
    assert "cases" in details["policies"]


def test_a_check_changes_nothing(deployment):
    before = tree(deployment)
    inspect(deployment)
    assert tree(deployment) == before


def test_without_settings_nothing_else_is_looked_at(tmp_path):
    found = inspect(tmp_path)
    assert [(p.name, p.state) for p in found.parts] == [("settings", "failed")]
    assert [p.code for p in found.problems] == ["no_deployment"]


def test_problems_of_several_parts_are_shown_together(deployment):
    (deployment / "identities/agents/support-bot.toml").write_text("schema = 2\n")
    (deployment / "var/secrets/tickets.key").chmod(0o644)
    found = inspect(deployment)
    states = {p.name: p.state for p in found.parts}
    assert (states["identities"], states["policies"], states["credentials"]) == ("failed", "skipped", "failed")
    assert (states["contracts"], states["log"]) == ("ok", "ok")


def test_a_contract_that_is_not_one_fails(deployment):
    (deployment / "tools/tickets.openapi.yaml").write_text("openapi: 3.1.0\n")
    assert failed(deployment)["parts"] == ["contracts"]


def test_a_policy_that_does_not_parse_fails(deployment):
    (deployment / "policies/zz.cedar").write_text("\npermit (principal, action,\n")
    found = inspect(deployment)
    assert [p.name for p in found.parts if p.state == "failed"] == ["policies"]
    assert found.problems[0].file == str(deployment / "policies/zz.cedar")
    assert found.problems[0].line


def test_a_case_that_decides_differently_fails(deployment):
    case = {
        "name": "nobody",
        "call": {"agent": "support-bot", "tool": "dead", "operation": "destructive", "arguments": {}},
        "expect": {"decision": "allow"},
    }
    (deployment / "policies/cases/zz.json").write_bytes(dumps({"cases": [case]}))
    assert failed(deployment) == {"parts": ["policies"], "codes": ["case_failed"]}


def test_a_secret_that_is_not_there_fails(deployment):
    (deployment / "var/secrets/tickets.key").unlink()
    found = inspect(deployment)
    assert [p.code for p in found.problems] == ["credential_unreadable"]
    assert found.problems[0].key


def test_a_signing_key_that_others_can_read_fails(deployment):
    keys = deployment / "var/keys"
    keys.mkdir(mode=0o700, parents=True)
    (keys / "active.pem").write_text("x")
    (keys / "active.pem").chmod(0o644)
    assert failed(deployment) == {"parts": ["keys"], "codes": ["key_file_open"]}


def test_a_log_key_that_others_can_read_fails(deployment):
    keys = deployment / "var/keys"
    keys.mkdir(mode=0o700, parents=True)
    (keys / "log.key").write_text("x")
    (keys / "log.key").chmod(0o604)
    assert failed(deployment) == {"parts": ["keys"], "codes": ["log_key"]}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_log_folder_that_cannot_be_written_fails(deployment):
    (deployment / "var/log").mkdir(mode=0o500)
    assert failed(deployment) == {"parts": ["log"], "codes": ["not_writable"]}


def test_a_log_folder_that_is_a_file_fails(deployment):
    (deployment / "var/log").write_text("")
    assert failed(deployment) == {"parts": ["log"], "codes": ["not_writable"]}


def test_a_disk_that_is_almost_full_fails(deployment):
    change(deployment, "[limits]", "[limits]")
    text = (deployment / "gateway.toml").read_text().replace("[log] ", f"[log]\nlow_water_bytes = {2**40} ")
    (deployment / "gateway.toml").write_text(text)
    found = failed(deployment)
    assert found == {"parts": ["log"], "codes": ["disk_low"]} or os.statvfs(deployment).f_bavail * os.statvfs(deployment).f_frsize > 2**40


def test_an_address_that_is_taken_fails(deployment):
    with socket.create_server(("127.0.0.1", 0)) as other:
        change(deployment, "127.0.0.1:0", f"127.0.0.1:{other.getsockname()[1]}")
        text = (deployment / "gateway.toml").read_text()
        head, tail = text.split("[listen.admin]")
        (deployment / "gateway.toml").write_text(head + "[listen.admin]" + tail.replace(f"127.0.0.1:{other.getsockname()[1]}", "127.0.0.1:0"))
        assert failed(deployment) == {"parts": ["listeners"], "codes": ["address_in_use"]}


class Ready(http.server.BaseHTTPRequestHandler):
    """Answers /readyz as a gateway of the given origin does."""

    origin = ORIGIN

    def do_GET(self):
        body = dumps({"ready": True, "log": {"origin": self.origin}})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("origin", "codes"), [(ORIGIN, []), ("other/log", ["address_in_use"])])
def test_addresses_taken_by_this_deployment_s_own_gateway_are_in_order(deployment, origin, codes):
    handler = type("Handler", (Ready,), {"origin": origin})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as admin:
        thread = threading.Thread(target=admin.serve_forever)
        thread.start()
        head, tail = (deployment / "gateway.toml").read_text().split("[listen.admin]")
        (deployment / "gateway.toml").write_text(f"{head}[listen.admin]{tail.replace('127.0.0.1:0', f'127.0.0.1:{admin.server_port}', 1)}")
        found = inspect(deployment)
        admin.shutdown()
        thread.join()
    assert [p.code for p in found.problems] == codes


def test_the_json_form_is_for_machines(deployment, capsys):
    check(deployment, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["problems"], len(found["parts"])) == (True, [], 8)


def test_a_failed_check_exits_with_one_and_shows_file_and_line(deployment, capsys):
    change(deployment, 'risk = "high"', 'risk = "hihg"')
    with pytest.raises(typer.Exit) as caught:
        check(deployment)
    assert caught.value.exit_code == 1
    shown = capsys.readouterr().out
    assert "gateway.toml:" in shown
    assert "[bad_choice]" in shown
    assert "low, medium, high" in shown


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_in_the_settings_is_never_shown(deployment, capsys, as_json):
    change(deployment, "file:var/secrets/tickets.key", SECRET)
    with pytest.raises(typer.Exit):
        check(deployment, as_json=as_json)
    shown = capsys.readouterr()
    assert "inline_secret" in shown.out
    assert SECRET not in shown.out + shown.err


def test_strict_fails_on_what_works_but_should_be_meant(deployment, capsys):
    head, tail = (deployment / "gateway.toml").read_text().split("[listen.admin]")
    (deployment / "gateway.toml").write_text(f"{head}[listen.admin]{tail.replace('127.0.0.1:0', '0.0.0.0:0', 1)}")
    check(deployment)
    assert "admin_open" in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        check(deployment, strict=True)


def test_a_candidate_that_does_not_load_is_a_notice_and_no_failure(deployment):
    change(deployment, 'identities = "identities"', 'candidate = "next"\nidentities = "identities"')
    found = inspect(deployment)
    assert ([n.code for n in found.notices], found.problems) == (["policies_missing"], ())
    (deployment / "next").mkdir()
    (deployment / "next" / "rule.cedar").write_text('@id("open") permit (principal, action == Action::"tickets/exprot", resource);')
    found = inspect(deployment)
    assert found.notices[0].file == str(deployment / "next" / "rule.cedar")
    assert [(p.name, p.state) for p in found.parts if p.name in {"policies", "candidate"}] == [("policies", "ok"), ("candidate", "skipped")]
    change(deployment, "exprot", "export", "next/rule.cedar")
    found = inspect(deployment)
    assert [p.detail for p in found.parts if p.name == "candidate"] == ["1 rule, tried beside those in force"]
    assert found.notices == ()
