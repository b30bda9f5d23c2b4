"""Parses and validates policies in a process of its own: malformed text can end the parser's process, and that must not be the gateway.

Run as `python -m gateway.authorize.compile SECONDS`, of processor time at most: one JSON job on standard input, one JSON answer on standard output. Standard error says which
policy is being read, so that a crash can be placed. `compile_policies` is the caller's side.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from gateway.authorize.engine import EngineError, Rules, TooDeepError, parse_schema, policy_json, validate
from gateway.authorize.faults import Fault, worded
from gateway.authorize.pinpoint_syntax import Spot, syntax_spot
from gateway.authorize.pinpoint_types import false_spot, validity_spot
from gateway.authorize.schema import SchemaSource
from gateway.authorize.splitting import Piece
from gateway.canonical import Json, JsonError, dumps, loads_trusted
from gateway.errors import Problem, Problems

CPU_S = 120
"""Time on a processor, not on the clock: on a busy machine many good policies may wait long for their turn."""
TIMEOUT_S = 900
NICE = 10
"""Calls come first: on a machine without a core to spare, a reload takes longer, not they."""
PROBES_AT_ONCE = 200
READ_AT_ONCE = 50
PLACING_S = 10
"""How long places are looked for. Where there are very many faults, the time is better spent on correcting the first ones."""
STACK_BYTES = 2 * 1024 * 1024
"""The child reads with a smaller stack than the gateway has, so what it survives the gateway survives."""

_ROOT = Path(__file__).resolve().parents[2]
_PROBE = '1 < "never"'
_SHALLOWER = "compare with a list, [...].contains(...), or write several policies: about a hundred in one chain are read"


def compile_policies(
    pieces: Sequence[Piece], source: SchemaSource, *, declared_in: str = "", cpu_s: int = CPU_S
) -> tuple[list[Mapping[str, Json] | None], list[Problem]]:
    """The policies as JSON trees (None where one cannot be parsed), and everything that parser and validator find wrong, with its place.

    `declared_in` is the file of the declared part of the schema, for a fault in it. Raises Problems when the compiler itself gave up.
    """
    job = dumps({"pieces": [piece.text for piece in pieces], "generated": source.generated, "declared": source.declared})
    command = [sys.executable, "-m", "gateway.authorize.compile", str(cpu_s)]
    try:
        # No environment: credentials may stand in ours, and a parser of text from elsewhere has no use for them.
        done = subprocess.run(command, input=job, capture_output=True, timeout=TIMEOUT_S, cwd=_ROOT, env={}, check=False)  # noqa: S603 - our own interpreter and module
    except subprocess.TimeoutExpired as error:
        raise Problems([_crash(pieces, error.stderr or b"", f"took longer than {TIMEOUT_S} s")]) from error
    if done.returncode == -signal.SIGXCPU:
        raise Problems([_crash(pieces, done.stderr, f"took longer than {cpu_s} s of processor time")])
    if done.returncode != 0:
        raise Problems([_crash(pieces, done.stderr, f"ended its process (status {done.returncode})")])
    faults, *trees = (loads_trusted(line) for line in done.stdout.split(b"\n"))  # one by one: other threads wait while one is read
    return trees, worded([Fault(*fault) for fault in faults], pieces, source, declared_in)


def _crash(pieces: Sequence[Piece], progress: bytes, what: str) -> Problem:
    numbers = re.findall(rb"^at (\d+)$", progress, re.MULTILINE)
    if not numbers or b"together" in progress:
        return Problem(
            "policy_compiler",
            f"the compiler of policies {what} while it looked at all of them together, or at the schema",
            remedy="run `portreeve policy check` and report this",
        )
    piece = pieces[int(numbers[-1])]
    return piece.problem("policy_crashes_parser", f"reading this policy {what}", remedy="simplify it")


def work(job: Mapping[str, Json]) -> dict[str, Json]:
    """The child's work: each policy by itself, then all of them against the schema. A fault is what `Fault` holds."""
    trees: list[Json] = []
    faults: list[Fault] = []
    texts: Sequence[str] = job["pieces"]
    until = time.monotonic() + PLACING_S
    for position, text in enumerate(texts):
        os.write(2, b"at %d\n" % position)
        try:
            trees.append(_tree(text))
        except TooDeepError as error:
            trees.append(None)
            faults.append(Fault(position, "policy_too_deep", str(error), remedy=_SHALLOWER))
        except EngineError as error:
            trees.append(None)
            faults.append(
                _placed(Fault(position, "policy_syntax", str(error)), until, lambda f: syntax_spot(texts[f.position], f.message, _complaint))
            )
    os.write(2, b"together\n")
    for position, message in _unread(texts, [n for n, tree in enumerate(trees) if tree is not None]):
        trees[position] = None
        faults.append(Fault(position, "policy_syntax", message))
    try:
        schema = parse_schema(dumps(job["generated"]).decode(), declared=job["declared"])
    except EngineError as error:
        return _answer(trees, [*faults, Fault(-1, "schema_invalid", str(error))])
    good = [position for position, tree in enumerate(trees) if tree is not None]
    for position, message in validate([texts[n] for n in good], schema):
        fault = Fault(good[position] if position >= 0 else -1, "policy_invalid", message)
        faults.append(_placed(fault, until, lambda f: validity_spot(texts[f.position], f.message, lambda text: _messages(text, schema))))
    faulty = {fault.position for fault in faults}
    for position in _impossible(texts, [n for n in good if n not in faulty], schema):
        fault = Fault(position, "policy_never_applies", "this policy can never apply: from here on its condition is false, whatever the call is")
        faults.append(_placed(fault, until, lambda f: false_spot(texts[f.position], lambda text: bool(validate([_probed(text)], schema)))))
    return _answer(trees, faults)


