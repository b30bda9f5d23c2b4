"""All upstreams of a deployment: one bulkhead, breaker, retry budget and pool for each tool, so that a broken one harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from gateway.call import Answer, Body, Grant
from gateway.config.model import ToolSettings
from gateway.errors import Refusal
from gateway.forward.answer import Sieve
from gateway.forward.breaker import Breaker, OnChange, State
from gateway.forward.bulkhead import Bulkhead
from gateway.forward.certified import Certified
from gateway.forward.client import open_transport
from gateway.forward.forwarding import Forwarding, Sleep
from gateway.forward.pool import Origin
from gateway.forward.request import outgoing
from gateway.forward.retry import Budget
from gateway.leave import Leave

_RELOADED_RETRY_AFTER_S = 1


class Upstream:
    """What stands between the gateway and one tool."""

    def __init__(self, tool: ToolSettings, on_echo: Callable[[], None], on_change: OnChange) -> None:
        self.tool = tool
        self.origin = Origin.of(tool.url)
        self.transport = open_transport(tool)
        self.certified = Certified(tool)
        self.breaker = Breaker(tool, self.origin.authority, on_change)
        # no more calls than connections, so that the pool itself never has to make anyone wait
        self.bulkhead = Bulkhead(min(tool.in_flight_max, tool.connections_max), tool.queue_timeout_s)
        self.budget = Budget(tool.retry_budget_ratio, tool.retry_budget_floor_per_s, asyncio.get_running_loop().time())
        self.sieve = Sieve(tool, self.origin, urlsplit(tool.url).path.rstrip("/"), on_echo)

    async def aclose(self) -> None:
        await self.transport.aclose()
        await self.certified.aclose()


class Upstreams:
    """The upstreams in force. `open` needs a running event loop; `close` ends what is idle and lets exchanges under way end."""

    def __init__(self, on_echo: Callable[[], None], on_change: OnChange, sleep: Sleep) -> None:
        self._on_echo = on_echo
        self._on_change = on_change
        self._sleep = sleep
        self._upstreams: dict[str, Upstream] = {}

    @classmethod
    def open(
        cls,
        tools: Mapping[str, ToolSettings],
        *,
        on_echo: Callable[[], None] = lambda: None,
        on_change: OnChange = lambda tool, host, state: None,  # noqa: ARG005 - the names tell what a listener gets
        sleep: Sleep = asyncio.sleep,
    ) -> Upstreams:
        """`on_echo` is called when an answer held the credential, `on_change` when a breaker changes its state. Connects to nothing yet."""
        upstreams = cls(on_echo, on_change, sleep)
        for name, tool in tools.items():
            upstreams._upstreams[name] = Upstream(tool, on_echo, on_change)
        return upstreams

    async def forward(self, grant: Grant, *, body: Body | None = None, deadline: float, leave: Leave | None = None) -> Answer:
        """Send the grant's request and bring its answer. `body` is the request body to stream when the grant has none.

        `deadline` is in seconds of the event loop's clock: for everything up to the answer's head, and all of a short answer. Raises Refusal
        (upstream_*, circuit_open, overloaded) with the attempts made and what is known of the outcome, and whatever `body` raises. When `leave`
        is taken back before that, nothing more is sent and its refusal is raised; without one it never is.
        """
        upstream = self._upstreams.get(grant.tool)
        if upstream is None or (grant.scheme, grant.host, grant.port) != (upstream.origin.scheme, upstream.origin.host, upstream.origin.port):
            raise Refusal("overloaded", reason="the tool's settings changed while the call was on its way", retry_after_s=_RELOADED_RETRY_AFTER_S)
        return await Forwarding(upstream, grant, outgoing(grant, body), deadline, leave or Leave()).run(self._sleep)

    async def replace(self, tools: Mapping[str, ToolSettings]) -> None:
        """Put other settings in force. A tool whose settings are the same keeps its connections and its breaker; the others' drain."""
        before = self._upstreams
        self._upstreams = {
            name: before[name] if name in before and before[name].tool == tool else Upstream(tool, self._on_echo, self._on_change)
            for name, tool in tools.items()
        }
        for name, upstream in before.items():
            if self._upstreams.get(name) is not upstream:
                await upstream.aclose()

    def breakers(self) -> Mapping[str, State]:
        """The state of each tool's breaker."""
        return {name: upstream.breaker.state for name, upstream in self._upstreams.items()}

    async def close(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.aclose()
