"""Parses and validates policies in a process of its own: malformed text can end the parser's process, and that must not be the gateway.

Run as `python -m gateway.authorize.compile`: one JSON job on standard input, one JSON answer on standard output. Standard error says which
policy is being read, so that a crash can be placed. `compile_policies` is the caller's side.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.authorize.engine import EngineError, Rules, parse_schema, policy_json, validate
from gateway.authorize.schema import SchemaSource
from gateway.authorize.splitting import Piece
from gateway.canonical import Json, dumps, loads_trusted
from gateway.errors import Problem, Problems

TIMEOUT_S = 120
PROBES_AT_ONCE = 200
STACK_BYTES = 2 * 1024 * 1024
"""The child reads with a smaller stack than the gateway has, so what it survives the gateway survives."""

_ROOT = Path(__file__).resolve().parents[2]
_QUOTED = re.compile(r"`([^`]+)`")
_PROBE = '1 < "never"'
_REMEDIES = (
    ("never apply", "look for a misspelt name behind `has`, a constant, or two sides that are never of one type"),
    ("unrecognized action", "use an operation of a contract as TOOL/OPERATION, or a group: read, write, destructive, unmapped, TOOL/*"),
    ("unrecognized entity type", "the types are User, Team, Agent, AgentGroup, Tool and ToolGroup"),
    ("optional attribute", "ask first: `context.input has NAME && ...`, or `principal has NAME && ...`"),
    ("unable to find an applicable action", "the scope can never match: principals are Agents, resources are Tools"),
    ("attribute", "see `portreeve policy schema` for what there is"),
    ("types", 'compare values of one type; a number of a contract is a decimal: decimal("50.00") with lessThan and greaterThan'),
    ("expected", "see `portreeve policy schema` for the types"),
)


def compile_policies(
    pieces: Sequence[Piece], source: SchemaSource, *, declared_in: str = ""
) -> tuple[list[Mapping[str, Json] | None], list[Problem]]:
    """The policies as JSON trees (None where one cannot be parsed), and everything that parser and validator find wrong, with file and line.

    `declared_in` is the file of the declared part of the schema, for a fault in it. Raises Problems when the compiler itself gave up.
    """
    job = dumps({"pieces": [piece.text for piece in pieces], "generated": source.generated, "declared": source.declared})
    command = [sys.executable, "-m", "gateway.authorize.compile"]
    try:
        # No environment: credentials may stand in ours, and a parser of text from elsewhere has no use for them.
        done = subprocess.run(command, input=job, capture_output=True, timeout=TIMEOUT_S, cwd=_ROOT, env={}, check=False)  # noqa: S603 - our own interpreter and module
    except subprocess.TimeoutExpired as error:
        raise Problems([_crash(pieces, error.stderr or b"", f"took longer than {TIMEOUT_S} s")]) from error
    if done.returncode != 0:
        raise Problems([_crash(pieces, done.stderr, f"ended its process (status {done.returncode})")])
    answer = loads_trusted(done.stdout)
    return list(answer["trees"]), [_fault(pieces, declared_in, fault) for fault in answer["faults"]]


def _crash(pieces: Sequence[Piece], progress: bytes, what: str) -> Problem:
    numbers = re.findall(rb"^at (\d+)$", progress, re.MULTILINE)
    if not numbers or b"validating" in progress:
        return Problem(
            "policy_compiler",
            f"the compiler of policies {what} while it read the schema or validated",
            remedy="run `portreeve policy check` and report this",
        )
    piece = pieces[int(numbers[-1])]
    return Problem("policy_crashes_parser", f"reading this policy {what}", file=piece.file, line=piece.line, remedy="simplify it")


def _fault(pieces: Sequence[Piece], declared_in: str, fault: Sequence[Any]) -> Problem:
    position, code, message = fault
    if position < 0:
        remedy = "correct schema.cedarschema; it may add types and actions, not change the generated ones"
        return Problem(code, message[:500], file=declared_in, remedy=remedy)
    piece = pieces[position]
    line = _line(piece, message)
    remedy = next((text for words, text in _REMEDIES if words in message), "see policies/README.md")
    return Problem(code, message[:500], file=piece.file, line=line, remedy=remedy)


def _line(piece: Piece, message: str) -> int:
    """The line that the message is most likely about: where something that it quotes stands."""
    for quoted in _QUOTED.findall(message):
        for text in (quoted, quoted.rpartition("::")[2], quoted.rpartition(".")[2]):
            offset = piece.text.find(text)
            if text and offset >= 0:
                return piece.line_of(offset)
    return piece.line


def closest(name: str, known: Sequence[str]) -> str:
    """A hint at what was probably meant; empty when nothing is near."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {found[0]!r}?" if found else ""


def work(job: Mapping[str, Json]) -> dict[str, Json]:
    """The child's work: each policy by itself, then all of them against the schema."""
    trees: list[Json] = []
    faults: list[Json] = []
    for position, text in enumerate(job["pieces"]):
        os.write(2, b"at %d\n" % position)
        try:
            tree = policy_json(text)
            Rules.of([text], ["x"])
            trees.append(tree)
        except EngineError as error:
            trees.append(None)
            faults.append([position, "policy_syntax", str(error)])
    os.write(2, b"validating\n")
    try:
        schema = parse_schema(dumps(job["generated"]).decode(), declared=job["declared"])
    except EngineError as error:
        return {"trees": trees, "faults": [*faults, [-1, "schema_invalid", str(error)]]}
    good = [position for position, tree in enumerate(trees) if tree is not None]
    for position, message in validate([job["pieces"][n] for n in good], schema):
        faults.append([good[position] if position >= 0 else -1, "policy_invalid", message])
    faulty = {position for position, *_ in faults}
    return {"trees": trees, "faults": sorted(faults + _impossible(job["pieces"], [n for n in good if n not in faulty], schema))}


def _impossible(texts: Sequence[str], good: Sequence[int], schema: Any) -> list[Json]:
    """Policies that can never apply. The engine finds them but keeps it to itself, so each gets a type error as its last condition: where the
    engine does not complain of it, it has proven that the condition is never reached.
    """
    reached: set[int] = set()
    for start in range(0, len(good), PROBES_AT_ONCE):  # the engine's time for findings grows with the square of the text
        some = good[start : start + PROBES_AT_ONCE]
        found = validate([f"{texts[n][:-1]}\nwhen {{ {_PROBE} }};" for n in some], schema)
        reached |= {some[position] for position, _ in found}
    message = "this policy can never apply: its condition is false whatever the call is"
    return [[n, "policy_never_applies", message] for n in good if n not in reached]


def main() -> None:
    job = loads_trusted(sys.stdin.buffer.read())
    answer: list[bytes] = []
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=lambda: answer.append(dumps(work(job))))
    thread.start()
    thread.join()
    if not answer:
        sys.exit(1)
    sys.stdout.buffer.write(answer[0])


if __name__ == "__main__":
    main()
