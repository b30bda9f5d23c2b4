"""The management API of a RabbitMQ, as far as an engine of a vault needs it: users are made and ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.simulators.upstreams import Seen, answer


@dataclass
class Broker:
    """`users` are those that there are now."""

    users: set[str] = field(default_factory=set)
    made: int = 0

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        kind, _, name = seen.target.removeprefix("/api/").partition("/")
        if kind == "users" and seen.method == "PUT":
            self.users.add(unquote(name))
            self.made += 1
        elif kind == "users" and seen.method == "DELETE":
            self.users.discard(unquote(name))
        writer.write(answer(201 if seen.method == "PUT" else 204, b""))
