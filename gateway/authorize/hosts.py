"""Reads host names, addresses and mail addresses in the one form in which policies can compare them. Whatever has two readings is refused."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from gateway.authorize.typed import Unrepresentable
from gateway.canonical import Json

RECIPIENTS_MAX = 1_000

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_MAILBOX = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_QUOTED_NAME = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\["\\])*"')
_NAME = re.compile(r'[^"(),:;<>@\[\\\]\x00-\x1f\x7f]*')
_CLOTHES = tuple(
    ipaddress.IPv6Network(net) for net in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
"""IPv6 addresses that stand for an IPv4 address: mapped, translated (SIIT, NAT64), 6to4, Teredo; ::/96 but for :: and ::1 is one more. No range of IPv4 addresses holds one."""


@lru_cache(maxsize=1)
def suffixes() -> PublicSuffixList:
    """The public suffix list that the library brings, its private part included: neighbours on github.io are strangers. Nothing is fetched."""
    return PublicSuffixList()


def host(value: str) -> dict[str, Json]:
    """A host name in lower case, the domains it lies in, and the one somebody registered: "" where nobody did (an address, a bare suffix).

    `domains.contains("example.com")` holds for a.example.com, never for badexample.com. An address has its `ip` besides.
    """
    name = value.lower().removesuffix(".")
    if not value.isascii() or not _HOST.fullmatch(name):  # the lower case of U+212A is an ASCII k
        raise Unrepresentable("this is not a plain host name or IPv4 address")
    labels = name.split(".")
    if not all(label.isdigit() or label.startswith("0x") for label in labels):
        return {"host": name, "domains": [".".join(labels[n:]) for n in range(len(labels))], "registrable": suffixes().privatesuffix(name) or ""}
    if not (len(labels) == 4 and all(label.isdigit() and str(int(label)) == label and int(label) < 256 for label in labels)):
        raise Unrepresentable("the address is not written as four plain numbers")
    return {"host": name, "domains": [name], "registrable": "", "ip": _ip(name)}


def address(value: str) -> dict[str, Json]:
    """One IP address: as Cedar's `ip`, and as canonical text. An IPv4 address in the clothes of an IPv6 one is refused, as is a zone."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        raise Unrepresentable("this is not an IP address") from None
    if isinstance(found, ipaddress.IPv6Address) and (
        found.scope_id is not None or any(found in clothes for clothes in _CLOTHES) or (2 <= int(found) < 2**32)
    ):
        raise Unrepresentable("the IPv6 address holds an IPv4 address or a zone")
    return {"ip": _ip(str(found)), "address": str(found)}


def _ip(text: str) -> Json:
    return {"__extn": {"fn": "ip", "arg": text}}


def email(value: str) -> dict[str, Json]:
    """One bare mail address in lower case."""
    mailbox, at, domain = value.lower().rpartition("@")
    if not at or not value.isascii() or not _MAILBOX.fullmatch(mailbox):
        raise Unrepresentable("this is not a plain mail address")
    named = host(domain)
    return {"address": f"{mailbox}@{named['host']}", "domain": named["host"], "domains": named["domains"], "registrable": named["registrable"]}


def recipients(value: str) -> list[dict[str, Json]]:
    """Every address of a header such as `Ada <ada@example.com>, bob@example.org` (RFC 5322 section 3.4, without groups, comments and routes).

    What a reader could split elsewhere is refused: an encoded word, an `@` that is no address, an empty place between two commas.
    """
    found: list[dict[str, Json]] = []
    rest = value
    while True:
        named = _QUOTED_NAME.match(rest := rest.lstrip(" \t")) or _NAME.match(rest)
        assert named
        name, rest = named[0], rest[named.end() :].lstrip(" \t")
        if rest.startswith("<"):
            spec, closed, rest = rest[1:].partition(">")
            if not closed or not _is_plain(name):
                raise Unrepresentable("a recipient's name can be read in two ways")
        else:
            spec, comma, rest = f"{name}{rest}".partition(",")
            spec, rest = spec.rstrip(" \t"), comma + rest
        found.append(email(spec))
        rest = rest.lstrip(" \t")
        if not rest:
            return found
        if rest[0] != "," or len(found) >= RECIPIENTS_MAX:
            raise Unrepresentable("the recipients are not separated by single commas, or too many")
        rest = rest[1:]


def _is_plain(name: str) -> bool:
    """Whether a display name stays one in every reading: no address, no encoded word, nothing that Unicode folds to a separator."""
    folded = unicodedata.normalize("NFKC", name)
    return "=?" not in folded and "@" not in folded and bool(_QUOTED_NAME.fullmatch(folded.strip()) or _NAME.fullmatch(folded))
