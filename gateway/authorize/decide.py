"""Decides whether an agent may make a call: pure and synchronous, without a clock and without input or output."""

from __future__ import annotations

from gateway.authorize.bundle import Bundle
from gateway.authorize.engine import Uid
from gateway.authorize.judgement import Judgement, approval, judge, message, stop, stopped
from gateway.authorize.plans import surroundings
from gateway.authorize.typed import Unrepresentable
from gateway.call import Basis, Blob, Deny, Facts, Hold, Identity, Invocation, Permit, Verdict
from gateway.canonical import Json, dumps

_NO_ENTITIES = Blob.of(b"[]")


def decide(bundle: Bundle, invocation: Invocation, identity: Identity, facts: Facts) -> Verdict:
    """Allow, deny, or hold for approval. Nothing but a clean allow of the engine becomes a Permit."""
    context = surroundings(invocation, identity, facts)
    place = bundle.seat(identity.agent, invocation.operation.action)
    judgement: Judgement
    shadow: tuple[str, ...] = ()
    if place is None:
        known = invocation.operation.action in bundle.plans
        context |= stop("unknown_agent" if known else "unknown_operation")
        judgement = _stopped(context)
    elif facts.halted:
        context |= stop("halted", ", ".join(facts.halted))
        judgement = _stopped(context)
    else:
        try:
            context |= place.plan.typed(invocation.arguments)
        except Unrepresentable as error:
            context |= stop("unrepresentable", f"{error.pointer or '/'}: {error.why}")
            judgement = _stopped(context)
        else:
            evaluation = place.seat.evaluate(context)
            judgement = judge(evaluation, bundle.library.by_id)
            shadow = place.seat.shadow(context, evaluation) if bundle.has_shadow else ()
    principal, action, resource = place.names if place else _names(invocation, identity)
    basis = Basis(
        principal=principal,
        action=action,
        resource=resource,
        context=dumps(context),
        entities=place.entities if place else _NO_ENTITIES,
        policies=bundle.policies,
        schema=bundle.schema,
        engine=bundle.engine,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        errors=judgement.errors,
        obligations=judgement.obligations,
        shadow=shadow,
    )
    if judgement.verdict == "allow":
        return Permit(invocation, identity, basis)
    return _refusal(bundle, basis, judgement, context)


def _refusal(bundle: Bundle, basis: Basis, judgement: Judgement, context: dict[str, Json]) -> Deny | Hold:
    if judgement.verdict == "hold":
        group, ttl_s = approval(judgement)
        return Hold(basis, group, ttl_s, message(judgement, bundle.library.by_id))
    if judgement.verdict == "error":
        return Deny("policy_error", basis)
    stopped_by = context.get("gateway")
    if stopped_by is None:
        return Deny("denied", basis, message(judgement, bundle.library.by_id))
    detail = stopped_by["detail"]
    if stopped_by["stop"] == "unrepresentable":
        return Deny("unrepresentable", basis, f"Policy cannot express the argument {detail}")
    return Deny("halted", basis, f"Calls are halted: {detail}")


def _names(invocation: Invocation, identity: Identity) -> tuple[str, str, str]:
    operation = invocation.operation
    return str(Uid("Agent", identity.agent)), str(Uid("Action", operation.action)), str(Uid("Tool", operation.tool))


def _stopped(context: dict[str, Json]) -> Judgement:
    found = stopped(context)
    assert found
    return found
