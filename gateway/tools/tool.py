"""One tool as the gateway knows it: its settings, its contract and its operations, and how a call becomes an invocation of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.call import Blob, Effect, Invocation, Operation, ToolCall
from gateway.config.model import ToolSettings
from gateway.errors import Problem
from gateway.logmode import LogRule
from gateway.tools.bind import bind_plan
from gateway.tools.plan import UNMAPPED, Plan, effect_of
from gateway.tools.routes import Routes

ANY_PATH = "/{path}"
ANY_METHOD = "*"
_GENERIC: dict[str, Effect] = {"GET": "read", "HEAD": "read", "OPTIONS": "read", "POST": "write", "PUT": "write", "PATCH": "write"}
"""The operation of a tool without contract, by method, named after its effect; any other method is destructive."""
_LISTED: tuple[tuple[Effect, str], ...] = (("read", "GET"), ("write", "POST"), ("destructive", "DELETE"))


@dataclass(frozen=True, slots=True)
class Tool:
    """`contract` is its document as canonical JSON, without the comments of a file; None for a tool without one; `plans` are the declared operations by name, `routes` the same by path.

    `notes` say what was left out of the contract because calls to it cannot be held to it exactly.
    `undeclared_log` is how the log holds paths that no operation declares.
    """

    settings: ToolSettings
    contract: Blob | None = None
    plans: Mapping[str, Plan] = field(default_factory=dict)
    routes: Routes = field(default_factory=Routes)
    notes: tuple[Problem, ...] = ()
    undeclared_log: tuple[LogRule, ...] = ()

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def groups(self) -> tuple[str, ...]:
        return self.settings.groups

    def operations(self) -> Iterator[Operation]:
        """Every operation that a call to this tool can have, once each: the declared ones and `unmapped`, or the three generic ones.

        `unmapped` is listed as destructive, the worst that it may be; a call that is unmapped has the effect of its own method.
        """
        if self.contract is None:
            for effect, method in _LISTED:
                yield Operation(self.name, effect, method, ANY_PATH, effect)
            return
        for plan in self.plans.values():
            yield plan.operation
        yield Operation(self.name, UNMAPPED, ANY_METHOD, ANY_PATH, "destructive")

    async def bind(self, call: ToolCall, *, body_bytes_max: int) -> Invocation:
        """Match the call to its operation and hold its arguments to the contract. Raises Refusal, and whatever the body's stream raises.

        Only a body that the contract describes is read, up to `body_bytes_max` bytes; any other is left to be streamed.
        """
        found = self.routes.match(call.method, call.path)
        if found is None:
            return Invocation(call, self._undeclared(call.method), {}, call.query, None)
        plan, raw = found
        return await bind_plan(plan, raw, call, slash=self.settings.path_encoded_slash, body_bytes_max=body_bytes_max)

    def operation_at(self, method: str, path: str) -> Operation:
        """The operation that a call of this path is one of, whether or not its arguments keep to the contract."""
        found = self.routes.match(method, path)
        return found[0].operation if found else self._undeclared(method)

    def _undeclared(self, method: str) -> Operation:
        if self.contract is not None:
            return Operation(self.name, UNMAPPED, method, ANY_PATH, effect_of(method), log=self.undeclared_log)
        effect = _GENERIC.get(method, "destructive")
        return Operation(self.name, effect, method, ANY_PATH, effect)
