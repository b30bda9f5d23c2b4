"""The bodies of the records that a call leaves: `call` before anything is sent, `result` when it is over."""

from __future__ import annotations

from gateway.call import Basis, Facts, Identity, Invocation, Outcome, Receipt, ToolCall
from gateway.canonical import Json, embed
from gateway.credential import CredentialUse


def call_body(
    call: ToolCall,
    identity: Identity,
    facts: Facts,
    *,
    invocation: Invocation | None,
    basis: Basis | None,
    code: str,
    state: str,
) -> dict[str, Json]:
    """The decision with everything it rests on. `code` is the refusal code, empty for a permit; `state` is the digest of the deployment in force, whose parts the `policy.load` record lists."""
    operation = invocation.operation if invocation else None
    return {
        "id": call.id,
        "who": {
            "agent": identity.agent,
            "iss": identity.issuer,
            "sub": identity.subject,
            "jti": identity.token_id,
            "kid": identity.key_id,
            "aud": identity.audience,
            "user": identity.user,
            "act": identity.actors,
            "run": identity.run,
        },
        "what": {
            "tool": call.tool,
            "op": operation.name if operation else "",
            "method": call.method,
            "template": operation.template if operation else "",
            "path": call.path[:2048],
            "effect": operation.effect if operation else "",
            "door": call.door,
            "peer": call.peer,
        },
        "authz": authz_body(basis) if basis else None,
        "now": facts.now_us,
        "code": code,
        "state": state,
    }


def authz_body(basis: Basis) -> dict[str, Json]:
    """The decision alone: what `replay` recomputes."""
    return {
        "p": basis.principal,
        "a": basis.action,
        "r": basis.resource,
        "ctx": embed(basis.context),
        "ents": basis.entities.digest,
        "policies": basis.policies.digest,
        "schema": basis.schema.digest,
        "engine": basis.engine,
        "decision": basis.verdict,
        "reasons": basis.reasons,
        "errors": basis.errors,
        "obl": basis.obligations,
        "shadow": basis.shadow,
    }


def result_body(call: ToolCall, receipt: Receipt, outcome: Outcome, credential: CredentialUse | None) -> dict[str, Json]:
    """What came of the call that stands at `receipt`."""
    return {
        "call": receipt.n,
        "id": call.id,
        "status": outcome.status,
        "http": outcome.http_status,
        "tries": [{"u": a.upstream, "s": a.result, "ms": a.elapsed_ms} for a in outcome.attempts],
        "cred": _credential(credential) if credential else None,
        "bytes": outcome.bytes_down,
        "ms": outcome.elapsed_ms,
        "code": outcome.code,
    }


def _credential(use: CredentialUse) -> Json:
    """By reference, never by value."""
    more = {"version": use.version, "scope": use.scope, "cert": use.certificate}
    return {"name": use.name, "kind": use.kind, "fp": use.fingerprint, **{name: value for name, value in more.items() if value}}
