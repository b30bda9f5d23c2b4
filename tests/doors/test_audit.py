"""The log over HTTP for auditors: what is given out is proven, and what is asked is bounded."""

import asyncio
import contextlib
import threading

import httpx2
import pytest

from gateway.config.model import Limits
from gateway.doors.admin import admin_app
from gateway.doors.audit import WAITING_MAX, Audit
from gateway.doors.server import serve
from gateway.metrics import Metrics
from gateway.record import LogFolder, LogReader, Prover, check_proof, open_own_checkpoint
from gateway.record.tree import leaf_hash
from tests.record.test_pruning import pruned
from tests.record.world import files, keys, lines, opened, plain, small_log

HOSTS = frozenset({"127.0.0.1"})


@contextlib.asynccontextmanager
async def listening(folder, open_prover=None):
    audit = Audit(open_prover or (lambda: Prover(LogReader(folder / "log"), keys(folder))), HOSTS)
    app = admin_app(Metrics(), lambda: {"ready": True}, audit.routes())
    server = await serve(app, ("127.0.0.1", 0), Limits(), on_refusal=lambda *_: None)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=20) as client:
        yield client
    await server.stop(0)
    await audit.close()


@pytest.fixture
async def client(tmp_path):
    await small_log(tmp_path)
    async with listening(tmp_path) as found:
        yield found


async def test_the_newest_checkpoint_a_record_and_its_proof_are_served(client, tmp_path):
    checkpoint = await client.get("/log/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert open_own_checkpoint(checkpoint.content, keys(tmp_path)).size == len(lines(tmp_path))
    for n, line in enumerate(lines(tmp_path)):
        proof = check_proof((await client.get(f"/log/proof/{n}")).content, keys(tmp_path))
        record = await client.get(f"/log/records/{n}")
        assert (proof.n, proof.record) == (n, line)
        assert (record.content, record.headers["content-type"], record.headers["cache-control"]) == (line + b"\n", "application/json", "no-store")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/log/records/999999", 404, "unknown_record"),
        ("/log/proof/999999", 404, "unknown_record"),
        ("/log/records/-1", 404, "unknown_record"),
        ("/log/records/01", 404, "unknown_record"),
        ("/log/records/1e3", 404, "unknown_record"),
        ("/log/records/%D9%A1", 404, "unknown_record"),
        ("/log/records/99999999999999999999", 404, "unknown_record"),
        ("/log/records/1?x=1", 400, "malformed_query"),
        ("/log/checkpoint?x=1", 400, "malformed_query"),
    ],
)
async def test_what_is_not_there_is_a_problem_in_json(client, path, status, code):
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (status, "application/problem+json", code)


async def test_calls_are_found_by_the_filters_of_the_command_line(client, tmp_path):
    found = (await client.get("/log/query")).json()
    assert [call["n"] for call in found["calls"]] == [n for n in range(len(lines(tmp_path)) - 1, -1, -1) if b'"k":"call"' in lines(tmp_path)[n]]
    assert found["before"] is None
    newest = (await client.get("/log/query?limit=1&decision=allow&reason=small-refunds&status=ok")).json()
    assert newest["calls"] == found["calls"][:1]
    older = (await client.get(f"/log/query?limit=2&before={newest['before']}")).json()
    assert older["calls"] == found["calls"][1:3]
    assert (await client.get("/log/query?agent=nobody")).json() == {"calls": [], "before": None}
    t = found["calls"][0]["t"]
    assert (await client.get(f"/log/query?since_t={t + 1}")).json()["calls"] == []


@pytest.mark.parametrize(
    "query",
    ["agent=", "agent", "agent=a&agent=b", "who=a", "limit=0", "limit=1001", "limit=-1", "limit=1e2", "since_t=7d", "before=99999999999999999999"],
)
async def test_a_query_has_one_form_and_a_limit(client, query):
    answer = await client.get(f"/log/query?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_query")


async def test_a_web_page_cannot_read_the_log_under_a_name_of_its_own(client):
    for path in ("/log/checkpoint", "/log/records/1", "/log/proof/1", "/log/query"):
        answer = await client.get(path, headers={"host": "evil.example:9090"})
        assert (answer.status_code, answer.json()["code"]) == (421, "misdirected_request")


async def test_nothing_is_written_or_posted(client):
    for path in ("/log/checkpoint", "/log/records/1", "/log/proof/1", "/log/query"):
        assert (await client.post(path)).status_code == 405
    assert (await client.get("/log/")).status_code == 404
    assert (await client.get("/log/records/../../keys")).status_code == 404


async def test_a_log_that_was_changed_is_not_given_out_as_if_it_were_sound(client, tmp_path):
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"call-0", b"call-7"))
    answer = await client.get("/log/proof/1")
    assert (answer.status_code, "verify it" in answer.json()["detail"]) == (500, True)


async def test_a_log_that_cannot_be_read_is_asked_for_again_later(tmp_path):
    async with listening(tmp_path) as client:
        assert (await client.get("/log/checkpoint")).status_code == 503
        async with opened(tmp_path) as log:
            await log.append("call", plain(1))
        assert (await client.get("/log/checkpoint")).status_code == 200
        (tmp_path / "log" / "checkpoint").write_bytes(b"nothing\n")
        assert (await client.get("/log/checkpoint")).status_code == 503


async def test_questions_wait_for_one_another_and_too_many_are_turned_away_while_health_is_answered(tmp_path):
    await small_log(tmp_path)
    gate = threading.Event()

    def slow() -> Prover:
        gate.wait(20)
        return Prover(LogReader(tmp_path / "log"), keys(tmp_path))

    async with listening(tmp_path, slow) as client:
        asked = [asyncio.create_task(client.get("/log/checkpoint")) for _ in range(WAITING_MAX + 4)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {503}
        assert (await client.get("/healthz")).status_code == 200
        gate.set()
        answers = [(await task).status_code for task in asked]
    assert (answers.count(200), answers.count(503)) == (WAITING_MAX, 4)


async def test_a_record_that_was_pruned_is_not_there_any_more(tmp_path):
    await small_log(tmp_path, calls=10)
    cut = LogFolder(tmp_path / "log").segment_list()[3][0]
    await pruned(tmp_path, cut)
    async with listening(tmp_path) as client:
        for path in ("/log/records/1", "/log/proof/1"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (404, "unknown_record", "Record 1 was pruned")
        assert (await client.get(f"/log/proof/{cut}")).status_code == 200
        assert all(call["n"] >= cut for call in (await client.get("/log/query")).json()["calls"])


async def test_a_record_that_was_changed_with_the_index_is_not_given_out(client, tmp_path):
    assert (await client.get("/log/records/1")).status_code == 200
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"call-0", b"call-7"))
    (tmp_path / "log" / "idx" / "hashes.0").write_bytes(b"".join(leaf_hash(line) for line in lines(tmp_path)))
    assert (await client.get("/log/records/1")).status_code == 500
