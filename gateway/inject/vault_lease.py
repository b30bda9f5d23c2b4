"""`[credential.NAME.vault]`: a secret that an engine makes for one chain of delegation alone, renewed while it is used and given back after."""

from __future__ import annotations

from typing import Any

from gateway.config.sources import LeaseSettings
from gateway.inject.source import Fetched, Need, Unreachable
from gateway.inject.vault import Vault, text_field

_LIFE_S = 60.0
"""For an answer without a lease: such a secret does not end by itself, and is read again."""


class LeaseSource:
    """Leases of one path."""

    kind = "vault"

    def __init__(self, settings: LeaseSettings, vault: Vault) -> None:
        self._settings = settings
        self._vault = vault

    def check(self) -> None:
        """What is there is not known here."""

    def scope(self, need: Need) -> str:  # noqa: ARG002 - the path says all
        return self._settings.path

    async def fetch(self, need: Need) -> Fetched:  # noqa: ARG002 - who it is for is the key it is kept by
        told = await self._vault.ask(self._settings.path)
        lease = told.get("lease_id")
        try:
            secret = text_field(told.get("data"), self._settings.field, self._settings.path)
            user = text_field(told.get("data"), self._settings.user_field, self._settings.path) if self._settings.user_field else None
        except Unreachable:
            if isinstance(lease, str) and lease:
                await self._vault.ask("sys/leases/revoke", {"lease_id": lease})
            raise
        return Fetched(secret, self._life_s(told), lease=lease if isinstance(lease, str) else "", user=user)

    async def renew(self, fetched: Fetched) -> Fetched | None:
        """The same secret for longer, or None where its longest life is near."""
        if not fetched.lease:
            return None
        try:
            told = await self._vault.ask("sys/leases/renew", {"lease_id": fetched.lease})
        except Unreachable:  # some leases cannot be renewed, and all end once
            return None
        life_s = self._life_s(told)
        return Fetched(fetched.secret, life_s, lease=fetched.lease, user=fetched.user) if life_s > (fetched.life_s or 0.0) / 3 else None

    def _life_s(self, told: dict[str, Any]) -> float:
        """A lease ends with the token that made it, if not before."""
        life_s = told.get("lease_duration")
        return min(float(life_s) if isinstance(life_s, int) and life_s > 0 else _LIFE_S, self._vault.left_s)

    async def give_back(self, fetched: Fetched) -> None:
        await self._vault.ask("sys/leases/revoke", {"lease_id": fetched.lease})
