from __future__ import annotations

import pytest

from gateway.authorize.splitting import NESTING_MAX, POLICY_CHARS_MAX, as_text, scan_declared, split
from gateway.errors import Problem

FILE = "policies/a.cedar"


def test_every_policy_has_its_line_and_column():
    text = '// first\n@id("a")\npermit (principal, action, resource);\n\n  @id("b") forbid (principal, action, resource); @id("c") permit (principal, action, resource);\n'
    found = split(FILE, text)
    assert [(p.line, p.column) for p in found] == [(2, 1), (5, 3), (5, 50)]
    assert [p.text.startswith(f'@id("{name}")') for p, name in zip(found, "abc", strict=True)] == [True] * 3


@pytest.mark.parametrize("inner", ['"a;b"', '"a\\";b"', '"//;"', "1 // ; not here\n", '"(((("', '"if if"'])
def test_a_semicolon_in_a_string_or_a_comment_ends_nothing(inner):
    found = split(FILE, f"permit (principal, action, resource) when {{ {inner} == {inner} }};")
    assert len(found) == 1


def test_text_without_policies_has_none():
    assert split(FILE, "") == split(FILE, " \n// only words; and more\n") == []


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("permit (principal, action, resource) // no end", "policy_not_closed", "1:37"),
        ('\npermit (principal, action, resource) when { "a };', "string_not_closed", "2:45"),
        ('@id("a)\npermit (principal, action, resource);\n@id("b") permit (principal, action, resource);', "string_not_closed", "1:5"),
        ("// fine\n\u202e// turned\n", "hidden_character", "2:1"),
        ("permit\u200b (principal, action, resource);", "hidden_character", "1:7"),
        ("permit \x00(principal, action, resource);", "hidden_character", "1:8"),
    ],
)
def test_a_fault_is_placed_by_line_and_column(text, code, place):
    with pytest.raises(Problem) as caught:
        split(FILE, text)
    assert (caught.value.code, caught.value.place) == (code, f"{FILE}:{place}")
    assert str(caught.value).startswith(f"{FILE}:{place}: ")


def test_a_place_within_a_policy_is_one_in_its_file():
    second = split(FILE, "// first\npermit (principal, action, resource);  permit (\n  principal, action, resource);")[1]
    places = [second.problem("x", "is wrong", second.text.index(word)) for word in ("permit", "(", "action")]
    assert [(p.line, p.column) for p in places] == [(2, 40), (2, 47), (3, 14)]
    assert all(second.holds(p) for p in places)
    assert not second.holds(split(FILE, "permit (principal, action, resource);")[0].problem("x", "elsewhere"))


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\xff", "1:1"),
        ("// caf\u00e9".encode("latin-1"), "1:7"),
        ("// \u00e9\u20ac\n\u20ac ".encode() + b"\xe2\x82", "2:3"),
        (b"a\r\nb\x80c\n\xff", "2:2"),
    ],
)
def test_the_first_byte_that_is_no_text_is_placed_by_line_and_character(data, place):
    with pytest.raises(Problem) as caught:
        as_text(FILE, data)
    assert (caught.value.code, caught.value.place) == ("policy_not_utf8", f"{FILE}:{place}")


@pytest.mark.parametrize("opener", ["(", "[", "{", "if x then y else "])
def test_nesting_beyond_the_limit_is_refused_before_any_parser_sees_it(opener):
    with pytest.raises(Problem) as caught:
        split(FILE, "permit (principal, action, resource) when { " + opener * 1_000)
    assert caught.value.code == "policy_too_deep"


def test_closers_in_front_buy_no_depth():
    with pytest.raises(Problem) as caught:
        split(FILE, ")" * 1_000 + "(" * (NESTING_MAX + 1))
    assert caught.value.code == "policy_too_deep"


def test_a_policy_without_end_to_its_length_is_refused():
    with pytest.raises(Problem) as caught:
        split(FILE, "permit (principal, action, resource) when { true" + " && true" * (POLICY_CHARS_MAX // 8) + " };")
    assert caught.value.code == "policy_too_large"


def test_a_lone_carriage_return_hides_no_policy_behind_a_comment():
    hidden = '// nothing here\r@id("x") permit (principal, action, resource);\n'
    with pytest.raises(Problem) as found:
        split("f", hidden)
    assert found.value.code == "line_ending"
    assert len(split("f", hidden.replace("\r", "\r\n"))) == 1


@pytest.mark.parametrize("hidden", ["\u2028", "\u2029", "\x85", "\xad", "\ufe0f", "\U000e0041", "\u3164", "\u061c", "\u206a", "\ufff9"])
@pytest.mark.parametrize("look", [split, scan_declared])
def test_nothing_that_is_drawn_as_nothing_stands_in_a_policy_or_a_declared_type(look, hidden):
    with pytest.raises(Problem) as found:
        look("f", f"// a comment\n// and{hidden} another\n")
    assert (found.value.code, found.value.line, found.value.column) == ("hidden_character", 2, 7)


def test_a_declared_type_cannot_nest_until_the_parser_ends():
    scan_declared("f", "type T = " + "Set<" * NESTING_MAX + "Long" + ">" * NESTING_MAX + ";")
    scan_declared("f", '// < < <\nentity E = { "<<<": Long };' * 100)
    with pytest.raises(Problem) as found:
        scan_declared("f", "type T = " + "Set<" * (NESTING_MAX + 1))
    assert found.value.code == "schema_too_deep"
