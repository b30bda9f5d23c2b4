"""Which addresses may never be called, however a tool's name came to point there, and which only where its settings say so."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
"""Metadata services of clouds that are not link-local: they hand out the machine's own credentials."""


def is_refused(text: str) -> bool:
    """Whether an IP address is link-local, multicast, unspecified, or a metadata service; also inside IPv6 (RFC 4291 2.5.5.2, RFC 6052).

    Raises ValueError for a text that is no IP address. A zone (`%eth0`) is ignored.
    """
    number = _number(text)
    return number.is_link_local or number.is_multicast or number.is_unspecified or number in _METADATA


def may_call(host: str, networks: Iterable[str]) -> Callable[[str], bool]:
    """Says of an address that `host` resolved to whether it may be called.

    Who writes an address, or `localhost`, means that place. A name means a place that anybody may reach, or one within `networks`: whoever answers for
    the name could otherwise point it at a neighbour, or at this machine, after its settings were checked (DNS rebinding).
    """
    inside = [ipaddress.ip_network(network) for network in networks]
    try:
        meant = _number(host)
    except ValueError:
        meant = None

    def says(address: str) -> bool:
        if is_refused(address):
            return False
        number = _number(address)
        if meant is not None:
            return number == meant
        if host == "localhost":
            return number.is_loopback
        return number.is_global or any(number in network for network in inside)

    return says


def _number(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that is meant: of one inside IPv6 the inner one. Raises ValueError."""
    number = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(number.packed[12:]) if number in _NAT64 else number.ipv4_mapped
        return inner or number
    return number
