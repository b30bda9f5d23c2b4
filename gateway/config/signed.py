"""The rules of `[credential.NAME.hmac]`, requests that are signed with the secret instead of carrying it, and what is wrong with such a table by itself.

What is signed is a template of a closed set of parts. It must cover all that makes a call what it is, or a captured signature would be good for
another one; what a service's own scheme leaves out has to be named in `uncovered`, so that somebody has meant it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.config.agreement import Finding
from gateway.config.kinds import Fault, credential_header, looks_secret, quote
from gateway.config.rule import Rule
from gateway.config.sources import HmacSettings

BODY_PARTS = frozenset({"body", "body_sha256", "body_sha256_base64"})
SENT_PARTS = frozenset({"timestamp", "nonce", "key_id", "body_sha256", "body_sha256_base64"})
STRING_PARTS = frozenset({"method", "scheme", "host", "path", "query", "target", "content_type"}) | BODY_PARTS | SENT_PARTS
HEADER_PARTS = SENT_PARTS | {"signature"}
COVERED = {
    "method": frozenset({"method"}),
    "path": frozenset({"path", "target"}),
    "query": frozenset({"query", "target"}),
    "timestamp": frozenset({"timestamp"}),
}
"""What a string must cover, and the parts that do."""
_PART = re.compile(r"\{([a-z0-9_]+)\}")
_STRING_CHARACTERS_MAX, _HEADER_CHARACTERS_MAX, _HEADERS_MAX = 512, 256, 8
_KEY_ID = re.compile(r"[!-~]{1,128}")


def pieces(template: str) -> list[str]:
    """Fixed text and names of parts in turn, beginning and ending with a text, which may be empty."""
    return _PART.split(template)


def parts(template: str) -> frozenset[str]:
    return frozenset(pieces(template)[1::2])


def _template(text: str, known: frozenset[str], characters_max: int, example: str) -> str:
    fixed = "".join(pieces(text)[::2])
    unknown = sorted(parts(text) - known)
    if unknown:
        raise Fault("bad_template", f"{quote(unknown[0])} is not a part", f"use {', '.join(sorted(known))}, each in braces: {example}")
    if "{" in fixed or "}" in fixed or not fixed.isascii() or len(text) > characters_max:
        raise Fault("bad_template", "is not a template: names of parts in braces, and plain text between them", f"write for example {example}")
    if looks_secret(fixed):
        raise Fault("inline_secret", "holds what looks like a key (not shown)", f"leave only fixed words: {example}")
    return text


def signed_string(text: str) -> str:
    """What is signed: it may have lines."""
    found = _template(text, STRING_PARTS, _STRING_CHARACTERS_MAX, r'string = "{timestamp}\n{method}\n{target}\n{body_sha256}"')
    if not found.replace("\n", "").isprintable():
        raise Fault("bad_template", "holds a control character other than a line feed", r"write line breaks as \n")
    return found


def signing_header(text: str) -> str:
    """The value of a header that carries the signature, or what is needed to verify it."""
    found = _template(text, HEADER_PARTS, _HEADER_CHARACTERS_MAX, 'headers = { X-Signature = "{signature}", X-Timestamp = "{timestamp}" }')
    if not found.isprintable() or found != found.strip() or not found:
        raise Fault("bad_template", "is not a header's value", 'write for example X-Signature = "v1={signature}"')
    return found


def key_id(text: str) -> str:
    """The key's public name. A text that begins as known keys do is none."""
    if not _KEY_ID.fullmatch(text) or looks_secret(text[:16]):
        raise Fault("bad_name", "is not a key's public name (not shown)", "write the name that the service gave to the key, without blanks")
    return text


def left_out(text: str) -> str:
    """Something that a signature may leave uncovered if that is said."""
    if text not in COVERED:
        raise Fault("bad_choice", f"{quote(text)} is not one of the choices", f"write any of: {', '.join(COVERED)}")
    return text


