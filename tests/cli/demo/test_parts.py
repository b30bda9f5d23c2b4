"""The small parts of the demo: its deployment, its look into the log, the bit it flips, what it reads from an answer."""

from __future__ import annotations

import json
import stat

import pytest

from gateway.cli.demo.aftermath import tamper
from gateway.cli.demo.agents import understood
from gateway.cli.demo.deployment import ADMIN_ADDRESS, AGENTS_ADDRESS, KEY_FILE, UPSTREAMS, free_ports, write_deployment
from gateway.cli.demo.records import call_record, result_record
from gateway.config.load import load
from gateway.config.model import LogSettings
from gateway.record import NoteSigner, open_log

PORTS = {"api": 20_001, "flaky": 20_002, "dead": 20_003, "control": 20_004}


@pytest.fixture
def deployment(tmp_path):
    write_deployment(tmp_path / "deployment", "the-upstreams-key", PORTS)
    return tmp_path / "deployment"


def test_the_sample_is_moved_to_the_demos_ports(deployment):
    settings = load(deployment)
    assert settings.tools["tickets"].url == "http://127.0.0.1:20001"
    assert settings.tools["flaky"].url == "http://127.0.0.1:20002"
    assert settings.tools["dead"].url == "http://127.0.0.1:20003"
    assert settings.credentials["tickets-key"].hosts == ("127.0.0.1:20001",)
    assert settings.agents.port != settings.admin.port
    assert settings.url == f"http://127.0.0.1:{settings.agents.port}"


def test_no_fixed_port_of_the_sample_is_left(deployment):
    text = (deployment / "gateway.toml").read_text()
    assert not [address for address in (AGENTS_ADDRESS, ADMIN_ADDRESS, *UPSTREAMS.values()) if address in text]


def test_the_upstreams_key_is_readable_by_its_owner_alone(deployment):
    file = deployment / KEY_FILE
    assert file.read_text().strip() == "the-upstreams-key"
    assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


def test_free_ports_differ():
    assert len(set(free_ports(20))) == 20


@pytest.fixture
async def log_folder(tmp_path):
    log = await open_log(LogSettings(tmp_path / "log", "demo.test/log"), NoteSigner.open(tmp_path / "keys"))
    receipt = await log.append("call", {"id": "a", "authz": {"decision": "allow", "reasons": ["p1"]}})
    await log.append("result", {"call": receipt.n, "id": "a", "tries": [{"u": "x", "s": "200", "ms": 1}]})
    await log.close()
    return tmp_path / "log", receipt.n


async def test_a_call_and_its_result_are_found_by_the_number_of_the_decision(log_folder):
    folder, n = log_folder
    assert call_record(folder, n)["authz"]["reasons"] == ["p1"]
    assert len(result_record(folder, n)["tries"]) == 1


async def test_one_bit_is_flipped_in_the_copy_and_none_in_the_log(log_folder, tmp_path):
    folder, _ = log_folder
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    tamper(folder, tmp_path / "copy")
    assert {file: file.read_bytes() for file in before} == before
    changed = [file for file, raw in before.items() if (tmp_path / "copy" / file.relative_to(folder)).read_bytes() != raw]
    assert len(changed) == 1
    flipped = zip(before[changed[0]], (tmp_path / "copy" / changed[0].relative_to(folder)).read_bytes(), strict=True)
    assert sum((a ^ b).bit_count() for a, b in flipped) == 1


def test_a_refusal_is_read_from_its_problem_and_its_decision_number():
    body = json.dumps({"code": "denied", "detail": "no"}).encode()
    answer = understood(403, {"content-type": "application/problem+json", "portreeve-decision": "gw/x#17;ab"}, body)
    assert (answer.code, answer.detail, answer.n) == ("denied", "no", 17)


def test_an_answer_of_the_upstream_has_no_code():
    answer = understood(404, {"content-type": "application/json"}, b'{"code": "denied"}')
    assert (answer.code, answer.n) == ("", None)
