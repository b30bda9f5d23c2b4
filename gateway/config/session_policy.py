"""Session policies of AWS as templates: `{args.NAME}` stands for an argument of the call, where filling it in can only take rights away.

A placeholder stands in a Resource, or a condition of equality, of a statement that allows. A statement whose arguments a call does not have is left out, which allows
less; one that denies could not be left out, so it holds none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gateway.canonical import Json, dumps
from gateway.config.agreement import Finding
from gateway.config.kinds import Fault

VERSION = "2012-10-17"
CHARACTERS_MAX = 2_048
"""As STS counts: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"""
PLACEHOLDER = re.compile(r"\{args\.([A-Za-z_][A-Za-z0-9_.-]{0,63})(:path)?\}")
ARN_COLONS = 5
"""So many stand before the part of an ARN that names the resource."""
_STATEMENT = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})
_EQUALS = re.compile(r"(?:For(?:All|Any)Values:)?(?:String|Arn|Numeric)(?:Equals|Like|EqualsIgnoreCase)(?:IfExists)?")
"""Conditions in which a value picks what is allowed, not what is not."""
_BRACES = re.compile(r"\$\{[^{}]*\}")
"""Variables of AWS's own, such as ${aws:PrincipalTag/team}."""


def statements(policy: Mapping[str, object]) -> list[object]:
    """The list of statements; one alone may stand without a list."""
    found = policy.get("Statement")
    return found if isinstance(found, list) else [found]


def texts(value: object) -> Iterator[str]:
    """Every text below a value; names of members not."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def needed(statement: object) -> set[str]:
    """The arguments that a statement stands for nothing without."""
    return {found[1] for text in texts(statement) for found in PLACEHOLDER.finditer(text)}


def of_policy(policy: Mapping[str, Json]) -> Iterator[Finding]:
    """What could never work, or could grant by what an agent writes."""
    key = "policy"
    if policy.get("Version") != VERSION:
        yield key, Fault("bad_policy", "is not of the version that is known", f'write Version = "{VERSION}" in it')
    if policy.keys() - {"Version", "Id", "Statement"}:
        yield key, Fault("bad_policy", "holds more than Version, Id and Statement", "take the rest out; a session policy names no principal")
    found = statements(policy)
    for number, statement in enumerate(found, 1):
        for fault in _of_statement(number, statement):
            yield key, fault
    if not any(isinstance(statement, dict) and statement.get("Effect") == "Allow" for statement in found):
        remedy = 'write a statement with Effect = "Allow": what a session may do is what role and policy both allow'
        yield key, Fault("bad_policy", "allows nothing", remedy)
    written = dumps(dict(policy)).decode()
    if not written.isascii():
        yield key, Fault("bad_policy", "holds a character that STS does not take", "write it in ASCII")
    if len(written) > CHARACTERS_MAX:
        yield key, Fault("bad_policy", f"is longer than {CHARACTERS_MAX} characters", "allow less, or put the rest into the role")


def _of_statement(number: int, statement: object) -> Iterator[Fault]:
    where = f"statement {number}"
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        yield Fault("bad_policy", f"has no Effect of Allow or Deny in {where}", 'write each as a table with Effect = "Allow", Action and Resource')
        return
    if statement.keys() - _STATEMENT:
        yield Fault("bad_policy", f"holds in {where} what a statement of a session policy has not", f"use only {', '.join(sorted(_STATEMENT))}")
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        yield Fault("bad_policy", f"has a Condition in {where} that is no table", "write it as { StringEquals = { KEY = VALUE } }")
        return
    picking = [value for operator, value in conditions.items() if _EQUALS.fullmatch(operator)]
    others = [value for operator, value in conditions.items() if not _EQUALS.fullmatch(operator)]
    filled = list(texts([statement.get("Resource"), picking]))
    rest = list(texts([{**statement, "Resource": None, "Condition": None}, others]))
    barred = (*rest, *_names(statement), *(filled if statement["Effect"] == "Deny" else ()))
    if any(map(PLACEHOLDER.search, barred)):
        message = f"has a placeholder in {where} where an agent could widen it"
        yield Fault(
            "bad_policy", message, "arguments may stand in a Resource and in conditions of equality, of a statement that allows, nowhere else"
        )
    for text in (*filled, *rest):
        yield from _of_text(where, text)


def _of_text(where: str, text: str) -> Iterator[Fault]:
    plain = PLACEHOLDER.sub("", _BRACES.sub("", text))
    if "{" in plain or "}" in plain or re.search(r"\$\{args\.", text):
        remedy = "write {args.NAME}, or {args.NAME:path} where slashes may stand"
        yield Fault("bad_policy", f"has braces in {where} that are no placeholder", remedy)
    for found in PLACEHOLDER.finditer(text):
        if found[2] and text.startswith("arn:") and text.count(":", 0, found.start()) < ARN_COLONS:
            yield Fault("bad_policy", f"has a path in {where} outside the part of the ARN that names the resource", "write {args.NAME} there")


def _names(value: object) -> Iterator[str]:
    """The names of all members, however deep."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(item)
