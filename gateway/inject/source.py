"""The seam for where upstream secrets come from, chosen by URI scheme."""

from __future__ import annotations

from typing import Protocol

from gateway.secret import Secret

SECRET_BYTES_MAX = 64 * 1024


class Unreadable(Exception):  # noqa: N818 - a finding about a deployment, not an error of ours
    """The secret cannot be had now. `reason` says precisely why, `remedy` what to do; neither ever quotes any part of the secret."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class CredentialSource(Protocol):
    """Where one secret is kept.

    `fetch` MUST return the same Secret object for as long as the secret is unchanged (so that what is derived from it may be kept), MUST raise
    Unreadable when it cannot be had (never return an old value for one that was withdrawn), MUST NOT return an empty text, one longer than
    SECRET_BYTES_MAX bytes of UTF-8 or one with a control character, and MUST NOT block for longer than reading a small local file.
    It MUST NOT put any part of the secret into an error, nor keep a reference to the text outside a Secret.
    """

    kind: str

    def fetch(self) -> Secret: ...


def secret_of(raw: bytes, where: str) -> Secret:
    """Make a secret of what was read, without its trailing newline. Raises Unreadable for what could not be sent as it stands."""
    if len(raw) > SECRET_BYTES_MAX:
        raise Unreadable(f"{where} is larger than {SECRET_BYTES_MAX} bytes", "store the credential alone, nothing else")
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not raw:
        raise Unreadable(f"{where} is empty", "store the credential there")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(f"{where} is not UTF-8", "store the credential as plain text") from None  # the cause quotes the bytes
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        # a line break in a secret would end the header field and start one of its own
        raise Unreadable(f"{where} holds a control character", "store the credential alone on one line")
    return Secret(text)
