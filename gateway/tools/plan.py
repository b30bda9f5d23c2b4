"""What the gateway knows of one operation once its contract has been read: everything that binding a call to it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.call import Effect, Operation
from gateway.tools.parameters import Parameter
from gateway.tools.schema import Check

UNMAPPED = "unmapped"
EFFECTS: tuple[str, ...] = ("read", "idempotent_write", "write", "destructive")
METHODS: dict[str, Effect] = {
    "GET": "read",
    "HEAD": "read",
    "OPTIONS": "read",
    "PUT": "idempotent_write",
    "POST": "write",
    "PATCH": "write",
    "DELETE": "destructive",
    "TRACE": "destructive",
}
OPAQUE = "x-portreeve-body"
"""The member of an input schema that says `opaque` where the body is streamed unread, so that policy does not see it."""


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """The body an operation takes. `argument` holds all of it; None means that its members are arguments themselves.

    `opaque` bodies are streamed as they come and only their media type is checked. `fields` are those of a form. `members` must be there when
    the body is, though the body itself may be absent. `elsewhere` are the arguments that come from the path, the query or a header.
    """

    kind: Literal["json", "form", "opaque"]
    media: frozenset[str]
    required: bool
    argument: str | None = None
    fields: Mapping[str, Parameter] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """One declared operation, ready to bind. `segments` are those of its template; a parameter's segment is None."""

    operation: Operation
    segments: tuple[str | None, ...]
    path: tuple[Parameter, ...]
    query: Mapping[str, Parameter]
    headers: Mapping[str, Parameter]
    body: BodyPlan | None
    check: Check

    @property
    def method(self) -> str:
        return self.operation.method

    @property
    def template(self) -> str:
        return self.operation.template


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A declared operation that the gateway cannot hold calls to: it keeps its place, so that no wider template takes its calls."""

    name: str
    method: str
    template: str
    segments: tuple[str | None, ...]


def effect_of(method: str) -> Effect:
    """The effect class that a method stands for; a method nobody knows is destructive."""
    return METHODS.get(method, "destructive")
