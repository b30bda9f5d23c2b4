"""A second attempt with another secret, after the tool would not take the first one: it may have been withdrawn before its time."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from gateway.call import Answer, Body, Grant

UNAUTHORIZED = 401


def may_renew(grant: Grant, body: Body | None) -> bool:
    """Whether sending the request twice does no more than sending it once, and can be done: a body that streamed is gone."""
    return body is None and grant.secret is not None and grant.permit.invocation.operation.effect in ("read", "idempotent_write")


async def again(refused: Answer, forward: Awaitable[Answer]) -> Answer:
    """Give the first answer up and bring the second one, with the attempts of both. Raises Refusal as `forward` does."""
    if not isinstance(refused.body, bytes):
        await refused.body.aclose()
    answer = await forward
    return replace(answer, attempts=(*refused.attempts, *answer.attempts))
