"""Refusals and problems say what they must, and no more."""

from pathlib import Path

import pytest

from gateway.errors import REFUSALS, Problem, Problems, Refusal


def test_a_refusal_with_an_unknown_code_cannot_be_made():
    with pytest.raises(ValueError, match="no such refusal code"):
        Refusal("whatever")


def test_the_private_reason_is_not_the_public_detail():
    refusal = Refusal("invalid_token", reason="signature does not verify")
    assert refusal.detail == REFUSALS["invalid_token"].title
    assert refusal.status == 401
    assert "signature" not in refusal.detail


@pytest.mark.parametrize("code", REFUSALS)
def test_every_code_has_a_status_a_title_and_a_hint(code):
    kind = REFUSALS[code]
    assert 400 <= kind.status <= 504
    assert kind.title
    assert kind.hint.endswith(".")
    assert code == code.lower()


def test_a_problem_says_where_what_and_how_to_mend():
    problem = Problem("unknown_key", "unknown key 'prot'", file="gateway.toml", line=7, key="listen.prot", remedy="write port")
    assert str(problem) == "gateway.toml:7: listen.prot: unknown key 'prot' [unknown_key] (write port)"
    assert Problem("x", "y").place == ""


def test_problems_hold_all_findings():
    both = Problems([Problem("a", "one"), Problem("b", "two")])
    assert [p.code for p in both.problems] == ["a", "b"]
    assert "two" in str(both)


def test_no_code_is_dead():
    package = Path(__file__).resolve().parent.parent / "gateway"
    text = "".join(p.read_text() for p in package.rglob("*.py") if p.name != "errors.py" and "cli" not in p.parts)
    assert [code for code in REFUSALS if f'"{code}"' not in text] == []
