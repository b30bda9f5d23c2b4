"""Which addresses may never be called, however a tool's name came to point there."""

from __future__ import annotations

import ipaddress

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
    number = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(number.packed[12:]) if number in _NAT64 else number.ipv4_mapped
        number = inner or number
    return number.is_link_local or number.is_multicast or number.is_unspecified or number in _METADATA
