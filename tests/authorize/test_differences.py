from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.authorize.differences import differences, substance

from .world import quick

GET = 'permit (principal, action == Action::"tickets/get_ticket", resource) when { context.auth.pop };'


def told(before, after):
    one, other = (quick(text).library.by_id for text in (before, after))
    return [(d.kind, d.id, d.what) for d in differences(one, other)]


def test_policies_are_compared_by_name():
    assert told(f'@id("a") {GET} @id("b") {GET}', f'@id("b") {GET} @id("c") {GET}') == [("removed", "a", ()), ("added", "c", ())]


def test_layout_comments_and_order_say_nothing():
    spread = GET.replace(" ", "\n  ").replace("when", "// why\n when")
    assert told(f'@id("a") {GET} @id("b") {GET}', f'// new\n@id("b") {GET}\n@id("a")\n{spread}') == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("permit", "forbid"), ("effect: permit, now forbid",)),
        (("get_ticket", "list_tickets"), ("scope",)),
        (("auth.pop", "delegation_depth == 1"), ("conditions",)),
        ((" when { context.auth.pop }", ""), ("conditions",)),
        (("permit", '@owner("me") permit'), ('@owner: none, now "me"',)),
        (("permit", '@mode("shadow") permit'), ('@mode: none, now "shadow"',)),
    ],
)
def test_a_change_is_told_by_what_it_changes(change, what):
    assert told(f'@id("a") {GET}', f'@id("a") {GET.replace(*change)}') == [("changed", "a", what)]


def test_a_policy_in_another_file_has_moved():
    one, other = (quick(f'@id("a") {GET}').library.by_id for _ in range(2))
    moved = {name: replace(policy, piece=replace(policy.piece, file="elsewhere.cedar")) for name, policy in other.items()}
    assert [d.kind for d in differences(one, moved)] == ["moved"]


def test_policies_alike_but_for_words_for_people_decide_alike():
    texts = [f'@id("a") {GET}', f'@id("b") @owner("x") @message("y") {GET}', f'@id("c") @require_approval("z") {GET}']
    first, second, third = (substance(quick(text).library.policies[0]) for text in texts)
    assert first == second != third
