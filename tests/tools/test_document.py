"""Contract files are read strictly and every fault has its line."""

from __future__ import annotations

import pytest

from gateway.errors import Problem
from gateway.tools.document import DEPTH_MAX, parse_json, parse_yaml, pointer, read_document


def fault(raw: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_yaml(raw, "api.yaml")
    assert caught.value.file == "api.yaml"
    return caught.value


def test_a_document_knows_the_line_of_each_member_or_of_what_is_around_it():
    found = parse_yaml(b"openapi: 3.1.0\npaths:\n  /a:\n    get:\n      tags: [x]\n", "api.yaml")
    assert found.value == {"openapi": "3.1.0", "paths": {"/a": {"get": {"tags": ["x"]}}}}
    assert found.line(("paths", "/a", "get")) == 4
    assert found.line(("paths", "/a", "get", "nothing", "here")) == 4
    assert found.line(("absent",)) == 0


def test_yaml_is_read_with_the_types_of_json_only():
    text = b"{a: no, b: on, c: 1:30, d: 2024-01-01, e: 1e3, f: 0x10, g: ~, h: .inf, i: -7, j: '8', k: true, l: 1_000, 200: x}"
    assert parse_yaml(text, "f").value == {
        "a": "no", "b": "on", "c": "1:30", "d": "2024-01-01", "e": 1000.0, "f": "0x10", "g": None, "h": ".inf", "i": -7, "j": "8", "k": True,
        "l": "1_000", "200": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "line", "word"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, "twice"),
        (b"a: &x 1\nb: *x\n", 2, "alias"),
        (b"a: &x [y, y]\nb: &z [*x, *x]\n", 2, "alias"),
        (b"x: 1\n<<: {a: 1}\n", 2, "merge key"),
        (b"a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        (b"a: !thing {b: 1}\n", 1, "tag"),
        (b"a: !!binary aGk=\n", 1, "tag"),
        (b"a: !!float 1\n", 1, "tag"),
        (b"a: 1\n---\nb: 2\n", 2, "more than one document"),
        (b"? [a, b]\n: c\n", 1, "key"),
        (b"? {a: b}\n: c\n", 1, "key"),
        (b"a: 1\nb: {c\n", 3, ""),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        (b"a: " + b"9" * 5000, 1, "range"),
        (b"a: 1e999\n", 1, "range"),
        (b"a: \x00\n", 0, "YAML"),
    ],
)
def test_yaml_that_surprises_is_refused_with_its_line(raw: bytes, line: int, word: str):
    problem = fault(raw)
    assert (problem.line, problem.code) == (line, "contract_syntax")
    assert word in problem.message
    assert problem.remedy


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- "])
def test_deep_nesting_is_a_problem_and_not_a_crash(opening: bytes):
    assert "nested" in fault(opening * 50_000).message
    assert parse_yaml(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, "f").value


def test_json_is_read_strictly_and_its_lines_are_known_too():
    assert parse_json(b'{"a":\n {"b": 1}}', "api.json").line(("a", "b")) == 2
    with pytest.raises(Problem, match="duplicate key"):
        parse_json(b'{"a": 1, "a": 2}', "api.json")
    with pytest.raises(Problem) as caught:
        parse_json(b'{"a": 1,\n "b": }', "api.json")
    assert caught.value.line == 2


def test_a_bound_beyond_64_bits_is_rounded_as_generators_mean_it():
    assert parse_yaml(b"maximum: 9223372036854776000\n", "f").value == {"maximum": 9223372036854776000.0}
    assert parse_json(b'{"maximum": 9223372036854776000}', "f").value == {"maximum": 9223372036854776000.0}
    assert type(parse_yaml(b"maximum: 9223372036854775807", "f").value["maximum"]) is int
    with pytest.raises(Problem, match="twice"):
        parse_json(b'{"a": 1, "a": 9223372036854776000}', "f")


def test_a_file_that_is_missing_or_too_large_is_named(tmp_path):
    with pytest.raises(Problem, match="cannot be read") as caught:
        read_document(tmp_path / "none.yaml")
    assert caught.value.file.endswith("none.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(Problem, match="larger than"):
        read_document(tmp_path / "large.yaml")


def test_a_pointer_escapes_what_rfc_6901_says():
    assert pointer(("paths", "/a~b")) == "/paths/~1a~0b"
    assert pointer(()) == ""
