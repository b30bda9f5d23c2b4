"""The settings of a deployment as frozen values. Units stand last in the names; every limit has a default that is safe.

`gateway.config.load` fills them from `gateway.toml`; nothing else reads settings. TOML tables mirror the classes: `[gateway]`, `[listen.agents]`,
`[listen.admin]`, `[log]`, `[limits]`, `[tool.NAME]`, `[credential.NAME]`, `[vault]`, `[witness.NAME]`, `[peer.NAME]`. `file` and `line` say where a table stands; two that differ in
nothing else are equal, so that a comment closes no connection of a tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.config.sources import SIGV4_FIELDS, HmacSettings, MtlsSettings, SourceSettings, StsSettings, VaultSettings


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket. `hosts` are the Host header values served besides the address itself; empty means just the address and loopback names."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where and how the decision log is kept. `origin` names the log for ever (C2SP checkpoint origin). With `socket`, a writer process keeps it."""

    folder: Path
    origin: str
    segment_bytes_max: int = 64 * 1024 * 1024
    segment_age_s_max: int = 24 * 3600
    checkpoint_records: int = 256
    checkpoint_interval_s: float = 1.0
    heartbeat_interval_s: int = 3600
    reserve_bytes: int = 4 * 1024 * 1024
    low_water_bytes: int = 16 * 1024 * 1024
    queue_records_max: int = 4_096
    append_timeout_s: float = 10.0
    socket: Path | None = None
    arguments: Literal["plain", "seal"] = "plain"
    retention_days_min: int = 183


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything has a limit. Bytes, counts and seconds as the names say."""

    request_line_bytes_max: int = 8_192
    header_bytes_max: int = 32_768
    header_count_max: int = 100
    header_timeout_s: float = 10.0
    body_bytes_max: int = 64 * 1024 * 1024
    json_body_bytes_max: int = 262_144
    body_timeout_s: float = 60.0
    body_rate_min_bytes_s: int = 1_024
    write_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0
    connections_max: int = 2_000
    in_flight_max: int = 512
    in_flight_per_agent_max: int = 128
    calls_per_minute_per_agent: int = 6_000
    refusals_sampled_per_window: int = 32
    refusal_window_s: float = 1.0
    token_cache_entries_max: int = 10_000
    token_failures_per_minute: int = 60
    tokens_per_minute_per_agent: int = 600
    drain_delay_s: float = 0.0
    drain_timeout_s: float = 25.0


@dataclass(frozen=True, slots=True)
class InlineOperation:
    """An operation declared in `[tool.NAME.operation.OP]` instead of an OpenAPI file. Schemas are JSON Schema 2020-12 objects."""

    name: str
    method: str
    path: str
    effect: Literal["read", "idempotent_write", "write", "destructive"]
    parameters: Mapping[str, object] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    log: Mapping[str, str] = field(default_factory=dict)
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """One upstream service. `url` is its base URL: scheme, host, optional port and path prefix, nothing else.

    `token_header` is a further request header in which the agent's token is accepted. `request_headers` and `response_headers` are let
    through besides the built-in allow-list. `path_encoded_slash` and `path_semicolon` are the opt-ins for `%2F` and `;` in paths.
    `plain_http` allows a credential to travel over http:// to a host that is not loopback (a mesh that encrypts below us). `allow_private` names
    the private networks in which a tool that is called by a name may be.
    """

    name: str
    url: str
    contract: Path | None = None
    operations: tuple[InlineOperation, ...] = ()
    effects: Mapping[str, str] = field(default_factory=dict)
    credential: str | None = None
    groups: tuple[str, ...] = ()
    risk: Literal["low", "medium", "high"] = "medium"
    token_header: str | None = None
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    path_encoded_slash: bool = False
    path_semicolon: bool = False
    plain_http: bool = False
    allow_private: tuple[str, ...] = ()
    transport: Literal["direct", "httpx2"] = "direct"
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 15.0
    total_timeout_s: float = 30.0
    stream_idle_timeout_s: float = 60.0
    stream_age_s_max: float = 900.0
    connections_max: int = 64
    in_flight_max: int = 64
    queue_timeout_s: float = 1.0
    response_header_bytes_max: int = 65_536
    response_bytes_max: int = 256 * 1024 * 1024
    retries_max: int = 2
    retry_budget_ratio: float = 0.1
    retry_budget_floor_per_s: float = 1.0
    retry_body_bytes_max: int = 65_536
    breaker_window_s: float = 30.0
    breaker_calls_min: int = 10
    breaker_failure_ratio: float = 0.5
    breaker_open_s: float = 10.0
    breaker_open_s_max: float = 120.0
    breaker_probes: int = 3
    ca_file: Path | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """An upstream credential by reference: `secret` is `env:NAME`, `file:PATH` or `vault:MOUNT/PATH#FIELD`, never a value; or a `source` hands it out.

    It goes into exactly one place: `header` (with `format`, where `{secret}` is replaced), `query` (a parameter name) or `basic_user`
    (HTTP Basic with the secret as password); or it goes nowhere, and `hmac` says how requests are signed with it, or its source does (`sts`). `mtls` is
    a certificate that is shown besides, or there is nothing else. `hosts` are the only hosts (`name` or `name:port`) it may ever be sent to.
    """

    name: str
    hosts: tuple[str, ...]
    secret: str | None = None
    source: SourceSettings | None = None
    header: str | None = None
    format: str = "{secret}"
    query: str | None = None
    basic_user: str | None = None
    hmac: HmacSettings | None = None
    mtls: MtlsSettings | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def places(self) -> tuple[str, ...]:
        """The keys that say where it goes, or how requests are signed with it. A right one has one."""
        named = [key for key in ("header", "query", "basic_user", "hmac") if getattr(self, key) is not None]
        return (*named, "sts") if isinstance(self.source, StsSettings) else tuple(named)

    @property
    def is_bare(self) -> bool:
        """Whether a certificate is all there is of it."""
        return self.mtls is not None and self.secret is None and self.source is None

    @property
    def written(self) -> frozenset[str]:
        """The request headers, in lower case, that only the gateway writes."""
        own = frozenset(name.lower() for name in (self.header, *(self.hmac.headers if self.hmac else ())) if name)
        return own | SIGV4_FIELDS if isinstance(self.source, StsSettings) else own


@dataclass(frozen=True, slots=True)
class WitnessSettings:
    """A C2SP witness that cosigns this log's checkpoints. `url` is its submission prefix, `key` its verifier key line."""

    name: str
    url: str
    key: str
    interval_s: float = 60.0
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Another log whose checkpoints this one records. `url` is where its newest one is served, `key` its verifier key line."""

    name: str
    url: str
    key: str
    interval_s: float = 60.0
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole deployment. `folder` is where `gateway.toml` stands; relative paths in it start there.

    `url` is the gateway's external base URL: issuer and audience of its tokens. `keys` holds the signing keys (0700, files 0600). `candidate` is a
    policies folder that decides nothing yet. `transit` is the URL of a key that signs instead, with a token in the file `transit_token`.
    """

    folder: Path
    name: str
    url: str
    agents: Listener
    admin: Listener
    log: LogSettings
    limits: Limits
    policies: Path
    identities: Path
    keys: Path
    tools: Mapping[str, ToolSettings]
    credentials: Mapping[str, CredentialSettings]
    candidate: Path | None = None
    witnesses: Mapping[str, WitnessSettings] = field(default_factory=dict)
    peers: Mapping[str, PeerSettings] = field(default_factory=dict)
    vault: VaultSettings | None = None
    state: Path = Path("var/state")
    transit: str | None = None
    transit_token: Path | None = None
    digest: str = ""
    files: tuple[Path, ...] = ()

    @property
    def fixed(self) -> tuple[object, ...]:
        """What a process begins with and keeps: a change takes effect after a restart."""
        return self.agents, self.admin, self.log, self.limits, self.witnesses, self.peers
