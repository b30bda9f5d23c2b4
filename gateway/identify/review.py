"""Asks a Kubernetes API whether a service account's token still counts (TokenReview): it also knows of pods and accounts that were deleted."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway import canonical
from gateway.canonical import Json
from gateway.errors import Refusal
from gateway.fetch import Fetcher, FetchError
from gateway.identify.foreign import Proven
from gateway.identify.keysource import bearer
from gateway.identities.issuer import Issuer

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
REMEMBERED_S = 30.0
REMEMBERED_MAX = 4_096
ANSWER_BYTES_MAX = 65_536


class Reviewer:
    """Reviews tokens of one cluster. A yes is remembered for half a minute, a no never. `clock` never goes back."""

    def __init__(self, issuer: Issuer, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._fetcher = fetcher
        self._clock = clock
        self._good_until: OrderedDict[bytes, float] = OrderedDict()

    async def review(self, raw: bytes, proven: Proven) -> None:
        """Raises Refusal("invalid_token") unless the cluster says that the token is good, for us, and the subject's."""
        name = hashlib.sha256(raw).digest()
        if self._good_until.get(name, 0.0) > self._clock():
            return
        status = await self._ask(raw)
        user = status.get("user")
        if status.get("authenticated") is not True or type(user) is not dict:
            raise self._no("the cluster says that the token does not count any more")
        if user.get("username") != proven.subject:
            raise self._no("the cluster says that the token is somebody else's")
        audiences = status.get("audiences")
        if type(audiences) is not list or self._issuer.audience not in audiences:
            raise self._no("the cluster does not say that the token is for this gateway")
        self._good_until[name] = self._clock() + REMEMBERED_S
        if len(self._good_until) > REMEMBERED_MAX:
            self._good_until.popitem(last=False)

    async def _ask(self, raw: bytes) -> dict[str, Json]:
        issuer = self._issuer
        assert issuer.source.token is not None  # the loader saw to it
        question = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": raw.decode("ascii"), "audiences": [issuer.audience]},
        }
        try:
            headers = {"authorization": await asyncio.to_thread(bearer, issuer.source.token), "content-type": "application/json"}
            answer = await self._fetcher.post(issuer.review + PATH, canonical.dumps(question), bytes_max=ANSWER_BYTES_MAX, headers=headers)
            if answer.status not in (200, 201):
                raise self._no(f"the cluster answered the review with status {answer.status}")
            status = canonical.loads(answer.body).get("status")
        except (FetchError, OSError, canonical.JsonError, AttributeError) as error:
            raise self._no(f"the cluster cannot be asked: {str(error)[:120]!a}") from error
        return status if type(status) is dict else {}

    def _no(self, why: str) -> Refusal:
        return Refusal("invalid_token", reason=f"issuer {self._issuer.name}: {why}")
