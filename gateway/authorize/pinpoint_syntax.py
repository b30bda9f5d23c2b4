"""Finds where a policy stops being Cedar: the parser's messages carry no position, and a line may hold many things.

A parser stops at the first word that cannot stand where it stands, so the shortest beginning of the text that draws the same complaint ends with
that word. That asks the parser again, so it runs where the compiler runs: in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.authorize.spelling import closest
from gateway.authorize.syntax import CLOSING, Token, tokens

Parse = Callable[[str], str]
"""The parser's complaint about a text; empty when it has none."""

TRIED_MAX = 200
"""Words of one spelling that are tried before the last one is taken for it."""

_NAMED = re.compile(r"`([^`]+)`|(?:effect|condition|variable|scope|annotation): (@?\w+)$|'(=)'")
_SCOPE_WORDS = ("principal", "action", "resource")
_WORDS_OF_OTHERS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "&": "&&", "|": "||"}
_METHODS = ("contains", "containsAll", "containsAny", "isEmpty", "lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual")
_FUNCTIONS = ("ip", "decimal", "datetime", "duration")
_MORE_METHODS = ("isIpv4", "isIpv6", "isLoopback", "isMulticast", "isInRange", "hasTag", "getTag", "offset", "durationSince", "toDate", "toTime")
_VOCABULARY: dict[str, tuple[str, ...]] = {
    "policy effect": ("permit", "forbid"),
    "policy condition": ("when", "unless"),
    "policy scope": _SCOPE_WORDS,
    "valid function": _FUNCTIONS,
    "valid method": (*_METHODS, *_MORE_METHODS),
    "invalid variable": (*_SCOPE_WORDS, "context"),
    "member access": (*_SCOPE_WORDS, "context"),
}
_REMEDIES = {
    "'='": "did you mean ==?",
    "policy effect": "a policy is a permit or a forbid",
    "policy condition": "conditions begin with when or unless",
    "entity uid": 'write an entity: Agent::"name", AgentGroup::"name", Action::"tool/operation", Tool::"name"',
    "policy scope": "a scope is (principal, action, resource), in this order and with commas",
    "found the variable": "a scope is (principal, action, resource), in this order and with commas",
    "valid function": f"the functions are {', '.join(_FUNCTIONS)}",
    "valid method": f"the methods are {', '.join(_METHODS)}",
    "null": "an argument that is null is absent: ask with has",
    "invalid variable": "the variables are principal, action, resource and context; texts stand in double quotes",
    "member access": "the variables are principal, action, resource and context",
    "duplicate annotation": "keep one of the two",
    "valid escape": 'write \\\\ for a backslash, \\" for a quote, \\u{e9} for a character by its number',
    "`like`": 'a pattern is a text with stars, such as "/data/*"; to compare two values write ==',
    "cannot be empty": "write a condition between the braces, or remove the clause",
}
"""Words of a complaint -> what to write, the first that fits."""
_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "has", "like", "is"})
_KNOWN_SIGN = re.compile(r'"|(?:\w+|\?\w+|[@(){}\[\],;.:<>=!+\-*?]+|&&|\|\|)\Z', re.ASCII)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a policy's text, with what to say there. `message` and `remedy` are empty where nothing better than the engine's is known."""

    offset: int
    message: str = ""
    remedy: str = ""


def syntax_spot(text: str, complaint: str, parse: Parse) -> Spot:
    """Where a text that does not parse goes wrong."""
    words = tokens(text)
    if complaint == "invalid token":
        return _strange_sign(words)
    if complaint.startswith("unexpected token"):
        return _unexpected(words, _first_wrong(text, words, complaint, parse))
    if complaint.startswith("multiple relational operators"):
        return _second_relation(words)
    if complaint.startswith("integer parse error"):
        number = next((word for word in words if word.text.isdigit() and not _fits(word.text)), words[0])
        return Spot(number.start, remedy="numbers end at 9223372036854775807")
    if "is missing the `" in complaint:
        closing = next((word for word in words if word.text == ")" and word.start > effect_of(words)), words[-1])
        return Spot(closing.start, remedy="a scope is (principal, action, resource), in this order and with commas")
    return named_spot(text, words, complaint)


def _fits(digits: str) -> bool:
    """Whether a number fits in 64 bits; one of thousands of digits is not even read."""
    return len(digits.lstrip("0")) <= 19 and int(digits) < 2**63


def _first_wrong(text: str, words: Sequence[Token], complaint: str, parse: Parse) -> int:
    """The number of the word at which the parser stops: the first of its spelling with which a beginning of the text draws the complaint."""
    spelled = complaint.partition("`")[2].removesuffix("`")
    places = [number for number, word in enumerate(words) if word.text == spelled][:TRIED_MAX]
    if spelled == ";":  # there is one, at the end
        return len(words) - 1
    return next((number for number in places if parse(f"{text[: words[number].end]};") == complaint), places[-1] if places else len(words) - 1)


def _unexpected(words: Sequence[Token], at: int) -> Spot:
    word, before = words[at], words[at - 1] if at else words[0]
    opened = _opened(words[:at])
    after = before.end
    if word.text in {";", "when", "unless"} and opened and (word.text == ";" or opened[-1].text == "("):
        return Spot(opened[-1].start, f"this {opened[-1].text} is not closed", f"write {CLOSING[opened[-1].text]} before {word.text}")
    if word.text in CLOSING.values() and (not opened or CLOSING[opened[-1].text] != word.text):
        return _crossed(word, opened)
    effects = {"permit", "forbid"}
    if word.text in {*effects, "@"} and before.text in {")", "}"}:
        return Spot(after, "a semicolon is missing here", "every policy ends with a semicolon")
    if word.text == "(" and before.text in effects and at > 1 and words[at - 2].text == "}":  # read as a condition's name
        return Spot(words[at - 2].end, "a semicolon is missing here", "every policy ends with a semicolon")
    if word.text in _SCOPE_WORDS and at >= 1 and before.text in effects:
        return Spot(word.start, "a bracket is missing here", f"write {before.text} (principal, action, resource)")
    if word.text in _SCOPE_WORDS and len(opened) == 1 and opened[0].text == "(":
        return Spot(after, "a comma is missing here", "a scope is (principal, action, resource), in this order and with commas")
    if before.text in {"when", "unless"}:
        return Spot(word.start, f"{word.text} cannot stand here", f"conditions stand in braces: {before.text} {{ ... }}")
    if word.text == "=" or (word.text in {"<", ">"} and before.text == "="):
        spelled = {"<": "<=", ">": ">="}.get(word.text, "==")
        return Spot(before.start, f"{before.text}{word.text} is no operator of Cedar", f"did you mean {spelled}?")
    return _misplaced(word, before)


def _misplaced(word: Token, before: Token) -> Spot:
    for one in (word, before):
        if one.text in _WORDS_OF_OTHERS:
            return Spot(one.start, f"{one.text} is no word of Cedar", f"did you mean {_WORDS_OF_OTHERS[one.text]} ?")
    if word.text.isdigit() and before.text == ".":
        return Spot(word.start, "a number with a point cannot stand here", 'write decimal("3.50"), and compare with lessThan and greaterThan')
    if word.text in _METHODS:
        return Spot(word.start, f"{word.text} is a method", f"write VALUE.{word.text}(...)")
    if word.text in CLOSING.values() or word.text in {";", ","}:
        return Spot(word.start, f"something is missing before {word.text}", f"complete the expression after {before.text}")
    if (word.text[0] == '"' or word.text[0].isalnum()) and (before.text[0] == '"' or before.text[0].isalnum() or before.text in CLOSING.values()):
        return Spot(before.end, f"an operator or a comma is missing before {word.text}", "join conditions with && or ||, list members with commas")
    return Spot(word.start, f"{word.text} cannot stand here", "see policies/README.md for what a rule is made of")


def _crossed(word: Token, opened: Sequence[Token]) -> Spot:
    """A bracket that closes another one than was opened last."""
    if not opened:
        return Spot(word.start, f"nothing is open that this {word.text} could close", "remove it")
    inner = opened[-1]
    return Spot(inner.start, f"this {inner.text} is not closed", f"write {CLOSING[inner.text]} before {word.text}")


def _opened(words: Sequence[Token]) -> list[Token]:
    """The brackets that are open behind these words, the innermost last."""
    found: list[Token] = []
    for word in words:
        if word.text in CLOSING:
            found.append(word)
        elif word.text in CLOSING.values() and found:
            found.pop()
    return found


def effect_of(words: Sequence[Token]) -> int:
    """Where the effect stands, behind all annotations."""
    depth = 0
    for number, word in enumerate(words):
        depth += (word.text in CLOSING) - (word.text in CLOSING.values())
        if depth == 0 and word.text in {"permit", "forbid"} and (number == 0 or words[number - 1].text != "@"):
            return word.start
    return 0


def _strange_sign(words: Sequence[Token]) -> Spot:
    sign = next((word for word in words if not _KNOWN_SIGN.match(word.text)), words[0])
    if sign.text in "'`\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}":
        return Spot(sign.start, f"{sign.text} is no quotation mark of Cedar", 'texts stand in straight double quotes: "..."')
    if sign.text in _WORDS_OF_OTHERS:
        return Spot(sign.start, f"{sign.text} is no operator of Cedar", f"did you mean {_WORDS_OF_OTHERS[sign.text]} ?")
    remedy = "comments begin with //" if sign.text in "#/" else "remove it"
    return Spot(sign.start, f"{sign.text} has no meaning in Cedar", remedy)


def _second_relation(words: Sequence[Token]) -> Spot:
    """The second relation since a join or a bracket."""
    seen: list[int] = [0]
    for word in words:
        if word.text in CLOSING:
            seen.append(0)
        elif word.text in CLOSING.values():
            seen = seen[:-1] or [0]
        elif word.text in {"&&", "||", ",", "then", "else", ";"}:
            seen[-1] = 0
        elif word.text in _RELATIONS:
            seen[-1] += 1
            if seen[-1] == 2:
                return Spot(word.start, remedy="join two comparisons with &&, or put one in brackets")
    return Spot(words[0].start)


def named_spot(text: str, words: Sequence[Token], complaint: str) -> Spot:
    """Where the words stand that a complaint quotes; where the policy's effect stands if it quotes none."""
    begins = effect_of(words)
    for match in _NAMED.finditer(complaint.rpartition(" but got ")[2]):
        quoted = next(part for part in match.groups() if part)
        remedy = _remedy(quoted, complaint)
        wanted = [word.text for word in tokens(quoted)] + (["{", "}"] if "cannot be empty" in complaint else [])
        if places := sequences(words, wanted):
            return Spot(places[-1] if complaint.startswith("duplicate") else places[0], remedy=remedy)
        if (offset := text.find(quoted)) >= 0:  # within a string
            return Spot(offset, remedy=remedy)
    slot = next((word.start for word in words if word.text.startswith("?")), begins)
    return Spot(slot, remedy="write one policy for each, or use a group" if "templates" in complaint else "")


def _remedy(quoted: str, complaint: str) -> str:
    for start, known in _VOCABULARY.items():
        if start in complaint and (hint := closest(quoted, known)):
            return hint
    return next((remedy for start, remedy in _REMEDIES.items() if start in complaint), "")


def sequences(words: Sequence[Token], wanted: Sequence[str]) -> list[int]:
    """Every place where these words follow one another."""
    count = len(wanted)
    return [words[n].start for n in range(len(words) - count + 1) if all(words[n + i].text == wanted[i] for i in range(count))] if wanted else []
