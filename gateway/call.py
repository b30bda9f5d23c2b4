"""The values that one call is made of, in the order in which the journey makes them. All frozen; nothing made earlier is changed.

bytes -> ToolCall -> Identity -> Invocation -> Facts -> Permit | Deny | Hold -> Grant -> Answer -> Reply | Refused
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.canonical import Json, digest
from gateway.credential import ClientCertificate, CredentialUse
from gateway.errors import Attempt, OutcomeStatus, Refusal
from gateway.logmode import LogRule
from gateway.proof import Proof, Scheme
from gateway.secret import Secret

Effect = Literal["read", "idempotent_write", "write", "destructive"]
"""What an operation does to the world. Only `read` and `idempotent_write` may ever be repeated by the gateway."""

FACT_KINDS = ("path", "url", "host", "email", "recipients", "ip", "size")
"""What an argument can mean, so that policy sees it in a canonical form, too."""

Headers = tuple[tuple[str, str], ...]
"""Header fields in order; names in lower case, values ASCII without leading or trailing white space."""


class Body(Protocol):
    """A request body that has not been read yet.

    `length` is the declared Content-Length in bytes, None when chunked, 0 when there is none. `chunks()` MUST be iterated at most once and
    MUST enforce the door's byte and time limits by raising Refusal; it raises ClientGone when the client leaves.
    """

    @property
    def length(self) -> int | None: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


class ClientGone(Exception):  # noqa: N818
    """The client closed its connection before the call was over."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One request as the door parsed it: the one form that is both authorized and forwarded.

    `path` is canonical, starts with "/" and is relative to the tool's base URL; `query` is the raw query (no "?"), percent-encoded ASCII.
    `headers` no longer hold the agent's token. `token` is what the agent presented, None when nothing was,
    and `scheme` how: a token bound to a key comes as `dpop`, with a `proof`.
    """

    id: str
    door: Literal["http", "mcp"]
    tool: str
    method: str
    path: str
    query: str
    headers: Headers
    token: Secret | None
    body: Body
    peer: str
    scheme: Scheme = "bearer"
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts, for whom, by which chain of delegation; proven by a token that was verified.

    `actors` is the delegation chain, newest first, without the acting agent. `expires_at` is in seconds since the epoch. `bound_to` is the
    thumbprint of the key that the token is bound to, empty for a bearer token; `ancestors` are the ids of the tokens it was exchanged from.
    """

    agent: str
    issuer: str
    subject: str
    token_id: str
    key_id: str
    audience: str
    expires_at: int
    user: str | None = None
    actors: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    proof_of_possession: bool = False
    run: str | None = None
    bound_to: str = ""
    ancestors: tuple[str, ...] = ()
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a tool can do. `name` is `unmapped` (a tool with a contract, no match) or `read`/`write`/`destructive` (a tool without one).

    `template` is the path template as the contract has it. `input_schema` is the closed JSON Schema of the arguments, `facts` the derived
    values declared per argument: argument name -> one of FACT_KINDS. `log` says what the log may hold of the arguments.
    """

    tool: str
    name: str
    method: str
    template: str
    effect: Effect
    input_schema: Mapping[str, Json] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    log: tuple[LogRule, ...] = ()

    @property
    def action(self) -> str:
        return f"{self.tool}/{self.name}"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call matched to its operation, with arguments that keep to the contract.

    `body` is the body rebuilt from the parsed arguments when the contract knows it; None means: stream `call.body` as it comes.
    `query` is what goes upstream. `arguments` is empty for a tool without contract. `headers` names the header fields that are arguments.
    """

    call: ToolCall
    operation: Operation
    arguments: Mapping[str, Json]
    query: str
    body: bytes | None
    content_type: str | None = None
    headers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything else the decision may depend on, read in one batch and recorded. `now_us`: microseconds since the epoch."""

    now_us: int
    calls_last_minute: int = 0
    calls_in_flight: int = 0
    halted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes under their digest: a policy bundle, a schema, an entity slice. The log keeps one copy of each."""

    digest: str
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, data: bytes) -> Blob:
        return cls(digest(data), data)


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision rests on and what it said: enough to recompute it byte for byte.

    `context` is the typed Cedar context as canonical JSON. `reasons` and `errors` are sorted `@id` names and texts. `verdict` is the engine's
    answer; `shadow` names the shadow policies that would have flipped it.
    """

    principal: str
    action: str
    resource: str
    context: bytes
    entities: Blob
    policies: Blob
    schema: Blob
    engine: str
    verdict: Literal["allow", "deny", "hold", "error"]
    reasons: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    obligations: tuple[tuple[str, str], ...] = ()
    shadow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permit:
    """Policy allows this invocation for this identity. `inject` takes nothing else."""

    invocation: Invocation
    identity: Identity
    basis: Basis


@dataclass(frozen=True, slots=True)
class Deny:
    """Policy does not allow it. `code` is a refusal code; `message` is the policy's own `@message`, or empty."""

    code: Literal["denied", "halted", "policy_error", "unrepresentable"]
    basis: Basis
    message: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """A person must approve first. `group` names who may, `ttl_s` how long an approval would last."""

    basis: Basis
    group: str
    ttl_s: int
    message: str = ""


Verdict = Permit | Deny | Hold


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit with its credential: the request exactly as it goes upstream. `forward` takes nothing else.

    `headers` is ordered and complete but for framing (Content-Length, Transfer-Encoding), which forward writes. A value that is a Secret is revealed
    only while the head is serialised; `query` is one when a credential is part of it. `host` and `port` are where the credential is bound to.
    `secret` is the bare credential, for finding it again in an answer that echoes it. `certificate` is shown in the TLS handshake.
    """

    permit: Permit
    tool: str
    scheme: Literal["http", "https"]
    host: str
    port: int
    method: str
    path: str
    query: str | Secret
    headers: tuple[tuple[str, str | Secret], ...]
    body: bytes | None
    credential: CredentialUse | None
    secret: Secret | None = None
    certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The upstream's answer, safe to hand down: framing checked, hop-by-hop and private fields gone.

    `body` is all of it when it was small and complete, else a stream that MUST be closed; while it runs it may raise Refusal.
    """

    status: int
    headers: Headers
    body: bytes | AsyncGenerator[bytes, None]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call, for its `result` record. `bytes_down` counts body bytes handed to the agent."""

    status: OutcomeStatus
    http_status: int | None
    attempts: tuple[Attempt, ...]
    bytes_down: int
    elapsed_ms: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a decision stands in the log: `origin#n;leaf` is what agents get in `portreeve-decision`."""

    origin: str
    n: int
    leaf: str

    def __str__(self) -> str:
        return f"{self.origin}#{self.n};{self.leaf}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way to the agent. A streaming `body` MUST be exhausted or closed by the door; closing it writes the result record."""

    status: int
    headers: Headers
    body: bytes | AsyncGenerator[bytes, None]
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal on its way to the agent. `receipt` is None where the refusal has no record of its own (floods are summarised)."""

    refusal: Refusal
    call_id: str
    receipt: Receipt | None = None
