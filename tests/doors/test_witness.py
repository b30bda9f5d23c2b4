"""The witness over HTTP, on our own strict server."""

import asyncio
import contextlib
import hashlib

import httpx2
import pytest

from gateway.doors.server import serve
from gateway.doors.witness import WITNESS_LIMITS, witness_app
from gateway.record import Witness
from tests.record.test_witness import COSIGNER, ORIGIN, SIGNER, note_of, request

HASH = hashlib.sha256(ORIGIN.encode()).hexdigest()


@pytest.fixture
async def client(tmp_path):
    said: list[str] = []
    with contextlib.closing(Witness(tmp_path, COSIGNER, {ORIGIN: (SIGNER.key(ORIGIN),)})) as witness:
        server = await serve(witness_app(witness, said.append), ("127.0.0.1", 0), WITNESS_LIMITS, on_refusal=lambda *_: None)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as found:
            found.said = said
            yield found
        await server.stop(0)


async def test_a_checkpoint_is_cosigned_and_shown_to_whoever_asks(client):
    assert (await client.get(f"/{HASH}/checkpoint")).status_code == 404
    answer = await client.post("/add-checkpoint", content=request(0, 5))
    assert (answer.status_code, answer.text.startswith(f"— {COSIGNER.key.name} ")) == (200, True)
    shown = await client.get(f"/{HASH}/checkpoint")
    assert (shown.status_code, shown.content) == (200, note_of(5) + answer.content)
    assert (await client.get("/" + "0" * 64 + "/checkpoint")).status_code == 404


async def test_a_conflict_names_the_size_in_its_own_type(client):
    await client.post("/add-checkpoint", content=request(0, 5))
    answer = await client.post("/add-checkpoint", content=request(0, 9))
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (409, "5\n", "text/x.tlog.size")


async def test_other_methods_paths_and_bodies_are_refused(client):
    assert (await client.get("/add-checkpoint")).status_code == 405
    assert (await client.post("/", content=b"")).status_code == 404
    assert (await client.post("/add-checkpoint", content=bytes(70_000))).status_code == 413

    async def much():
        for _ in range(70):
            yield bytes(1_000)

    assert (await client.post("/add-checkpoint", content=much())).status_code == 413
    assert (await client.post("/add-checkpoint", content=b"")).status_code == 400


async def test_a_disk_that_fails_is_told_to_the_operator_and_nothing_is_cosigned(client, tmp_path):
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").write_bytes(b"")
    answer = await client.post("/add-checkpoint", content=request(0, 5))
    assert (answer.status_code, len(client.said)) == (503, 1)
    assert COSIGNER.key.name not in answer.text


async def test_many_at_once_are_answered_one_after_another(client):
    answers = await asyncio.gather(*(client.post("/add-checkpoint", content=request(0, size)) for size in range(1, 9)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
