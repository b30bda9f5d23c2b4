"""Refusals without a record of their own are summed up, and a flood of them stays small."""

import json

import pytest

from gateway.call import ToolCall
from gateway.config.model import Limits, LogSettings
from gateway.errors import Refusal
from gateway.record import NoteSigner, open_log
from gateway.refusals import KEYS_MAX, RefusalSummary
from gateway.secret import Secret

TOKEN = "CANARY-token"


@pytest.fixture
async def log(tmp_path):
    opened = await open_log(
        LogSettings(tmp_path / "log", "summary.test/log", reserve_bytes=4096, low_water_bytes=0), NoteSigner.open(tmp_path / "keys")
    )
    yield opened
    await opened.close()


def records(tmp_path):
    lines = b"".join(f.read_bytes() for f in sorted((tmp_path / "log" / "log").glob("*.jsonl"))).split(b"\n")
    return [r for r in map(json.loads, filter(None, lines)) if r["k"] == "refusals"]


def call(n=0):
    return ToolCall(f"id-{n}", "http", "tickets", "GET", "/", "", (), Secret(TOKEN), None, "127.0.0.9")


async def test_one_window_becomes_one_record_with_counts_and_samples(log, tmp_path):
    summary = RefusalSummary(log, Limits(refusal_window_s=60, refusals_sampled_per_window=2))
    for n in range(5):
        summary.add(Refusal("invalid_token", reason="expired 3 s ago"), call=call(n))
    summary.add(Refusal("malformed_request", reason="a bare LF"), peer="127.0.0.8")
    await summary.close()
    [record] = records(tmp_path)
    assert record["total"] == 6
    assert record["by"] == {"invalid_token: expired 3 s ago": 5, "malformed_request: a bare LF": 1}
    assert [s["id"] for s in record["samples"]] == ["id-0", "id-1"]
    assert record["samples"][0]["peer"] == "127.0.0.9"


async def test_the_token_is_named_by_a_digest_and_never_written(log, tmp_path):
    summary = RefusalSummary(log, Limits(refusal_window_s=60))
    summary.add(Refusal("invalid_token", reason="x"), call=call())
    await summary.close()
    [record] = records(tmp_path)
    assert TOKEN not in json.dumps(record)
    assert len(record["samples"][0]["token"]) == 12


async def test_reasons_that_a_stranger_can_vary_do_not_grow_the_record(log, tmp_path):
    summary = RefusalSummary(log, Limits(refusal_window_s=60))
    for n in range(5_000):
        summary.add(Refusal("invalid_token", reason=f"{n} " + "x" * 10_000), call=call(n))
    await summary.close()
    [record] = records(tmp_path)
    assert len(record["by"]) <= KEYS_MAX + 1
    assert sum(record["by"].values()) == record["total"] == 5_000
    assert record["by"]["invalid_token: other"] == 5_000 - KEYS_MAX
    assert len(json.dumps(record)) < 60_000


async def test_a_quiet_window_writes_nothing(log, tmp_path):
    summary = RefusalSummary(log, Limits(refusal_window_s=60))
    await summary.close()
    assert records(tmp_path) == []
