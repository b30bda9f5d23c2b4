"""An issuer's key endpoint that a test makes fail, wait, or change its keys, and a Kubernetes API that reviews tokens."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.simulators.upstreams import Seen, answer


@dataclass
class IssuerWorld:
    """What the issuer answers now. `asked` counts the requests for keys; `reviews` are the TokenReviews that were asked for."""

    jwks: dict[str, Any]
    status: int = 200
    cache_control: str = "max-age=300"
    delay_s: float = 0.0
    body: bytes | None = None
    asked: int = 0
    review: dict[str, Any] | None = None
    reviews: list[dict[str, Any]] = field(default_factory=list)
    review_headers: list[str | None] = field(default_factory=list)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.delay_s)
        if seen.method == "POST":
            self.reviews.append(json.loads(seen.body))
            self.review_headers.append(seen.header("authorization"))
            writer.write(answer(self.status, json.dumps({"kind": "TokenReview", "status": self.review}).encode()))
            return
        self.asked += 1
        body = json.dumps(self.jwks).encode() if self.body is None else self.body
        writer.write(answer(self.status, body, f"Cache-Control: {self.cache_control}"))
