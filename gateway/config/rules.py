"""The table of settings: for each key what it means, its range, and what kind of text it is. Types and defaults stand in the classes themselves.

A test holds the two together: a key without a rule, a rule without a key, or a default outside its range fails it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.call import FACT_KINDS
from gateway.config import keylines, kinds, signed, source_rules
from gateway.config.model import CredentialSettings, InlineOperation, Limits, LogSettings, PeerSettings, ToolSettings, WitnessSettings
from gateway.config.rule import Rule
from gateway.config.sources import GithubAppSettings, HmacSettings, LeaseSettings, MtlsSettings, OAuth2Settings, StsSettings, VaultSettings
from gateway.logmode import LOG_MODES

EFFECTS = ("read", "idempotent_write", "write", "destructive")


@dataclass(frozen=True, slots=True)
class GatewayTable:
    """The keys of [gateway]."""

    name: str
    url: str
    policies: Path = Path("policies")
    candidate: Path | None = None
    identities: Path = Path("identities")
    keys: Path = Path("var/keys")
    state: Path = Path("var/state")
    transit: str | None = None
    transit_token: Path | None = None


@dataclass(frozen=True, slots=True)
class ListenTable:
    """The keys of [listen.agents] and [listen.admin]. The default address depends on the listener."""

    address: str = ""
    hosts: tuple[str, ...] = ()


ADDRESSES = {"agents": "127.0.0.1:8080", "admin": "127.0.0.1:9090"}


_DAY = 24 * 3600
_MIB = 1024 * 1024
_GIB = 1024 * _MIB

GATEWAY = {
    "name": Rule("Name of this gateway, for people and metrics.", text=kinds.name),
    "url": Rule("External base URL: issuer and audience of the gateway's tokens.", text=kinds.base_url),
    "policies": Rule("Folder of the Cedar policies.", path="folder"),
    "candidate": Rule(
        "Folder of policies that decide nothing yet: every call is decided by them, too, and what would change is recorded.", path="new"
    ),
    "identities": Rule("Folder of agents and issuers.", path="folder"),
    "keys": Rule("Folder of the signing keys; made on first use, readable by the gateway alone.", path="new"),
    "state": Rule("Folder of what must outlive a restart: what is halted or revoked, used assertions, enrolled keys.", path="new"),
    "transit": Rule(
        "URL of an ecdsa-p256 key of an OpenBao or Vault, https://HOST/v1/transit/keys/NAME: it signs instead of the keys folder.",
        text=kinds.base_url,
    ),
    "transit_token": Rule("File with the token for it, read at each use.", path="file"),
}
LISTEN = {
    "address": Rule("Where to listen, host:port. Default 127.0.0.1:8080 for agents, 127.0.0.1:9090 for admin."),
    "hosts": Rule("Host header values served besides the address itself and loopback names.", text=kinds.host),
}
LOG = {
    "folder": Rule("Folder of the decision log.", path="new"),
    "origin": Rule("The log's name, for ever: part of every checkpoint and decision number.", text=kinds.log_origin),
    "segment_bytes_max": Rule("A log file is closed at this size.", 4096, 8 * _GIB),
    "segment_age_s_max": Rule("A log file is closed at this age.", 1, 366 * _DAY),
    "checkpoint_records": Rule("Records after which a signed checkpoint is written.", 1, 1_000_000),
    "checkpoint_interval_s": Rule("Longest time between a record and the checkpoint that covers it.", 0.01, 3600),
    "heartbeat_interval_s": Rule("Time after which a quiet log writes a checkpoint, so that a cut is noticed.", 1, 7 * _DAY),
    "reserve_bytes": Rule("Disk kept back so that the outcomes of running calls can still be written.", 4096, _GIB),
    "low_water_bytes": Rule("Free disk below which no new call is accepted.", 0, 1024 * _GIB),
    "queue_records_max": Rule("Records that may wait for the disk; beyond it calls are refused.", 1, 1_000_000),
    "append_timeout_s": Rule("Longest wait for a record to be durable before the call is refused.", 0.01, 600),
    "socket": Rule("Unix socket of the process that writes the log (`portreeve log writer`); without it the gateway writes it itself.", path="new"),
    "retention_days_min": Rule("Age that a record must have before `portreeve log prune` takes it away without being forced to.", 0, 36_500),
    "arguments": Rule("How the log holds arguments that no contract speaks of: in clear, or sealed under a key that `portreeve log erase` destroys."),
}
LIMITS = {
    "request_line_bytes_max": Rule("Longest request line.", 256, 65_536),
    "header_bytes_max": Rule("Most bytes of request headers.", 1024, 262_144),
    "header_count_max": Rule("Most request header fields.", 8, 1000),
    "header_timeout_s": Rule("Time in which the headers must arrive.", 0.01, 300),
    "body_bytes_max": Rule("Largest request body.", 1, 16 * _GIB),
    "json_body_bytes_max": Rule("Largest request body that a contract parses.", 1, 16 * _MIB),
    "body_timeout_s": Rule("Time in which a body that is parsed must arrive.", 0.01, 3600),
    "body_rate_min_bytes_s": Rule("Slowest pace at which a body may arrive, in bytes per second.", 0, _GIB),
    "write_timeout_s": Rule("Longest time an agent may take to accept a piece of the answer.", 0.01, 3600),
    "idle_timeout_s": Rule("Time after which an idle connection is closed.", 0.01, 3600),
    "connections_max": Rule("Most connections of agents.", 1, 1_000_000),
    "in_flight_max": Rule("Most calls at one time.", 1, 100_000),
    "in_flight_per_agent_max": Rule("Most calls of one agent at one time.", 1, 100_000),
    "calls_per_minute_per_agent": Rule("Most calls of one agent in 60 seconds.", 1, 100_000_000),
    "refusals_sampled_per_window": Rule("Refusals of unidentified callers that are described one by one in a window's record.", 0, 10_000),
    "refusal_window_s": Rule("Length of the window over which refusals of unidentified callers are summed up.", 0.01, 3600),
    "token_cache_entries_max": Rule("Verified tokens kept in memory.", 1, 10_000_000),
    "token_failures_per_minute": Rule(
        "Most failures at the token endpoints of one client at one address; ten times that of an address.", 1, 1_000_000
    ),
    "tokens_per_minute_per_agent": Rule("Most tokens issued to one agent in 60 seconds.", 1, 1_000_000),
    "drain_delay_s": Rule("Time between readiness turning red and the listener closing, at shutdown.", 0, 600),
    "drain_timeout_s": Rule("Time that running calls get at shutdown.", 0, 3600),
}
TOOL = {
    "url": Rule("Base URL of the service: scheme, host, optional port and path prefix.", text=kinds.tool_url),
    "contract": Rule("OpenAPI 3.x file (JSON or YAML) of the tool's operations.", path="file"),
    "effects": Rule("Effect class by operation name, where the contract does not say it or says it wrongly.", choices=EFFECTS),
    "credential": Rule("Name of the [credential.NAME] that goes with each call.", text=kinds.name),
    "groups": Rule("Groups the tool belongs to in policies.", text=kinds.word),
    "risk": Rule("How much harm the tool can do; policies can ask for it."),
    "token_header": Rule("A further header in which agents may present their token.", text=kinds.token_header),
    "request_headers": Rule(
        "Request headers let through besides the built-in ones and the contract's own. With a credential, Range is not built in.",
        text=kinds.request_header,
    ),
    "response_headers": Rule("Response headers let through besides the built-in ones.", text=kinds.response_header),
    "path_encoded_slash": Rule("Accept %2F in paths, for services with slashes in their ids."),
    "path_semicolon": Rule("Accept ; in paths."),
    "plain_http": Rule("Let a credential travel over http:// to a host that is not loopback."),
    "allow_private": Rule(
        "Private networks in which the tool may be when its URL has a name: 10.0.0.0/8. An address in the URL needs no leave.", text=kinds.network
    ),
    "transport": Rule("How calls are sent: the gateway's own connections, or the httpx2 library."),
    "connect_timeout_s": Rule("Time to connect, TLS included.", 0.01, 300),
    "read_timeout_s": Rule("Time to wait for the next piece of an answer.", 0.01, 3600),
    "total_timeout_s": Rule("Time for the whole call, retries included, until the answer begins.", 0.01, 3600),
    "stream_idle_timeout_s": Rule("Longest silence within a streamed answer.", 0.01, 3600),
    "stream_age_s_max": Rule("Longest life of a streamed answer.", 0.01, _DAY),
    "connections_max": Rule("Most connections to the tool.", 1, 10_000),
    "in_flight_max": Rule("Most calls to the tool at one time.", 1, 100_000),
    "queue_timeout_s": Rule("Longest wait for a free connection.", 0, 300),
    "response_header_bytes_max": Rule("Most bytes of response headers.", 1024, _MIB),
    "response_bytes_max": Rule("Largest answer.", 1, 1024 * _GIB),
    "retries_max": Rule("Most repeats of a call that is safe to repeat.", 0, 10),
    "retry_budget_ratio": Rule("Repeats allowed per call over all calls of the tool: 0.1 is one in ten.", 0, 1),
    "retry_budget_floor_per_s": Rule("Repeats per second that are always allowed.", 0, 1000),
    "retry_body_bytes_max": Rule("Largest request body that is repeated.", 0, 16 * _MIB),
    "breaker_window_s": Rule("Time over which failures are counted.", 0.1, 3600),
    "breaker_calls_min": Rule("Fewest calls in the window before the breaker may open.", 1, 100_000),
    "breaker_failure_ratio": Rule("Share of failures at which the breaker opens.", 0.01, 1),
    "breaker_open_s": Rule("Time that the breaker stays open the first time; it doubles.", 0.01, 3600),
    "breaker_open_s_max": Rule("Longest time that the breaker stays open.", 0.01, _DAY),
    "breaker_probes": Rule("Calls let through to see whether the tool is well again.", 1, 100),
    "ca_file": Rule("PEM file of the authorities trusted for this tool, instead of the system's.", path="file"),
}
OPERATION = {
    "method": Rule("HTTP method.", text=kinds.method),
    "path": Rule("Path template below the tool's URL: /tickets/{id}.", text=kinds.path_template),
    "effect": Rule("What the operation does to the world; only the first two are ever repeated."),
    "parameters": Rule("Arguments by name: a JSON Schema each, with `in` (path, query or header) and `required`."),
    "body": Rule("JSON Schema of the JSON body; without it the operation takes none."),
    "facts": Rule("Arguments that policies see in canonical form, too: name to kind.", choices=FACT_KINDS),
    "log": Rule('Arguments that the decision log does not hold in clear: JSON pointer to mode, such as { "/ssn" = "seal" }.', choices=LOG_MODES),
}
CREDENTIAL = {
    "secret": Rule(
        'Where the secret is kept: "env:NAME", "file:PATH" or "vault:MOUNT/PATH#FIELD"; never the secret itself.', text=kinds.secret_reference
    ),
    "hosts": Rule("The only hosts (name or name:port) it may ever be sent to.", text=kinds.host),
    "header": Rule("Header that carries it.", text=kinds.credential_header),
    "format": Rule("How it stands in the header; {secret} is replaced.", text=kinds.secret_format),
    "query": Rule("Query parameter that carries it.", text=kinds.parameter),
    "basic_user": Rule("User name for HTTP Basic; the secret is the password.", text=kinds.basic_user),
}

WITNESS = {
    "url": Rule("Submission prefix of a C2SP witness: checkpoints are posted to URL/add-checkpoint.", text=kinds.base_url),
    "key": Rule("Verifier key line of the witness: NAME+ID+KEY.", text=keylines.witness_key),
    "interval_s": Rule("Time between two checkpoints that it is asked to cosign.", 1, _DAY),
    "timeout_s": Rule("Longest wait for its answer.", 0.1, 300),
}
PEER = {
    "url": Rule("Where the newest checkpoint of another log is served: http://HOST:9090/log/checkpoint of another gateway.", text=kinds.base_url),
    "key": Rule("Verifier key line of that log: NAME+ID+KEY.", text=keylines.log_key),
    "interval_s": Rule("Time between two looks at it.", 1, _DAY),
    "timeout_s": Rule("Longest wait for its answer.", 0.1, 300),
}

RULES: Mapping[type, Mapping[str, Rule]] = {
    GatewayTable: GATEWAY,
    ListenTable: LISTEN,
    LogSettings: LOG,
    Limits: LIMITS,
    ToolSettings: TOOL,
    InlineOperation: OPERATION,
    CredentialSettings: CREDENTIAL,
    OAuth2Settings: source_rules.OAUTH2,
    LeaseSettings: source_rules.LEASE,
    GithubAppSettings: source_rules.GITHUB_APP,
    StsSettings: source_rules.STS,
    HmacSettings: signed.HMAC,
    MtlsSettings: source_rules.MTLS,
    VaultSettings: source_rules.VAULT,
    WitnessSettings: WITNESS,
    PeerSettings: PEER,
}
