"""A form body, read strictly: each parameter once, percent-encoding exact, everything small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from gateway.declined import Declined

FORM_BYTES_MAX = 65_536
PARAMETERS_MAX = 32
TYPE = "application/x-www-form-urlencoded"

_PART = re.compile(r"(?:[A-Za-z0-9*._~+!'()$,:;/?@-]|%[0-9A-Fa-f]{2})*")
_NAME = re.compile(r"[a-z_]{1,64}")
_VALUE = re.compile(r"[ -~]*")


def read_form(raw: bytes) -> Mapping[str, str]:
    """The parameters by name; one without value counts as absent (RFC 6749 section 3.2). Raises Declined("invalid_request")."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise _malformed("a byte beyond ASCII") from error
    parts = text.split("&") if text else []
    if len(parts) > PARAMETERS_MAX:
        raise _malformed(f"more than {PARAMETERS_MAX} parameters")
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not _PART.fullmatch(name) or not _PART.fullmatch(value):
            raise _malformed("a parameter that is not NAME=VALUE, percent-encoded")
        name, value = _decoded(name), _decoded(value)
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _malformed("a name or value with characters that no parameter has")
        if name in found:
            raise Declined("invalid_request", f"The parameter {name} comes twice.")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def _decoded(part: str) -> str:
    return unquote_to_bytes(part.replace("+", " ")).decode("latin-1")


def _malformed(why: str) -> Declined:
    return Declined("invalid_request", f"The form holds {why}.")
