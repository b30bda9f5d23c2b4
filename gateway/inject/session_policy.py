"""Fills the template of a session policy from the arguments of one call, as the contract validated them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.canonical import Json, dumps
from gateway.config.session_policy import CHARACTERS_MAX, PLACEHOLDER, needed, statements
from gateway.inject.source import Unreadable

# What of an ARN or a condition nothing reads as more than itself: `*` and `?` stand for others, `$` begins a variable, `:` and `/` part one name
# from the next, a comma or quote might end a text for somebody. A path has slashes and colons, and no segment that is empty or made of dots.
_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9 !'()+.=@_~-]+", re.ASCII)
_PATH = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[A-Za-z0-9 !'()+.:=@_~-]+/)*(?!\.{1,2}\Z)[A-Za-z0-9 !'()+.:=@_~-]*", re.ASCII)


def filled(policy: Mapping[str, Json], arguments: Mapping[str, Json]) -> str:
    """The policy of one call, as JSON. Statements whose arguments the call does not have are left out. Raises Unreadable."""
    kept: list[Json] = []
    missing: set[str] = set()
    for statement in statements(policy):
        absent = needed(statement) - arguments.keys()
        missing |= absent
        if not absent:
            kept.append(_replaced(statement, arguments))
    if not any(isinstance(statement, dict) and statement["Effect"] == "Allow" for statement in kept):
        raise Unreadable(f"the call has no argument {', '.join(sorted(missing))}, and nothing of the policy is left", "write a statement for it")
    text = dumps({**policy, "Statement": kept}).decode()
    if len(text) > CHARACTERS_MAX:
        raise Unreadable(f"the session policy of this call is longer than {CHARACTERS_MAX} characters", "allow less, or bound the arguments")
    return text


def _replaced(value: object, arguments: Mapping[str, Json]) -> Json:
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: _escaped(found[1], arguments[found[1]], is_path=found[2] is not None), value)
    if isinstance(value, list):
        return [_replaced(item, arguments) for item in value]
    if isinstance(value, dict):
        return {name: _replaced(item, arguments) for name, item in value.items()}
    return value


def _escaped(name: str, value: Json, *, is_path: bool) -> str:
    """An argument that stands for exactly one thing, as it is: nothing has an escape in an ARN, so all else is refused."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text or not (_PATH if is_path else _NAME).fullmatch(text):
        what = "a path" if is_path else "one name"
        raise Unreadable(f"the argument {name} does not stand for {what} of AWS", "let the contract ask for it, with a pattern")
    return text
