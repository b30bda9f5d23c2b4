"""Claims are matched exactly, or by one star in the last segment, and what could be two things at once is known beforehand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.identities.matching import claim_at, fault_of, matches, may_both_match, overlap, unmatched


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("a", "a"),
        ("repo:acme/*", "repo:acme/site"),
        ("repo:acme/*-bot", "repo:acme/my-bot"),
        ("spiffe://x/ns/*", "spiffe://x/ns/a"),
        ("ns:*", "ns:a"),
    ],
)
def test_what_matches(pattern: str, value: str):
    assert fault_of(pattern) == "" and matches(pattern, value)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("a", "A"),
        ("a", "a "),
        ("a", "ab"),
        ("repo:acme/*", "repo:acme/"),
        ("repo:acme/*", "repo:acme/site/sub"),
        ("repo:acme/*", "repo:acme/site:ref:refs/heads/main"),
        ("repo:acme/*", "repo:evil/repo:acme/site"),
        ("repo:acme/*", "xrepo:acme/site"),
        ("repo:acme/a*a", "repo:acme/a"),
        ("repo:acme/*", "repo:acme"),
    ],
)
def test_what_does_not(pattern: str, value: str):
    assert not matches(pattern, value)


@pytest.mark.parametrize("pattern", ["*", "a*", "*/a", "a/*/b", "a/**", "a/*b*"])
def test_what_is_no_pattern(pattern: str):
    assert fault_of(pattern)


texts = st.text(alphabet="ab/:", min_size=1, max_size=5)
patterns = st.one_of(
    texts, st.builds(lambda h, a, b: f"{h}/{a}*{b}", st.text("ab/:", max_size=3), st.text("ab", max_size=2), st.text("ab", max_size=2))
)


@settings(max_examples=300, deadline=None, database=None)
@given(one=patterns, other=patterns, value=texts)
def test_what_both_match_was_foreseen(one: str, other: str, value: str):
    if matches(one, value) and matches(other, value):
        assert overlap(one, other) and overlap(other, one)


def test_sets_of_patterns_are_apart_when_one_claim_is():
    assert not may_both_match({"a": "1", "b": "2"}, {"a": "1", "b": "3"})
    assert may_both_match({"a": "1", "b": "2"}, {"a": "1", "c": "3"})


def test_a_claim_is_found_by_its_name_or_its_place():
    claims = {"kubernetes.io": {"serviceaccount": {"uid": "7"}}, "https://x/y": "named", "id": 42, "flag": True, "list": ["a"]}
    assert claim_at(claims, "kubernetes.io/serviceaccount/uid") == "7"
    assert claim_at(claims, "https://x/y") == "named"
    assert claim_at(claims, "id") == "42"
    assert [claim_at(claims, name) for name in ("flag", "list", "kubernetes.io", "none", "id/x", "list/0")] == [None] * 6


def test_the_first_claim_that_is_otherwise_is_named():
    assert unmatched({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == "b"
    assert unmatched({"a": "1"}, {}) == "a"
    assert unmatched({"a": "1"}, {"a": "1", "b": "x"}) == ""
