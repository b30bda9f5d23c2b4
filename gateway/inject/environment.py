"""`env:NAME`: a secret from the process environment, read once when the deployment is loaded."""

from __future__ import annotations

import os

from gateway.config.model import Settings
from gateway.config.sources import OAuth2Settings
from gateway.inject.source import Fetched, LocalSource, Need, Unreadable, secret_of


class EnvironmentSource(LocalSource):
    """A secret in an environment variable. A later change of the variable has no effect: a process cannot be given a new environment."""

    kind = "env"

    def __init__(self, name: str) -> None:
        self._found: Fetched | Unreadable
        where = f"environment variable {name}"
        value = os.environ.get(name)
        if value is None:
            self._found = Unreadable(f"{where} is not set", f"set {name} before the start, or use file:PATH")
            return
        try:
            self._found = Fetched(secret_of(os.fsencode(value), where))
        except Unreadable as unreadable:
            self._found = unreadable

    def check(self) -> None:
        self.take()

    async def fetch(self, need: Need) -> Fetched:  # noqa: ARG002 - the same for everybody
        return self.take()

    def take(self) -> Fetched:
        """The secret as it was at the start. Raises Unreadable."""
        if isinstance(self._found, Unreadable):
            raise Unreadable(self._found.reason, self._found.remedy)
        return self._found


def without_secrets(settings: Settings) -> dict[str, str]:
    """This process's environment without what `env:` credentials of the deployment read from it: for processes that need none of them."""
    references = [credential.secret for credential in settings.credentials.values()]
    references += [c.source.client_secret for c in settings.credentials.values() if isinstance(c.source, OAuth2Settings)]
    names = {reference.removeprefix("env:") for reference in references if reference is not None and reference.startswith("env:")}
    return {name: value for name, value in os.environ.items() if name not in names}
