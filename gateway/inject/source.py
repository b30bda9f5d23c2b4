"""The seam for where upstream secrets come from, chosen by URI scheme or by the table that describes the source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.call import Effect, Identity
from gateway.canonical import Json
from gateway.credential import ClientCertificate
from gateway.secret import Secret

SECRET_BYTES_MAX = 64 * 1024
Parse = Callable[[bytes, str], Secret]
"""Makes a secret of what was read, which the text tells the place of. Raises Unreadable."""


class Unreadable(Exception):  # noqa: N818 - a finding about a deployment, not an error of ours
    """The secret cannot be had now. `reason` says precisely why, `remedy` what to do; neither ever quotes any part of the secret."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Unreachable(Unreadable):
    """The service that hands it out does not, whoever asks: it is left alone for a while."""


@dataclass(frozen=True, slots=True)
class Need:
    """For whom a secret is wanted, for what, and with which arguments of the call, as they were validated."""

    identity: Identity
    operation: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    effect: Effect = "destructive"

    @property
    def whose(self) -> tuple[str, ...]:
        """Everybody whom a secret was fetched for, by the names that tell one chain of delegation from another."""
        who = self.identity
        return who.agent, who.issuer, who.subject, who.user or "", *who.actors


@dataclass(frozen=True, slots=True)
class Fetched:
    """A secret as it was handed out. `life_s` is how long it is good for from now; None for one that is looked at anew each time.

    `version` tells the log which one it was, where the source counts them. `lease` is what gives it back, empty where nothing does. `user` is the name
    that belongs to it, where the source makes that, too. `key` belongs to it where requests are signed: it is never sent, so no answer can echo it.
    `certificate` says what the secret is, where it is one with its key.
    """

    secret: Secret
    life_s: float | None = None
    version: str = ""
    lease: str = field(default="", repr=False)
    user: Secret | None = None
    key: Secret | None = None
    certificate: ClientCertificate | None = None


class CredentialSource(Protocol):
    """Where one secret is kept, or who hands it out.

    `fetch` MUST return the same Secret object for as long as the secret is unchanged, where `life_s` is None (so that what is derived from it may
    be kept), MUST raise Unreadable when it cannot be had for this need and Unreachable when it cannot be had for any (never return an old value for
    one that was withdrawn), MUST NOT return an empty text, one longer than SECRET_BYTES_MAX bytes of UTF-8 or one with a control character, and MUST
    NOT block the loop for longer than reading a small local file. It MUST NOT put any part of a secret into an error, nor keep a reference to the text
    outside a Secret. What it returns with a `life_s` is kept by `Kept`, never by the source.

    `scope` says what of the need the secret is narrowed to, as a canonical text; it raises Unreadable for arguments that nothing may be narrowed to.
    `renew` makes one that has a lease last longer, or gives None where that cannot be done.
    `check` raises Unreadable for what is already known to be wrong here, and asks no other service. `give_back` ends a secret early, if it can;
    it MUST NOT raise anything but Unreadable.
    """

    kind: str

    def check(self) -> None: ...

    def scope(self, need: Need) -> str: ...

    async def fetch(self, need: Need) -> Fetched: ...

    async def renew(self, fetched: Fetched) -> Fetched | None: ...

    async def give_back(self, fetched: Fetched) -> None: ...


class Unleased:
    """What sources share whose secrets end by themselves, or never."""

    async def renew(self, fetched: Fetched) -> Fetched | None:
        """There is no lease."""

    async def give_back(self, fetched: Fetched) -> None:
        """There is nothing to end."""


class LocalSource(Unleased):
    """What sources on this machine share: nothing is narrowed."""

    def scope(self, need: Need) -> str:  # noqa: ARG002 - the seam's
        return ""


def scope_hash(scope: str) -> str:
    """How the log names what a secret was narrowed to; empty for one that is not."""
    return hashlib.sha256(scope.encode()).hexdigest()[:16] if scope else ""


def secret_of(raw: bytes, where: str) -> Secret:
    """Make a secret of what was read, without its trailing newline. Raises Unreadable for what could not be sent as it stands."""
    text = _text_of(raw, where)
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        # a line break in a secret would end the header field and start one of its own
        raise Unreadable(f"{where} holds a control character", "store the credential alone on one line")
    return Secret(text)


def key_of(raw: bytes, where: str) -> Secret:
    """The same of a key in PEM, which has lines and is never sent."""
    return Secret(_text_of(raw, where))


def _text_of(raw: bytes, where: str) -> str:
    if len(raw) > SECRET_BYTES_MAX:
        raise Unreadable(f"{where} is larger than {SECRET_BYTES_MAX} bytes", "store the credential alone, nothing else")
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not raw:
        raise Unreadable(f"{where} is empty", "store the credential there")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(f"{where} is not UTF-8", "store the credential as plain text") from None  # the cause quotes the bytes
