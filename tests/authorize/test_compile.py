from __future__ import annotations

import pytest

from gateway.authorize.compile import _unread, compile_policies, work
from gateway.authorize.schema import SchemaSource
from gateway.authorize.splitting import Piece
from gateway.errors import Problems

from .world import PERMIT_ALL, load, quick


def test_the_compiler_is_given_no_environment(tmp_path, monkeypatch):
    """Credentials may stand in the gateway's environment. An inherited PYTHONHOME like this one would also keep the child from starting."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert load(tmp_path / "policies", PERMIT_ALL).policy_count == 1


def test_a_compiler_that_gives_up_is_a_problem_and_not_an_empty_bundle():
    with pytest.raises(Problems) as caught:
        compile_policies([Piece("f", PERMIT_ALL, 1, 1)], SchemaSource(quick("").library.source.generated, declared=5))
    assert [p.code for p in caught.value.problems] == ["policy_compiler"]


def test_a_compiler_that_takes_too_much_of_a_processor_is_ended_and_says_where():
    pieces = [Piece("f", PERMIT_ALL.strip(), n, 1) for n in range(1, 30_001)]
    with pytest.raises(Problems) as caught:
        compile_policies(pieces, quick("").library.source, cpu_s=1)
    (problem,) = caught.value.problems
    assert problem.code in {"policy_crashes_parser", "policy_compiler"}
    assert "took longer than 1 s of processor time" in problem.message


def test_good_policies_are_returned_beside_what_is_wrong_with_others():
    source = quick("").library.source
    answer = work({"pieces": [PERMIT_ALL.strip(), "permit (", PERMIT_ALL.strip()], "generated": source.generated, "declared": ""})
    assert [tree is None for tree in answer["trees"]] == [False, True, False]
    assert [fault[:2] for fault in answer["faults"]] == [(1, "policy_syntax")]


@pytest.mark.parametrize(
    "condition", ["false", "1 == 2", "context has nothing && context.nothing", "principal is Tool", "context.delegation_depth > 1 && false"]
)
def test_what_can_never_apply_is_found(condition):
    source = quick("").library.source
    text = f"permit (principal, action, resource) when {{ {condition} // and a comment\n }} // at the end\n;"
    answer = work({"pieces": [text, PERMIT_ALL.strip()], "generated": source.generated, "declared": ""})
    assert [fault[:2] for fault in answer["faults"]] == [(0, "policy_never_applies")]


@pytest.mark.parametrize("many", [150, 700])
@pytest.mark.parametrize("join", [" || ", " && "])
def test_a_chain_too_long_to_be_read_is_a_fault_of_its_policy_and_not_of_the_compiler(many, join):
    chain = join.join(f'context.request.path != "/{n}"' for n in range(many))
    pieces = [Piece("f", PERMIT_ALL.strip(), 1, 1), Piece("f", f"permit (principal, action, resource) when {{ {chain} }};", 2, 1)]
    trees, (problem,) = compile_policies(pieces, quick("").library.source)
    assert [tree is None for tree in trees] == [False, True]
    assert (problem.code, problem.line) == ("policy_too_deep", 2)
    assert "contains" in problem.remedy


def test_a_chain_of_a_hundred_is_read(tmp_path):
    chain = " || ".join(f'context.request.path == "/{n}"' for n in range(100))
    assert load(tmp_path / "policies", f'@id("x") permit (principal, action, resource) when {{ {chain} }};').policy_count == 1


def test_what_has_a_tree_and_no_slice_could_read_is_named_among_many():
    """Slices are parsed from the text. None such is known of this engine, so texts that have no tree stand for them."""
    good = PERMIT_ALL.strip()
    texts = [good] * 120
    texts[3], texts[70] = "permit (", f"{good} {good}"
    found = dict(_unread(texts, range(120)))
    assert list(found) == [3, 70]
    assert found[70] == "1 policies became 2"
    assert dict(_unread(texts, [n for n in range(120) if n not in found])) == {}


def test_many_policies_are_probed_in_portions():
    source = quick("").library.source
    pieces = [f'permit (principal, action in Action::"read", resource) when {{ {"false" if n in (7, 450) else "true"} }};' for n in range(500)]
    answer = work({"pieces": pieces, "generated": source.generated, "declared": ""})
    assert [fault[0] for fault in answer["faults"]] == [7, 450]
