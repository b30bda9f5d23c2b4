"""The seam by which the gateway tells another service, under its own signature, who it is or for whom it asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.canonical import Json
from gateway.secret import Secret


class Vouch(Protocol):
    """Signs a statement of the gateway's own for one other service.

    The statement MUST name the gateway as its issuer and `audience` as the only service that may take it, MUST end within a minute, and MUST NOT be
    one that the gateway itself would take for a token. Raises Refusal when the signer cannot be asked.
    """

    async def __call__(self, subject: str, audience: str, more: Mapping[str, Json]) -> Secret: ...
