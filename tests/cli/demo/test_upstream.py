"""The demo's upstream behaves like somebody else's service: it guards itself, keeps its own record, and fails when told to."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from gateway.cli.demo.upstream import FLAKY_FAILURES

KEY = "upstream-key-for-tests"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upstream")
    (folder / "key").write_text(KEY)
    command = [sys.executable, "-m", "gateway.cli.demo.upstream", "--folder", str(folder), "--key-file", str(folder / "key")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Upstream(folder, json.loads(process.stdout.readline()))
        finally:
            process.terminate()


class Upstream:
    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.folder, self.ports = folder, ports

    def __call__(self, method: str, path: str, *, name: str = "api", key: str = KEY, **rest) -> httpx2.Response:
        return httpx2.request(
            method, f"http://127.0.0.1:{self.ports[name]}{path}", headers={"x-api-key": key} if key else {}, trust_env=False, **rest
        )


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x"])
def test_a_call_without_its_own_key_is_refused(upstream, key):
    assert upstream("GET", "/tickets", key=key).status_code == 401


def test_tickets_are_listed_by_status_and_within_the_limit(upstream):
    found = upstream("GET", "/tickets?status=open&limit=1").json()["tickets"]
    assert [ticket["id"] for ticket in found] == ["T-1003"]


def test_a_ticket_is_made_read_commented_and_deleted(upstream):
    made = upstream("POST", "/tickets", json={"title": "new", "body": "text"})
    assert made.status_code == 201
    place = f"/tickets/{made.json()['id']}"
    assert upstream("POST", f"{place}/comments", json={"text": "seen"}).status_code == 201
    assert upstream("GET", place).json()["comments"][0]["text"] == "seen"
    assert upstream("DELETE", place).status_code == 204
    assert upstream("GET", place).status_code == 404


def test_a_refund_is_made_and_read_back(upstream):
    made = upstream("POST", "/refunds", json={"ticket_id": "T-1001", "amount": 30, "currency": "EUR", "reason": "twice"})
    assert made.status_code == 201
    assert upstream("GET", f"/refunds/{made.json()['id']}").json()["amount"] == 30


def test_a_body_that_is_no_object_with_the_right_members_is_refused(upstream):
    for body in (b"", b"[]", b"{", b'{"ticket_id":"T-1"}'):
        assert upstream("POST", "/refunds", content=body).status_code == 400


def test_the_export_is_streamed_as_csv(upstream):
    answer = upstream("GET", "/export")
    assert answer.text.splitlines()[0] == "id,status,priority"
    assert "content-length" not in answer.headers


def test_the_flaky_listener_fails_first_and_then_answers(upstream):
    found = [upstream("GET", "/tickets?limit=7", name="flaky").status_code for _ in range(FLAKY_FAILURES + 1)]
    assert found == [503] * FLAKY_FAILURES + [200]


def test_the_flaky_path_fails_as_often_as_it_is_asked_for_each_key(upstream):
    found = [upstream("GET", "/flaky?key=a&times=1").status_code for _ in range(2)]
    assert [*found, upstream("GET", "/flaky?key=b&times=1").status_code] == [503, 200, 503]


def test_nothing_answers_on_the_dead_port(upstream):
    with pytest.raises(httpx2.ConnectError):
        upstream("GET", "/tickets", name="dead")


def test_the_control_port_makes_the_next_calls_fail(upstream):
    assert upstream("POST", "/control", name="control", json={"fail": 1}).json() == {"fail": 1, "stall_s": 0.0}
    assert [upstream("GET", "/tickets").status_code for _ in range(2)] == [503, 200]
    assert upstream("POST", "/control", name="control", json={"fail": "many"}).status_code == 400


def test_every_request_stands_in_its_own_record(upstream):
    upstream("GET", "/tickets?limit=3")
    with contextlib.closing(sqlite3.connect(upstream.folder / "upstream.sqlite")) as db:
        seen = db.execute("select method, headers from seen where path = '/tickets?limit=3'").fetchall()
    assert seen[0][0] == "GET"
    assert ["x-api-key", KEY] in json.loads(seen[0][1])
