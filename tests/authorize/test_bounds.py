"""Bounds of arguments: rounded the right way, few texts listed, and names that no policy text can be broken by."""

from __future__ import annotations

import pytest

from gateway.authorize.bounds import FEW_MAX, Values, argument_bounds, fact_bounds, member, present, quoted
from gateway.authorize.engine import policy_json
from gateway.authorize.typed import decimal

LONG, DECIMAL, STRING, BOOLEAN = {"type": "Long"}, {"type": "Extension", "name": "decimal"}, {"type": "String"}, {"type": "Boolean"}
SET = {"type": "Set", "element": STRING}


def values(*seen):
    found = Values()
    for value in seen:
        found.add(value)
    return found


@pytest.mark.parametrize(
    ("seen", "low", "high"),
    [
        ([7], 0, 7),
        ([1234, 5], 0, 1300),
        ([0], 0, 0),
        ([-1234, 100], -1300, 100),
        ([-5, -40], -40, -5),
        ([2**63 - 1, -(2**63)], -(2**63), 2**63 - 1),
    ],
)
def test_integers_are_rounded_away_from_what_was_seen_and_stay_within_64_bits(seen, low, high):
    assert argument_bounds("x", LONG, values(*seen)) == [f"x >= {low}", f"x <= {high}"]


@pytest.mark.parametrize(
    ("seen", "low", "high"),
    [
        ([49.99, 1], "0.0", "50.0"),
        ([0.0123], "0.0", "0.013"),
        ([0.0001], "0.0", "0.0001"),
        ([-0.1234], "-0.13", "-0.12"),
        ([922337203685477.5], "0.0", "922337203685477.5807"),
    ],
)
def test_decimals_are_rounded_to_two_digits_in_the_form_that_cedar_reads(seen, low, high):
    bounds = argument_bounds("x", DECIMAL, values(*map(decimal, seen)))
    assert bounds == [f'x.greaterThanOrEqual(decimal("{low}"))', f'x.lessThanOrEqual(decimal("{high}"))']


def test_few_texts_seen_often_are_listed_and_others_are_not():
    assert argument_bounds("x", STRING, values(*["b", "a"] * 3)) == ['["a", "b"].contains(x)']
    assert argument_bounds("x", STRING, values(*["a"] * 3)) == ['x == "a"']
    assert argument_bounds("x", STRING, values("a", "b", "a")) == []
    assert argument_bounds("x", STRING, values(*map(str, range(FEW_MAX + 1)), *map(str, range(FEW_MAX + 1)), *map(str, range(FEW_MAX + 1)))) == []
    assert argument_bounds("x", STRING, values(*["y" * 81] * 9)) == []
    assert argument_bounds("x", STRING, values(*["a\u202eb"] * 9)) == []
    assert argument_bounds("x", BOOLEAN, values(*[False] * 3)) == ["x == false"]
    assert argument_bounds("x", BOOLEAN, values(*[False, True] * 3)) == []


def test_sets_of_few_texts_are_bounded_by_all_of_them_together():
    assert argument_bounds("x", SET, values(*[["a"], ["b", "a"], []] * 2)) == ['["a", "b"].containsAll(x)']
    assert argument_bounds("x", SET, values([], [])) == ["x.isEmpty()"]
    assert argument_bounds("x", {"type": "Set", "element": LONG}, values([1])) == []


def test_paths_are_bounded_by_the_deepest_folder_that_all_lie_in():
    folders = values(["/", "/data", "/data/a"], ["/", "/data"])
    assert fact_bounds("f", {"folders": folders, "path": values("/data/a/x", "/data/y")}) == ['f.folders.contains("/data")']
    apart = values(*[["/"], ["/", "/b"]] * 3)
    assert fact_bounds("f", {"folders": apart, "path": values(*["/a", "/b/c"] * 3)}) == ['["/a", "/b/c"].contains(f.path)']
    assert fact_bounds("f", {"folders": apart, "path": values(*map(str, range(9)))}) == []


def test_hosts_are_bounded_by_name_or_by_the_domain_that_all_lie_in():
    many = [f"h{n}.example.com" for n in range(9)]
    domains = values(*[[host, "example.com", "com"] for host in many])
    assert fact_bounds("f", {"host": values(*many), "domains": domains, "scheme": values(*["https"] * 9)}) == [
        'f.scheme == "https"',
        'f.domains.contains("example.com")',
    ]
    assert fact_bounds("f", {"domain": values(*["a.example"] * 3), "domains": values()}) == ['f.domain == "a.example"']
    others = values(["a.com", "com"], ["b.com", "com"])
    assert fact_bounds("f", {"host": values("a.com", "b.com"), "domains": others}) == []
    assert fact_bounds("f", {"hosts": values(*[["b.example"]] * 3), "addresses": values()}) == ['["b.example"].containsAll(f.hosts)']


HOSTILE = ['a"b', "a\\", "if", "a b", "\u202e", "x\n", 'a"] == 1 } ; permit (principal, action, resource) when { ["', "é", "__cedar"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_and_no_text_can_break_out_of_its_place(name):
    condition = f"{present('context.input', name)} && {member('context.input', name)} == {quoted(name)}"
    tree = policy_json(f"permit (principal, action, resource) when {{ {condition} }};")
    (found,) = tree["conditions"]
    both = found["body"]["&&"]
    assert both["left"]["has"]["attr"] == name
    assert both["right"]["=="]["left"]["."]["attr"] == name
    assert both["right"]["=="]["right"]["Value"] == name
