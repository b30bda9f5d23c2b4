"""The ways to one tool that a client certificate opens: one for each, so that no connection which one of them opened carries another's calls."""

from __future__ import annotations

import asyncio
import ssl

from gateway.config.model import ToolSettings
from gateway.credential import ClientCertificate
from gateway.errors import Refusal
from gateway.forward.client import open_transport
from gateway.forward.exchange import Transport

KEPT_MAX = 4
"""Certificates with connections of their own: the one in use, and those that calls under way may still have with them."""

_Key = tuple[str, str]


class Certified:
    """Opens a transport when a certificate is first seen. The authorities are read then, in a thread: that takes a tenth of a second."""

    def __init__(self, tool: ToolSettings) -> None:
        self._tool = tool
        self._transports: dict[_Key, Transport] = {}
        self._opening = asyncio.Lock()

    async def of(self, certificate: ClientCertificate) -> Transport:
        """Raises Refusal credential_unavailable for one that TLS will not take; nothing was sent then."""
        key = (certificate.credential, certificate.fingerprint)
        found = self._transports.get(key)
        if found is not None:
            return found
        async with self._opening:
            found = self._transports.get(key)
            return found if found is not None else await self._open(key, certificate)

    async def _open(self, key: _Key, certificate: ClientCertificate) -> Transport:
        try:
            opened = await asyncio.to_thread(open_transport, self._tool, certificate=certificate)
        except ssl.SSLError as error:
            why = f"TLS does not take the certificate of {certificate.credential}: {error.reason}"
            raise Refusal("credential_unavailable", reason=why, outcome="refused") from None
        for other in self._transports.values():
            other.drain()
        while len(self._transports) >= KEPT_MAX:
            self._transports.pop(next(iter(self._transports)))
        self._transports[key] = opened
        return opened

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
