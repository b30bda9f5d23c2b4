"""One of several workers of a gateway: what its supervisor gives it, its part of the limits, and how each hears of the others.

Every worker listens on a private Unix socket and tells whoever connects how it is; the supervisor listens on another and tells how all are.
One JSON object, then the end: there is nothing to parse but JSON, and nothing to frame.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from gateway.canonical import Json, JsonError, dumps, loads_trusted
from gateway.config.model import Limits, Settings, ToolSettings

ANSWER_TIMEOUT_S = 5.0
Limited = TypeVar("Limited", Limits, ToolSettings)
DIVIDED = (
    "connections_max",
    "in_flight_max",
    "in_flight_per_agent_max",
    "calls_per_minute_per_agent",
    "refusals_sampled_per_window",
    "token_failures_per_minute",
    "tokens_per_minute_per_agent",
)
DIVIDED_OF_A_TOOL = ("connections_max", "in_flight_max")


@dataclass(frozen=True, slots=True)
class Share:
    """What a supervisor gives a worker. `agents` and `admin` are inherited listening sockets; `folder` is where the private sockets are."""

    number: int
    workers: int
    agents: int
    admin: int
    folder: str
    log_socket: str

    def __str__(self) -> str:
        return dumps(asdict(self)).decode()

    @classmethod
    def parse(cls, text: str) -> Share:
        return cls(**loads_trusted(text.encode()))

    @property
    def own_socket(self) -> Path:
        return Path(self.folder) / f"worker-{self.number}"

    @property
    def supervisor(self) -> Path:
        return Path(self.folder) / "supervisor"

    def of(self, settings: Settings) -> Settings:
        """The settings as they are for this worker. Limits that are counted in memory are divided, so that all workers together keep to them."""
        return replace(
            settings,
            log=replace(settings.log, socket=Path(self.log_socket)),
            limits=self._part(settings.limits, DIVIDED),
            tools={name: self._part(tool, DIVIDED_OF_A_TOOL) for name, tool in settings.tools.items()},
        )

    def _part(self, limits: Limited, names: tuple[str, ...]) -> Limited:
        return replace(limits, **{name: math.ceil(getattr(limits, name) / self.workers) for name in names})


Condition = tuple[str, Mapping[str, Json]]
"""How a worker is, or all of them: metrics as they are exposed, and what `/readyz` shows."""
Place = tuple[str, int] | socket.socket


def bound(share: Share | None, settings: Settings) -> tuple[Place, Place]:
    """Where to listen for agents and for the admin: sockets that the supervisor bound, or the addresses of the settings."""
    if share is None:
        return (settings.agents.host, settings.agents.port), (settings.admin.host, settings.admin.port)
    return socket.socket(fileno=share.agents), socket.socket(fileno=share.admin)


async def tell(path: Path, condition: Callable[[], Condition | Awaitable[Condition]]) -> asyncio.Server:
    """Answer whoever connects to `path`, which must be in a folder that no other user can enter."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = condition()
        metrics, readiness = await found if isinstance(found, Awaitable) else found
        writer.write(dumps({"metrics": metrics, "readiness": dict(readiness)}))
        writer.close()

    return await asyncio.start_unix_server(answer, path)


async def ask(path: Path) -> Condition | None:
    """How the one behind `path` is; None when it does not say so in time."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                found = loads_trusted(await reader.read(-1))
            finally:
                writer.close()
        return found["metrics"], found["readiness"]
    except (OSError, TimeoutError, JsonError, KeyError, TypeError):
        return None
