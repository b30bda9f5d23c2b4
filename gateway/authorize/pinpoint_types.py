"""Finds where a policy that parses is not valid: the validator's messages name types, seldom the place.

The smallest expression that draws the same message by itself, behind the conditions that guard it, is the one that is meant. That asks the
validator again, so it runs where the compiler runs: in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.authorize.pinpoint_syntax import Spot, effect_of, named_spot, sequences
from gateway.authorize.syntax import Clause, Node, NotUnderstood, clauses, tokens

Validate = Callable[[str], Sequence[str]]
"""The validator's messages about the text of one policy."""

_NAMED = re.compile(r"`([^`]+)`")
_ATTRIBUTE = re.compile(r"attribute `([^`]+)`")
_TRUTHS = frozenset({"and", "or", "not"})
_CONDITIONS = frozenset({"compare", "in", "like", "is", "has", "call", "not"})


def validity_spot(text: str, message: str, validate: Validate) -> Spot:
    """Where the message belongs; where the policy's effect stands if nothing smaller draws it."""
    words = tokens(text)
    try:
        found = clauses(text)
    except NotUnderstood:
        return named_spot(text, words, message)
    if named := _ATTRIBUTE.search(message):
        return _read_spot(text, found, (message, named[1].rpartition(".")[2]), validate)
    for quoted in _NAMED.findall(message):
        places = sequences(words, [word.text for word in tokens(quoted)])
        if behind := [place for place in places if place >= effect_of(words)]:  # not in an annotation
            return Spot(behind[0])
    trial = _Trial(text, text[: found[0].start] if found else "", message, validate)
    for node in _ordered(found, trial):
        return Spot(_pointed(node))
    return Spot(effect_of(words))


def false_spot(text: str, is_reached: Callable[[str], bool]) -> Spot:
    """Where a policy becomes one that never applies: at the first condition behind which nothing is reached."""
    try:
        found = clauses(text)
    except NotUnderstood:
        return Spot(0)
    head = text[: found[0].start] if found else text[:-1]
    if not is_reached(f"{head};"):
        return Spot(effect_of(tokens(text)))
    for clause in found:
        for node in clause.conjuncts:
            head = f"{head} {clause.kind} {{ {text[node.start : node.end]} }}"
            if not is_reached(f"{head};"):
                return Spot(node.start)
    return Spot(effect_of(tokens(text)))


def _read_spot(text: str, found: Sequence[Clause], about: tuple[str, str], validate: Validate) -> Spot:
    """The read of an attribute that the message names; of several, the first that draws it with all others taken away."""
    message, name = about
    nodes = [node for clause in found for node in clause.body.walk()]
    reads = [node for node in nodes if node.kind == "member" and node.word == name]
    reads = reads or [node for node in nodes if node.kind == "has" and name in node.word.split(".")]
    for read in reads if len(reads) > 1 else ():
        around = _condition(nodes, read)
        others = {_condition(nodes, other) for other in reads} - {around}
        if message in validate(_without(text, others)):
            return Spot(read.at)
    return Spot(reads[0].at if reads else effect_of(tokens(text)))


def _condition(nodes: Sequence[Node], read: Node) -> Node:
    """The smallest condition that a read stands in."""
    around = [node for node in nodes if node.kind in _CONDITIONS and node.start <= read.start and read.end <= node.end]
    return min(around, key=lambda node: node.end - node.start, default=read)


def _without(text: str, nodes: set[Node]) -> str:
    """The text with these conditions taken for true."""
    for node in sorted(nodes, key=lambda n: n.start, reverse=True):
        text = f"{text[: node.start]}true{text[node.end :]}"
    return text


@dataclass(frozen=True, slots=True)
class _Trial:
    """Asks whether an expression draws the message by itself. `head` is the policy before its conditions, and the conditions that hold by then."""

    text: str
    head: str
    message: str
    validate: Validate

    def of(self, node: Node) -> str:
        return self.text[node.start : node.end]

    def behind(self, kind: str, node: Node) -> _Trial:
        return replace(self, head=f"{self.head} {kind} {{ {self.of(node)} }}")

    def draws(self, node: Node, *, as_truth: bool) -> bool:
        """An expression that is no condition is compared with itself, which is valid for any type."""
        inner = self.of(node) if as_truth else f"{self.of(node)} == {self.of(node)}"
        return self.message in self.validate(f"{self.head} when {{ {inner} }};")


def _ordered(found: Sequence[Clause], trial: _Trial) -> Iterator[Node]:
    """The smallest culprit of every condition that has one."""
    for clause in found:
        for node in clause.conjuncts:
            if trial.draws(node, as_truth=True):
                yield _smallest(node, trial, as_truth=True)
            trial = trial.behind(clause.kind, node)


def _smallest(node: Node, trial: _Trial, *, as_truth: bool) -> Node:
    """The smallest expression within one that draws the message."""
    for number, part in enumerate(node.parts):
        is_truth = node.kind in _TRUTHS or (node.kind == "if" and (number == 0 or as_truth))
        if trial.draws(part, as_truth=is_truth):
            return _smallest(part, trial, as_truth=is_truth)
        if node.kind == "and" or (node.kind == "if" and number == 0):
            trial = trial.behind("when", part)
    return node


def _pointed(node: Node) -> int:
    """What to point at: the constant of two sides, since the other one is what it is; a call's argument; else the operator."""
    constants = [part for part in node.parts if part.kind in {"literal", "set"}]
    if len(constants) == 1:
        return constants[0].start
    if node.kind == "call" and len(node.parts) > 1:
        return node.parts[-1].start
    return node.at
