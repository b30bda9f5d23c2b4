"""What an author sees of each common mistake: the file, the line, the column, the line itself with a caret, and what to write instead."""

from __future__ import annotations

import pytest

from .sample import copy_sample, run

REFUND = 'action == Action::"tickets/create_refund", resource)'


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def seen(deployment, text, *words):
    """What `policy check` prints about one more file, without the path before it."""
    (deployment / "policies/70-new.cedar").write_text(text)
    done = run("check", "-C", deployment, *words)
    return done.exit_code, done.stderr.replace(f"{deployment}/", "")


MISTAKES = {
    "a typo in an operation": (
        '@id("x")\npermit (principal, action == Action::"tickets/create_refnd", resource);',
        """policies/70-new.cedar:2:30: unrecognized action `Action::"tickets/create_refnd"`  [policy_invalid]
     2 | permit (principal, action == Action::"tickets/create_refnd", resource);
       |                              ^
       = did you mean 'tickets/create_refund'?
""",
    ),
    "a typo in an argument": (
        f'@id("x")\nforbid (principal, {REFUND}\nwhen {{ context.input has amout && context.input.amout.greaterThan(decimal("5.00")) }};',
        """policies/70-new.cedar:3:26: x: context.input.amout does not exist for any action of this policy  [unknown_argument]
     3 | when { context.input has amout && context.input.amout.greaterThan(decimal("5.00")) };
       |                          ^
       = did you mean 'amount'?; tickets.openapi.yaml declares the arguments of tickets/create_refund
""",
    ),
    "an argument of another type": (
        f'@id("x")\nforbid (principal, {REFUND}\nwhen {{ context.input.amount > 50 }};',
        """policies/70-new.cedar:3:31: unexpected type: expected Long, not decimal  [policy_invalid]
     3 | when { context.input.amount > 50 };
       |                               ^
       = a number of a contract is a decimal: write decimal("50.00"), and compare with lessThan, lessThanOrEqual, greaterThan, greaterThanOrEqual; tickets.openapi.yaml declares the arguments of tickets/create_refund
""",
    ),
    "a missing @id": (
        f'@owner("me")\nforbid (principal, {REFUND};',
        """policies/70-new.cedar:1:1: this policy has no @id  [policy_without_id]
     1 | @owner("me")
       | ^
       = name it: @id("...")
""",
    ),
    "an impossible condition": (
        f'@id("x")\nforbid (principal, {REFUND}\nwhen {{ context.delegation_depth > 1 && principal is User }};',
        """policies/70-new.cedar:3:40: this policy can never apply: from here on its condition is false, whatever the call is  [policy_never_applies]
     3 | when { context.delegation_depth > 1 && principal is User };
       |                                        ^
       = look for a misspelt name behind `has`, a constant, or two sides that are never of one type
""",
    ),
    "an always-false condition (trap 12)": (
        f'@id("x")\nforbid (principal, {REFUND}\nwhen {{ context.delegation_depth > 1 && false }};',
        """policies/70-new.cedar:3:40: this policy can never apply: from here on its condition is false, whatever the call is  [policy_never_applies]
     3 | when { context.delegation_depth > 1 && false };
       |                                        ^
       = look for a misspelt name behind `has`, a constant, or two sides that are never of one type
""",
    ),
    "an unguarded optional argument": (
        '@id("x")\nforbid (principal, action == Action::"tickets/create_ticket", resource)\nwhen { context.input.priority == "high" };',
        """policies/70-new.cedar:3:22: context.input.priority may be absent for tickets/create_ticket  [policy_invalid]
     3 | when { context.input.priority == "high" };
       |                      ^
       = ask first: context.input has priority && ...; tickets.openapi.yaml declares the arguments of tickets/create_ticket
""",
    ),
    "a misspelt keyword": (
        f'@id("x")\n  permt (principal, {REFUND};',
        """policies/70-new.cedar:2:3: invalid policy effect: permt  [policy_syntax]
     2 |   permt (principal, action == Action::"tickets/create_refund", resource);
       |   ^
       = did you mean 'permit'?
""",
    ),
    "a missing comma": (
        f'@id("x")\npermit (principal {REFUND};',
        """policies/70-new.cedar:2:18: a comma is missing here  [policy_syntax]
     2 | permit (principal action == Action::"tickets/create_refund", resource);
       |                  ^
       = a scope is (principal, action, resource), in this order and with commas
""",
    ),
    "an annotation nobody knows": (
        f'@id("x")\n@onwer("me")\nforbid (principal, {REFUND};',
        """policies/70-new.cedar:2:1: @onwer is not known  [annotation_unknown]
     2 | @onwer("me")
       | ^
       = did you mean 'owner'?
""",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_its_place_its_line_and_a_remedy(deployment, mistake):
    text, told = MISTAKES[mistake]
    assert seen(deployment, text) == (1, told)


def test_letters_that_look_alike_are_warned_about_where_they_stand(deployment):
    text = f'@id("x")\nforbid (principal, {REFUND}\nwhen {{ context.input.reason == "\N{CYRILLIC SMALL LETTER A}dmin" }};'
    code, told = seen(deployment, text, "--strict")
    assert code == 1
    assert "policies/70-new.cedar:3:33: x: " in told
    assert "mixes letters of different alphabets  [mixed_scripts]" in told
    assert f"\n       |{' ' * 33}^\n" in told


def test_the_file_that_a_machine_reads_has_line_and_column(deployment):
    (deployment / "policies/70-new.cedar").write_text('@id("x") permt (principal, action, resource);')
    done = run("check", "-C", deployment, "--json")
    assert '"column": 10' in done.stdout
