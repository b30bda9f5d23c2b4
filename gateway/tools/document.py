"""Reads a contract file into plain JSON values, strictly, and remembers on which line each member stands.

YAML is read as YAML 1.2 with the JSON types only, from libyaml's events and without its object constructors: no aliases (a bomb of ten lines
expands to gigabytes), no tags, no merge keys, no duplicate keys, and `no`, `1:30` or `2024-01-01` stay texts. JSON goes through
`gateway.canonical`. Limits: BYTES_MAX, DEPTH_MAX, NODES_MAX.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gateway.canonical import INTEGER_MAX, INTEGER_MIN, Json, JsonError, loads
from gateway.errors import Problem

BYTES_MAX = 8 * 1024 * 1024
DEPTH_MAX = 64
NODES_MAX = 1_000_000

Place = tuple[str, ...]
"""Where something stands in a document: member names and item numbers from the top."""

# The core schema of YAML 1.2 (section 10.3.2), without octal and hexadecimal, infinity and NaN.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WIDE = "does not fit in 64 bits"  # all that the strict JSON reader has against a bound such as 9223372036854775807000
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Document:
    """A contract as plain values. `raw` is the file, `lines` the 1-based line of each member as far as it is known."""

    file: str
    raw: bytes = field(repr=False)
    value: Json = field(repr=False)
    lines: dict[Place, int] = field(repr=False)

    def line(self, place: Place) -> int:
        """The line of the member at `place`, or of the nearest one around it; 0 when nothing is known."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)


def pointer(place: Place) -> str:
    """The JSON pointer (RFC 6901) of a place; "" is the whole."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in place)


def read_document(path: Path) -> Document:
    """Read one contract file, `.json` as JSON and anything else as YAML. Raises Problem."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(BYTES_MAX + 1)
    except OSError as error:
        raise Problem(
            "contract_unreadable",
            f"the contract cannot be read: {error.strerror}",
            file=str(path),
            remedy="name an OpenAPI 3 file that the gateway may read",
        ) from error
    if len(raw) > BYTES_MAX:
        raise Problem(
            "contract_too_large",
            f"the contract is larger than {BYTES_MAX} bytes",
            file=str(path),
            remedy="keep only the operations that agents call",
        )
    return parse_json(raw, str(path)) if path.suffix == ".json" else parse_yaml(raw, str(path))


def parse_json(raw: bytes, file: str) -> Document:
    """Parse JSON text. Lines come from reading it once more as YAML, which nearly all JSON is; where it is not, they stay unknown."""
    try:
        value = loads(raw, depth_max=DEPTH_MAX, members_max=NODES_MAX)
    except JsonError as error:
        if _WIDE in str(error):
            return parse_yaml(raw, file)
        line = getattr(error.__cause__, "lineno", 0)
        raise Problem("contract_syntax", f"{error}", file=file, line=line, remedy="write plain JSON, each key once") from error
    lines: dict[Place, int] = {}
    with contextlib.suppress(Problem):
        lines = parse_yaml(raw, file).lines
    return Document(file, raw, value, lines)


def parse_yaml(raw: bytes, file: str) -> Document:
    """Parse YAML text. Raises Problem with the line of the first fault."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Problem("contract_syntax", "the file is not UTF-8", file=file, line=line, remedy="save it as UTF-8") from error
    tree = _Tree(file)
    try:
        for event in yaml.parse(raw, Loader=yaml.CSafeLoader):
            tree.take(event)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise Problem("contract_syntax", error.problem or "not valid YAML", file=file, line=line, remedy="correct the YAML") from error
    except yaml.YAMLError as error:
        raise Problem("contract_syntax", "not valid YAML", file=file, remedy="save it as plain UTF-8 text without control characters") from error
    return Document(file, raw, tree.value, tree.lines)


class _Tree:
    """Builds the value from the stream of events with a stack of its own, so that depth is a limit and never a crash."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.value: Json = None
        self.lines: dict[Place, int] = {}
        self.documents = 0
        self.nodes = 0
        self.stack: list[dict[str, Json] | list[Json]] = []
        self.keys: list[tuple[str, int] | None] = []  # the key that waits for its value, and its line, one per open mapping
        self.place: list[str] = []

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise self.fault("an alias (`*name`) is not accepted: it can make a small file enormous", line, "repeat the text or use $ref")
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self.fault("the file holds more than one document", line, "keep one document per file")
        elif isinstance(event, yaml.ScalarEvent):
            self.scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if event.tag is not None:
                raise self.fault(f"the tag {event.tag[:64]!r} is not accepted", line, "remove the tag")
            opened: dict[str, Json] | list[Json] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self.add(opened, line)
            if len(self.stack) >= DEPTH_MAX:
                raise self.fault(f"nested deeper than {DEPTH_MAX}", line, "use $ref for deep schemas")
            self.stack.append(opened)
            self.keys.append(None)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.stack.pop()
            self.keys.pop()
            if self.place:
                self.place.pop()

    def scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text: str = event.value
        if event.tag not in {None, "!", _TEXT_TAG}:
            raise self.fault(f"the tag {str(event.tag)[:64]!r} is not accepted", line, "remove the tag")
        if self.stack and isinstance(self.stack[-1], dict) and self.keys[-1] is None:
            if text == "<<" and event.implicit[0]:
                raise self.fault("a merge key (`<<`) is not accepted", line, "repeat the members or use $ref")
            if text in self.stack[-1]:
                raise self.fault(f"the key {text[:64]!r} stands twice", line, "keep one of the two")
            self.keys[-1] = (text, line)
            return
        self.add(self.resolve(text, line) if event.implicit[0] and event.tag is None else text, line)
        if self.place:
            self.place.pop()

    def add(self, value: Json, line: int) -> None:
        """Put a value where it belongs and step into its place."""
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise self.fault(f"more than {NODES_MAX} values", line, "keep only the operations that agents call")
        if not self.stack:
            self.value = value
            return
        around = self.stack[-1]
        if isinstance(around, list):
            self.place.append(str(len(around)))
            around.append(value)
        else:
            waiting = self.keys[-1]
            if waiting is None:
                raise self.fault("a key that is not a text is not accepted", line, "write the key as plain text")
            key, line = waiting
            self.place.append(key)
            around[key] = value
            self.keys[-1] = None
        self.lines[tuple(self.place)] = line

    def resolve(self, text: str, line: int) -> Json:
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if len(text) <= 20 and _INTEGER.fullmatch(text) and INTEGER_MIN <= int(text) <= INTEGER_MAX:
            return int(text)
        if _NUMBER.fullmatch(text):  # also an integer beyond 64 bits: generators write such bounds, and a bound may be rounded
            value = float(text)
            if math.isinf(value):
                raise self.fault("a number is out of range", line, "write a smaller number, or quote it if it is a text")
            return value
        return text

    def fault(self, message: str, line: int, remedy: str) -> Problem:
        return Problem("contract_syntax", message, file=self.file, line=line, remedy=remedy)
