"""What one of several workers gets: its part of the limits, and the word of its supervisor."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.worker import Share, ask, bound, tell
from tests.config.deployments import write

SHARE = Share(1, 3, 5, 6, "/run/x", "/run/x/log")


def test_a_share_survives_the_command_line():
    assert Share.parse(str(SHARE)) == SHARE


def test_all_workers_together_keep_to_the_limits_and_each_may_do_something(tmp_path):
    settings = load(write(tmp_path))
    part = SHARE.of(settings)
    assert part.log.socket == Path("/run/x/log")
    for name in ("connections_max", "in_flight_max", "in_flight_per_agent_max", "calls_per_minute_per_agent"):
        whole, mine = getattr(settings.limits, name), getattr(part.limits, name)
        assert whole <= 3 * mine < whole + 3
    assert part.limits.body_bytes_max == settings.limits.body_bytes_max
    for name, tool in settings.tools.items():
        assert tool.in_flight_max <= 3 * part.tools[name].in_flight_max < tool.in_flight_max + 3
        assert part.tools[name].total_timeout_s == tool.total_timeout_s
    lonely = SHARE.of(replace(settings, limits=replace(settings.limits, in_flight_max=1)))
    assert lonely.limits.in_flight_max == 1


def test_without_a_supervisor_the_settings_say_where_to_listen(tmp_path):
    settings = load(write(tmp_path))
    assert bound(None, settings) == ((settings.agents.host, settings.agents.port), (settings.admin.host, settings.admin.port))


async def test_how_a_worker_is_comes_over_a_private_socket(tmp_path):
    server = await tell(tmp_path / "w", lambda: ("x" * 1_000_000, {"ready": True}))
    try:
        assert await ask(tmp_path / "w") == ("x" * 1_000_000, {"ready": True})
    finally:
        server.close()


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"metrics":"x"}', b"\xff"])
async def test_an_answer_that_is_none_is_no_answer(tmp_path, answer):
    async def say(_reader, writer):
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(say, tmp_path / "w")
    try:
        assert await ask(tmp_path / "w") is None
        assert await ask(tmp_path / "nobody") is None
    finally:
        server.close()
