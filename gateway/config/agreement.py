"""Settings that are right by themselves but not together: credentials and tools, limits that contradict each other, two listeners on one address."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from gateway.config.kinds import Fault, is_loopback, looks_secret, quote
from gateway.config.model import CredentialSettings, Limits, Listener, LogSettings, Settings, ToolSettings
from gateway.config.sources import SOURCES, StsSettings

SOCKET_BYTES_MAX = 100
"""sockaddr_un holds 108 on Linux and 104 elsewhere."""
Finding = tuple[str, Fault]
"""The key that is at fault, below the table that was looked at, and the fault."""
INSIDE = (".internal", ".local", ".lan", ".home.arpa", ".svc", ".intranet", ".corp")


def of_tool(tool: ToolSettings, credentials: Mapping[str, CredentialSettings], names: frozenset[str]) -> Iterator[Finding]:
    """`names` are all credentials that were written, readable or not: a broken one is reported once, where it stands."""
    yield from _ordered(tool, (("connect_timeout_s", "total_timeout_s"), ("breaker_open_s", "breaker_open_s_max")))
    if tool.token_header and tool.token_header in tool.request_headers:
        remedy = "take it out of request_headers: the agent's token is never forwarded"
        yield "request_headers", Fault("contradiction", f"holds {tool.token_header}, which is the token_header", remedy)
    if tool.credential is None:
        return
    if tool.credential not in names:
        shown = f"there is no [credential.{tool.credential}]" if not looks_secret(tool.credential) else "there is no such credential (not shown)"
        known = f"known: {', '.join(sorted(names))}" if names else "none is written yet"
        yield "credential", Fault("unknown_credential", shown, f'write [credential.{"NAME"}] with secret = "env:NAME" and hosts; {known}')
        return
    if tool.credential not in credentials:
        return
    credential = credentials[tool.credential]
    parts = urlsplit(tool.url)
    host = parts.hostname or ""
    if not covers(credential.hosts, host, parts.port or (443 if parts.scheme == "https" else 80)):
        shown = f"[{host}]" if ":" in host else host
        remedy = f'add it if the credential is meant for it: [credential.{credential.name}] hosts = ["{shown}"]'
        yield "url", Fault("host_not_covered", f"credential {credential.name} may not be sent to {shown}", remedy)
    if parts.scheme == "http" and not is_loopback(host) and not tool.plain_http:
        remedy = "write https://, or plain_http = true where the network below encrypts"
        yield "url", Fault("plain_http_credential", f"would send credential {credential.name} unencrypted to {host}", remedy)
    if credential.mtls is not None and parts.scheme == "http":
        yield "url", Fault("certificate_without_tls", f"shows no certificate, and credential {credential.name} is one", "write https://")
    for name in sorted(credential.written & set(tool.request_headers)):
        remedy = "take it out of request_headers: only the gateway writes this header"
        yield "request_headers", Fault("contradiction", f"holds {name}, which carries the credential", remedy)


def covers(hosts: tuple[str, ...], host: str, port: int) -> bool:
    """Whether a credential's `hosts` allow this destination. A name without port allows every port of that host; nothing is a wildcard."""
    shown = f"[{host}]" if ":" in host else host
    return shown in hosts or f"{shown}:{port}" in hosts


def of_credential(credential: CredentialSettings, written: frozenset[str]) -> Iterator[Finding]:
    if not credential.hosts:
        yield "hosts", Fault("missing_key", "names no host", 'write the hosts it is for: hosts = ["api.example.com"]')
    sources = sorted(written & SOURCES.keys())
    used = credential.places
    if credential.is_bare and not used and "format" not in written:
        return
    if credential.secret is None and not sources:
        yield "", Fault("missing_key", "does not say where the secret is", f'write secret = "env:NAME", or one of the tables {", ".join(SOURCES)}')
    elif len(sources) + (credential.secret is not None) > 1:
        yield sources[-1], Fault("contradiction", "is not the only place of the secret", "keep one: secret, or one table that says who hands it out")
    if len(used) != 1:
        message = f"goes into {' and '.join(used)}, not one place" if used else "does not say where it goes"
        yield (
            used[0] if used[1:] == ("sts",) else used[1] if used else "",
            Fault(
                "credential_placement", message, 'write exactly one of header = "Authorization", query = "NAME", basic_user = "NAME", or [....hmac]'
            ),
        )
    elif "format" in written and credential.header is None:
        yield "format", Fault("contradiction", f"does nothing beside {used[0]}", "take it out: format belongs to header")


