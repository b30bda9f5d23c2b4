"""`env:NAME`: a secret from the process environment, read once when the deployment is loaded."""

from __future__ import annotations

import os

from gateway.inject.source import Unreadable, secret_of
from gateway.secret import Secret


class EnvironmentSource:
    """A secret in an environment variable. A later change of the variable has no effect: a process cannot be given a new environment."""

    kind = "env"

    def __init__(self, name: str) -> None:
        self._found: Secret | Unreadable
        where = f"environment variable {name}"
        value = os.environ.get(name)
        if value is None:
            self._found = Unreadable(f"{where} is not set", f"set {name} before the start, or use file:PATH")
            return
        try:
            self._found = secret_of(os.fsencode(value), where)
        except Unreadable as unreadable:
            self._found = unreadable

    def fetch(self) -> Secret:
        if isinstance(self._found, Unreadable):
            raise Unreadable(self._found.reason, self._found.remedy)
        return self._found
