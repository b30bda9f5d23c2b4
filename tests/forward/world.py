"""What the tests of inject and forward share: permits without a policy engine, settings without a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from gateway.call import Answer, Basis, Blob, Body, Grant, Headers, Identity, Invocation, Operation, Permit, ToolCall
from gateway.config.model import CredentialSettings, Limits, Listener, LogSettings, Settings, ToolSettings
from gateway.forward import Upstreams
from gateway.forward.exchange import Incoming
from gateway.inject import Credentials

SECRET = "CANARY-s3cr3t/with+odd=chars"


class Chunks:
    """A request body that comes in parts."""

    def __init__(self, *parts: bytes, length: int | None = None) -> None:
        self.parts = parts
        self.length = length
        self.iterated = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        self.iterated += 1
        for part in self.parts:
            await asyncio.sleep(0)
            yield part


def permit(
    path: str = "/a",
    *,
    tool: str = "t",
    method: str = "GET",
    query: str = "",
    headers: Headers = (),
    effect: str = "read",
    body: bytes | None = None,
) -> Permit:
    call = ToolCall("id", "http", tool, method, path, query, headers, None, Chunks(length=0), "127.0.0.1")
    operation = Operation(tool, "op", method, path, effect)
    blob = Blob.of(b"{}")
    return Permit(
        Invocation(call, operation, {}, query, body, "application/json" if body is not None else None),
        Identity("a", "i", "agent:a", "t", "k", "aud", 1),
        Basis("p", "a", "r", b"{}", blob, blob, blob, "e", "allow"),
    )


def settings(folder: Path, tools: tuple[ToolSettings, ...] = (), credentials: tuple[CredentialSettings, ...] = ()) -> Settings:
    listener = Listener("127.0.0.1", 0)
    return Settings(
        folder=folder,
        name="g",
        url="http://gateway.example",
        agents=listener,
        admin=listener,
        log=LogSettings(folder / "log", "o"),
        limits=Limits(),
        policies=folder,
        identities=folder,
        keys=folder / "keys",
        tools={t.name: t for t in tools},
        credentials={c.name: c for c in credentials},
    )


def at_once(work: Coroutine[Any, Any, Grant]) -> Grant:
    """What a coroutine comes to that waits for nothing, as that of a secret on this machine must not."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise AssertionError("it waited")


def grant(tool: ToolSettings, folder: Path | None = None, *, given: Permit | None = None, secret: str | None = None, **more) -> Grant:
    """A grant as inject makes it; with a credential in `x-api-key` when a secret is given."""
    given = given or permit(tool=tool.name, **more)
    if secret is None:
        return at_once(Credentials.load(settings(Path("/nonexistent"), (tool,))).inject(given, tool))
    assert folder
    file = folder / "secret"
    file.write_text(secret)
    file.chmod(0o600)
    credential = CredentialSettings("c", ("127.0.0.1",), f"file:{file}", header="x-api-key")
    return at_once(Credentials.load(settings(folder, (tool,), (credential,))).inject(given, tool))


async def forward(upstreams: Upstreams, granted: Grant, *, body: Body | None = None, within_s: float = 20) -> Answer:
    return await upstreams.forward(granted, body=body, deadline=asyncio.get_running_loop().time() + within_s)


async def whole(answer: Answer | Incoming) -> bytes:
    if isinstance(answer.body, bytes):
        return answer.body
    return b"".join([chunk async for chunk in answer.body])


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)