HMAC = {
    "string": Rule(f"What is signed, with {', '.join(f'{{{part}}}' for part in sorted(STRING_PARTS))} as its parts.", text=signed_string),
    "headers": Rule(
        f"Headers by name that carry the signature and what it takes to verify it, with {', '.join(f'{{{part}}}' for part in sorted(HEADER_PARTS))}.",
        text=signing_header,
    ),
    "algorithm": Rule("Hash function of the HMAC."),
    "encoding": Rule("How the signature is written."),
    "key": Rule("How the secret becomes the key: its text as it is, or the bytes that it stands for."),
    "key_id": Rule("Public name of the key, for {key_id}.", text=key_id),
    "timestamp": Rule("How {timestamp} is written: seconds or milliseconds since 1970, 2026-11-27T08:30:00Z, or as in a Date header."),
    "uncovered": Rule("What the string may leave out since the service's scheme does: any of method, path, query, timestamp.", text=left_out),
}


def of_hmac(settings: HmacSettings) -> Iterator[Finding]:
    """What is wrong between the keys of one table."""
    yield from _of_headers(settings)
    signed, sent = parts(settings.string), frozenset[str]().union(*map(parts, settings.headers.values()))
    yield from _of_verifying(settings, signed, sent)
    missing = [name for name, which in COVERED.items() if not signed & which and name not in settings.uncovered]
    if missing:
        also = ", ".join(f'"{name}"' for name in [*settings.uncovered, *missing])
        yield (
            "string",
            Fault(
                "uncovered",
                f"does not cover {', '.join(missing)}, so a captured signature is good for {_others(missing)}",
                f"add {' and '.join(f'{{{name}}}' for name in missing)}, as the service asks; where its scheme has no room, write uncovered = [{also}]",
            ),
        )
    for name in settings.uncovered:
        if signed & COVERED[name]:
            yield "uncovered", Fault("contradiction", f"names {name}, which the string covers", f'take "{name}" out')


def _others(missing: list[str]) -> str:
    """What a captured signature would be good for."""
    elsewhere = [name for name in missing if name != "timestamp"]
    found = [f"another {' and '.join(elsewhere)}"] if elsewhere else []
    return " and ".join([*found, "ever"] if "timestamp" in missing else found)


def _of_headers(settings: HmacSettings) -> Iterator[Finding]:
    if not any("signature" in parts(template) for template in settings.headers.values()):
        yield "headers", Fault("bad_template", "carry no {signature}", 'write for example headers = { X-Signature = "{signature}" }')
    if len(settings.headers) > _HEADERS_MAX:
        yield "headers", Fault("bad_template", f"are more than {_HEADERS_MAX}", "write only those that the service asks for")
    seen: set[str] = set()
    for name in settings.headers:
        try:
            credential_header(name)
        except Fault as fault:
            yield "headers", fault
            continue
        if name.lower() in seen:
            yield "headers", Fault("duplicate_key", f"{quote(name)} stands in it twice", "keep one of the two")
        seen.add(name.lower())


def _of_verifying(settings: HmacSettings, signed: frozenset[str], sent: frozenset[str]) -> Iterator[Finding]:
    """What is signed must be sent, or nobody could verify it; what is sent must be signed, or whoever captured it could change it."""
    for part in ("timestamp", "nonce"):
        if part in signed and part not in sent:
            yield (
                "string",
                Fault("contradiction", f"holds {{{part}}}, which no header tells", f'add a header: headers = {{ X-{part.title()} = "{{{part}}}" }}'),
            )
        if part in sent and part not in signed and part not in settings.uncovered:
            yield (
                "headers",
                Fault("contradiction", f"tell a {part} that is not signed, so anybody could write another one", f"add {{{part}}} to string"),
            )
    if settings.key_id is None and "key_id" in signed | sent:
        yield "key_id", Fault("missing_key", "is missing, and a template names it", 'write key_id = "NAME"')
    if settings.key_id is not None and "key_id" not in signed | sent:
        yield "key_id", Fault("contradiction", "is set, and no template names it", "use {key_id} in a header, or take it out")