def _tree(text: str) -> Mapping[str, Json]:
    """The tree of one policy, seen to be one that the answer can hold. Raises EngineError."""
    tree = policy_json(text)
    try:
        dumps(tree)
    except JsonError as error:
        raise TooDeepError from error
    return tree


def _unread(texts: Sequence[str], good: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Policies that have a tree, and yet cannot be read as slices read them. Many at once: that costs a third, and there should be none."""
    for start in range(0, len(good), READ_AT_ONCE):
        some = good[start : start + READ_AT_ONCE]
        if _refused([texts[n] for n in some]):
            yield from ((n, why) for n in some if (why := _refused([texts[n]])))


def _refused(texts: Sequence[str]) -> str:
    try:
        Rules.of(texts, ["x"] * len(texts))
    except EngineError as error:
        return str(error)
    return ""


def _answer(trees: Sequence[Json], faults: Iterable[Fault]) -> dict[str, Json]:
    return {"trees": list(trees), "faults": [astuple(fault) for fault in sorted(faults, key=lambda f: (f.position, f.offset, f.code, f.message))]}


def _placed(fault: Fault, until: float, spot: Callable[[Fault], Spot]) -> Fault:
    """With its place, while there is time to look for it."""
    if fault.position < 0 or time.monotonic() > until:
        return fault
    found = spot(fault)
    return Fault(fault.position, fault.code, found.message or fault.message, found.offset, found.remedy)


def _complaint(text: str) -> str:
    try:
        policy_json(text)
    except EngineError as error:
        return str(error)
    return ""


def _messages(text: str, schema: Any) -> list[str]:
    """What the validator says of one policy; nothing where cutting has left none."""
    return [message for _, message in validate([text], schema)] if not _complaint(text) else []


def _impossible(texts: Sequence[str], good: Sequence[int], schema: Any) -> list[int]:
    """Policies that can never apply. The engine finds them but keeps it to itself, so each gets a type error as its last condition: where the
    engine does not complain of it, it has proven that the condition is never reached.
    """
    reached: set[int] = set()
    for start in range(0, len(good), PROBES_AT_ONCE):  # the engine's time for findings grows with the square of the text
        some = good[start : start + PROBES_AT_ONCE]
        found = validate([_probed(texts[n]) for n in some], schema)
        reached |= {some[position] for position, _ in found}
    return [n for n in good if n not in reached]


def _probed(text: str) -> str:
    return f"{text[:-1]}\nwhen {{ {_PROBE} }};"


def _lines(answer: Mapping[str, Json]) -> bytes:
    """The faults on the first line, then the tree of each policy on one of its own."""
    return b"\n".join(map(dumps, [answer["faults"], *answer["trees"]]))


def main() -> None:
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = loads_trusted(sys.stdin.buffer.read())
    answer: list[bytes] = []
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=lambda: answer.append(_lines(work(job))))
    thread.start()
    thread.join()
    if not answer:
        sys.exit(1)
    sys.stdout.buffer.write(answer[0])


if __name__ == "__main__":
    main()
