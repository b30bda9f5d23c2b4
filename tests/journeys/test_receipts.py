"""Every answer to a call that was recorded carries its receipt, whatever became of the call; and every receipt holds against the log."""

import contextlib

import pytest

from gateway.record import LogReader, Prover, ReceiptText, check_proof, parse_keys
from gateway.record.tree import leaf_hash
from tests.journeys.place import load, running, write_place
from tests.simulators import upstreams
from tests.simulators.upstreams import echo, upstream

STREAM = upstreams.pieces(
    b"data: 1\n\n", b"data: 2\n\n", head=b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
FORGED = upstreams.raw(upstreams.answer(200, b"{}", "portreeve-decision: journey.test/log#1;" + "ab" * 32))
BARE = upstreams.raw(upstreams.answer(200, b""))
NOTE = "/tools/notes/notes/7"
LIMITS = "calls_per_minute_per_agent = 3"
CALLS = [
    ("allowed", "GET", "/tools/notes/notes/7", None, 200),
    ("write", "POST", "/tools/notes/notes", {"text": "x"}, 200),
    ("denied", "POST", "/tools/notes/notes", {"text": "x", "stars": 9}, 403),
    ("against the contract", "POST", "/tools/notes/notes", {"stars": 1}, 422),
    ("unmapped", "DELETE", "/tools/notes/notes/7", None, 403),
    ("unknown tool", "GET", "/tools/nothing/x", None, 404),
]


def receipts_hold(folder, receipts: list[str]) -> None:
    settings = load(folder)
    keys = parse_keys((settings.keys / "log.vkey").read_text())
    with contextlib.closing(Prover(LogReader(settings.log.folder), keys)) as prover:
        for text in receipts:
            receipt = ReceiptText.parse(text)
            assert receipt is not None, text
            found = check_proof(bytes(prover.inclusion(receipt.n)), keys)
            assert (found.checkpoint.origin, leaf_hash(found.record)) == (receipt.origin, receipt.leaf)
            assert prover.record(receipt.n).kind == "call"


async def test_every_recorded_decision_comes_with_a_receipt_that_the_log_honours(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            replies = {name: await place.client.request(method, path, json=body) for name, method, path, body, _ in CALLS}
    assert {name: reply.status_code for name, reply in replies.items()} == {name: status for name, _, _, _, status in CALLS}
    receipts = [reply.headers["portreeve-decision"] for reply in replies.values()]
    assert len(set(receipts)) == len(CALLS)
    receipts_hold(tmp_path, receipts)


@pytest.mark.parametrize(
    ("behaviour", "method", "path", "status"),
    [
        (STREAM, "GET", NOTE, 200),
        (FORGED, "GET", NOTE, 200),
        (BARE, "HEAD", "/tools/plain/x", 200),
        (upstreams.resets, "GET", NOTE, 502),
        (upstreams.garbage, "GET", NOTE, 502),
        (upstreams.stalls, "GET", NOTE, 504),
        (upstreams.gzip_bomb(1_000), "GET", NOTE, 502),
    ],
)
async def test_whatever_the_tool_does_the_receipt_is_the_gateways_own(tmp_path, behaviour, method, path, status):
    async with upstream(behaviour) as up:
        write_place(tmp_path, up.port, tool="retries_max = 0\nread_timeout_s = 0.3")
        async with running(tmp_path) as place:
            reply = await place.client.request(method, path, headers={"portreeve-decision": "agent#1;forged"})
            assert reply.status_code == status
            assert len(reply.headers.get_list("portreeve-decision")) == 1
    receipts_hold(tmp_path, [reply.headers["portreeve-decision"]])


async def test_a_refusal_without_a_record_of_its_own_comes_without_a_receipt(tmp_path):
    """Beyond an agent's limit, refusals are summed up: a flood must not fill the disk."""
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits=LIMITS)
        async with running(tmp_path) as place:
            replies = [await place.client.get(NOTE) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    assert ["portreeve-decision" in reply.headers for reply in replies] == [True, True, True, False, False]
    receipts_hold(tmp_path, [reply.headers["portreeve-decision"] for reply in replies[:3]])
