"""How a secret stands in the request."""

from __future__ import annotations

import base64
from urllib.parse import quote

from gateway.config.model import CredentialSettings
from gateway.config.sources import MADE_USER
from gateway.inject.source import Unreadable
from gateway.secret import Secret


def place(settings: CredentialSettings, secret: Secret, user: Secret | None = None) -> Secret:
    """The secret as it stands in the request: a header's value, or a query parameter with its name. `user` is the name that came with it. Raises Unreadable."""
    text = secret.reveal()
    if settings.query:
        return Secret(f"{quote(settings.query, safe='')}={quote(text, safe='')}")
    if settings.basic_user is not None:
        name = user.reveal() if user is not None and settings.basic_user == MADE_USER else settings.basic_user
        return Secret("Basic " + base64.b64encode(f"{name}:{text}".encode()).decode("ascii"))
    if not text.isascii() or text != text.strip():
        raise Unreadable("the secret cannot stand in a header: it is not ASCII, or has a space at an end", "store the credential alone")
    return Secret(settings.format.replace("{secret}", text))