def of_signing(settings: Settings, written: frozenset[str]) -> Iterator[Finding]:
    """A remote signer: whole, at the URL of a key, and not by plain HTTP to another machine, because its token goes along."""
    if len(written & {"transit", "transit_token"}) == 1:
        yield "transit", Fault("contradiction", "stands without the other one of transit and transit_token", "write both, or neither")
    if settings.transit is None:
        return
    parts = urlsplit(settings.transit)
    if not parts.path.startswith("/v1/") or not parts.path.rpartition("/")[0].endswith("/keys"):
        yield "transit", Fault("bad_url", "is not the URL of a key", 'write transit = "https://HOST/v1/transit/keys/NAME"')
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield "transit", Fault("plain_http_credential", "would send its token unencrypted", "write https://")


def of_limits(limits: Limits) -> Iterator[Finding]:
    return _ordered(limits, (("json_body_bytes_max", "body_bytes_max"), ("in_flight_per_agent_max", "in_flight_max")))


def of_log(log: LogSettings) -> Iterator[Finding]:
    yield from _ordered(log, (("checkpoint_interval_s", "heartbeat_interval_s"),))
    if log.socket is not None and len(os.fsencode(log.socket)) > SOCKET_BYTES_MAX:
        yield "socket", Fault("path_too_long", "is longer than a socket's path may be", f"name a path of at most {SOCKET_BYTES_MAX} bytes")


def of_listeners(agents: Listener, admin: Listener) -> Iterator[Finding]:
    same = agents.host == admin.host or {agents.host, admin.host} & {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    if same and agents.port == admin.port != 0:
        yield (
            "address",
            Fault("address_clash", "is the address of the agents' listener, too", 'give it a port of its own: address = "127.0.0.1:9090"'),
        )


def _ordered(settings: object, pairs: tuple[tuple[str, str], ...]) -> Iterator[Finding]:
    for small, large in pairs:
        low, high = getattr(settings, small), getattr(settings, large)
        if low > high:
            yield small, Fault("contradiction", f"is larger than {large}", f"write {small} = {high:g} or less, or raise {large}")


def notices(settings: Settings) -> list[Finding]:
    """What works but should be meant: shown by `portreeve check`, and a failure under `--strict`. The key is written from the top."""
    found: list[Finding] = []
    if not is_loopback(settings.admin.host):
        message = f"{quote(settings.admin.host)} opens metrics and readiness to the network"
        found.append(("listen.admin.address", Fault("admin_open", message, "keep it on 127.0.0.1, or close the port to all but your monitoring")))
    url = urlsplit(settings.url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        found.append(
            ("gateway.url", Fault("plain_http_gateway", "tells agents to send their tokens unencrypted", "put TLS in front and write https://"))
        )
    if url.scheme == "http" and any(isinstance(credential.source, StsSettings) for credential in settings.credentials.values()):
        found.append(
            ("gateway.url", Fault("keys_unreachable", "is where AWS fetches the gateway's keys, and it does so only by https", "write https://"))
        )
    for tool in settings.tools.values():
        parts = urlsplit(tool.url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            found.append((f"tool.{tool.name}.url", Fault("plain_http_tool", "sends calls unencrypted", "write https:// where the tool speaks it")))
        if is_inside(parts.hostname or "") and not tool.allow_private:
            message = "is a name of a private network, and a name is called at private addresses only within allow_private"
            found.append((f"tool.{tool.name}.url", Fault("private_tool", message, 'name the network: allow_private = ["10.0.0.0/8"]')))
    return found


def is_inside(host: str) -> bool:
    """Whether a host has, by its text alone, a name that only a private network knows (RFC 6762, RFC 8375, ICANN's .internal, a cluster's own)."""
    return host != "localhost" and ":" not in host and ("." not in host or host.endswith(INSIDE))
