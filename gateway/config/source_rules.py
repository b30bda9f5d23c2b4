"""The rules of the tables that describe what hands out credentials; part of the table of settings."""

from __future__ import annotations

import re

from gateway.config import kinds
from gateway.config.kinds import Fault
from gateway.config.rule import Rule

_SCOPE = re.compile(r"[!#-\[\]-~]{1,256}")  # RFC 6749 section 3.3
_PLAIN = re.compile(r"[!#-\[\]-~]{1,512}")


def scope(text: str) -> str:
    """One scope of OAuth."""
    if not _SCOPE.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a scope", 'write each scope as a text of its own: scopes = ["crm.read"]')
    return text


def plain(text: str) -> str:
    """A client, audience or resource: printable, without blanks and quotes."""
    if not _PLAIN.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a plain name or URL", "write it as the other service has it, without blanks")
    return text


OAUTH2 = {
    "token_url": Rule("URL of the token endpoint.", text=kinds.tool_url),
    "client_id": Rule("The gateway's client there.", text=plain),
    "client_auth": Rule("How the client proves itself: its secret in HTTP Basic or in the form, or an assertion that its key signs (RFC 7523)."),
    "client_secret": Rule("Where the client's secret is kept, as in `secret`.", text=kinds.secret_reference),
    "client_key": Rule("File with the client's private key in PEM: RSA, P-256 or Ed25519.", path="file"),
    "grant": Rule("What is asked for: a token of the client itself, or one in exchange (RFC 8693) for what the gateway says of user and agent."),
    "subject": Rule("In whose name a token is exchanged: of the user that the agent acts for, or of the agent."),
    "scopes": Rule("Scopes that are asked for; an answer with others is refused.", text=scope),
    "audience": Rule("The service the token is for, by name.", text=plain),
    "resource": Rule("The service the token is for, by URL (RFC 8707).", text=plain),
    "ca_file": Rule("Authorities (PEM) that the endpoint's certificate is checked against, in place of the system's.", path="file"),
    "timeout_s": Rule("Longest wait for an answer.", 0.1, 10),
}
