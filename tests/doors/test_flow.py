"""Back-pressure is switched, not counted, and nobody waits for a peer that is gone."""

from __future__ import annotations

import asyncio

from gateway.doors.flow import FlowControl


class Transport:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")


def test_reading_is_paused_and_resumed_once():
    transport = Transport()
    flow = FlowControl(transport)
    for step in (flow.resume_reading, flow.pause_reading, flow.pause_reading, flow.resume_reading, flow.resume_reading):
        step()
    assert transport.asked == ["pause", "resume"]


async def test_drain_waits_until_the_peer_takes_bytes_again_and_a_cancelled_waiter_disturbs_no_other():
    flow = FlowControl(Transport())
    await flow.drain()
    flow.pause_writing()
    waiting = [asyncio.ensure_future(flow.drain()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not waiting[1].done()
    flow.resume_writing()
    await waiting[1]
    assert not flow.write_paused
