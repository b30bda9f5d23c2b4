"""`vault:MOUNT/PATH#FIELD`: a secret in a key-value store (version 2) of the deployment's OpenBao or Vault, read again every minute."""

from __future__ import annotations

from gateway.inject.source import Fetched, Need, Parse, Unleased, secret_of
from gateway.inject.vault import Vault, text_field


class VaultSource(Unleased):
    """One field of one path; the first segment of the reference is the mount."""

    kind = "vault"

    def __init__(self, reference: str, vault: Vault, parse: Parse = secret_of) -> None:
        self._parse = parse
        place, _, self._field = reference.partition("#")
        mount, _, path = place.partition("/")
        self._where = f"vault:{reference}"
        self._path = f"{mount}/data/{path}"
        self._vault = vault

    def check(self) -> None:
        """What is there is not known here."""

    def scope(self, need: Need) -> str:  # noqa: ARG002 - the same for everybody
        return ""

    async def fetch(self, need: Need) -> Fetched:  # noqa: ARG002 - the same for everybody
        told = (await self._vault.ask(self._path)).get("data")
        data, metadata = (told.get("data"), told.get("metadata")) if isinstance(told, dict) else (None, None)
        version = metadata.get("version") if isinstance(metadata, dict) else None
        secret = text_field(data, self._field, self._where, self._parse)
        return Fetched(secret, self._vault.settings.keep_s, str(version) if isinstance(version, int) else "")
