"""A layout changes space and nothing else, and laying out twice changes nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authorize.engine import policy_json
from gateway.authorize.formatting import formatted
from gateway.authorize.splitting import split
from gateway.errors import Problem

SAMPLE = Path(__file__).resolve().parents[2] / "policies"
SPACE = st.sampled_from(["", " ", "\n", "\n\n\n", "  \n\t ", "// c1\n", ' // it\'s "c2" ; } \n', "//\n"])
TEXT = """@id ( "a;//" ) @owner("x") permit ( principal in AgentGroup::"support" , action in [ Action::"a/b" , Action::"c" ] , resource )
when { context.a like "//_*" && ( context.b || context.c . contains ( 1 ) ) }
unless { if context.x then { "k" : [ 1 ] } . k == context.y else -1 > 2 } ;"""
WORDS = TEXT.split()


def trees(text):
    return [policy_json(piece.text) for piece in split("f", text)]


@given(st.lists(SPACE, min_size=len(WORDS) * 2, max_size=len(WORDS) * 2), SPACE)
def test_no_space_and_no_comment_keeps_a_policy_from_being_laid_out_with_its_meaning(spaces, last):
    text = "".join(f"{space or ' '}{word}" for space, word in zip(spaces, WORDS * 2, strict=True)) + last
    try:
        found = formatted("f", text)
    except Problem as problem:
        assert problem.code == "format_refused"
        return
    assert trees(found) == trees(text)
    assert found.count("// c1") == text.count("// c1")
    assert found.count("// it's") == text.count("// it's")
    assert formatted("f", found) == found


def test_every_sample_policy_keeps_its_meaning_and_is_laid_out_once():
    files = sorted(SAMPLE.rglob("*.cedar"))
    assert files
    for file in files:
        found = formatted(str(file), file.read_text())
        assert trees(found) == trees(file.read_text())
        assert formatted(str(file), found) == found


def test_what_stands_between_policies_stays_with_one_empty_line_at_most():
    text = """


// first


// second
permit(principal,action,resource);   // beside
forbid(principal,action,resource);permit(principal,action,resource)  // in front of the semicolon
;
// about the next

forbid(principal, action, resource); // the end
  // and more

"""
    assert (
        formatted("f", text)
        == """// first

// second
permit (principal, action, resource); // beside

forbid (principal, action, resource);

permit (principal, action, resource) // in front of the semicolon
;

// about the next

forbid (principal, action, resource); // the end

// and more
"""
    )


@pytest.mark.parametrize("text", ["", "// only words\n", "// one\n\n// two\n"])
def test_a_file_without_policies_is_left_alone(text):
    assert formatted("f", text) == text


def test_line_ends_of_another_system_become_plain():
    assert formatted("f", "permit (principal, action, resource);\r\n// x\r\n") == "permit (principal, action, resource);\n\n// x\n"


def test_a_line_end_of_another_system_within_a_text_is_no_cedar():
    with pytest.raises(Problem) as caught:
        formatted("f", '@id("a\r\nb") permit (principal, action, resource);')
    assert caught.value.code == "policy_syntax"


def test_what_is_not_cedar_is_a_problem_with_its_place():
    with pytest.raises(Problem) as caught:
        formatted("f", "permit (principal, action, resource);\npermit (principal action, resource);")
    assert (caught.value.code, caught.value.place) == ("policy_syntax", "f:2:18")


def test_a_policy_so_long_that_it_could_end_the_process_is_a_problem():
    with pytest.raises(Problem, match="words"):
        formatted("f", "permit(principal, action, resource) when { context.a" + " +1" * 21_000 + " > 0 };\n")


@pytest.mark.parametrize(
    "harm",
    [
        lambda text, width, indent: text.replace("permit", "forbid"),
        lambda text, width, indent: text.replace("&&", "||"),
        lambda text, width, indent: text.replace("// why\n", ""),
        lambda text, width, indent: text.replace('"x"', '"y"'),
        lambda text, width, indent: f"{text} {text}",
        lambda text, width, indent: text.replace("permit", "permt"),
    ],
)
def test_a_layout_that_does_harm_is_refused(harm):
    text = '@id("x") permit (principal, action, resource) // why\n when { context.a && context.b };\n'
    with pytest.raises(Problem) as caught:
        formatted("f", text, layout=harm)
    assert (caught.value.code, caught.value.place) == ("format_refused", "f:1:1")  # the policy, not the file
