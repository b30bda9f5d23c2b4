"""Every common slip of the pen is placed at its column, with what to write instead."""

from __future__ import annotations

import pytest

from gateway.authorize.engine import EngineError, policy_json
from gateway.authorize.pinpoint_syntax import syntax_spot

HEAD = "permit (principal, action, resource)"


def parse(text):
    try:
        policy_json(text)
    except EngineError as error:
        return str(error)
    return ""


SLIPS = {
    "permit (principal^ action, resource);": "comma",
    "permit ^principal, action, resource);": "permit (",
    "permit ^(principal, action, resource when { true };": "write )",
    "^permt (principal, action, resource);": "permit",
    '@permit("x") ^frobid (principal, action, resource);': "forbid",
    f"{HEAD} ^wehn {{ true }};": "when",
    f"{HEAD} when ^true;": "braces",
    f"{HEAD} when ^{{ true;": "write }",
    f"{HEAD} when {{ true }} when ^{{ 1 == 1;": "write }",
    f"{HEAD} when {{ ^(context.a == 3 }};": "write )",
    f"{HEAD} when {{ ^[1, 2.contains(1) }};": "write ]",
    f"{HEAD} when {{ true }}^}};": "remove",
    f'{HEAD}^ @id("b") {HEAD};': "semicolon",
    f"{HEAD} when {{ true }}^\n// words\npermit (principal, action, resource);": "semicolon",
    f"{HEAD} when {{ context.a ^= 1 }};": "==",
    f"{HEAD} when {{ context.a ^=== 1 }};": "==",
    f"{HEAD} when {{ context.a ^=< 1 }};": "<=",
    f"{HEAD} when {{ context.a ^=> 1 }};": ">=",
    f"{HEAD} when {{ context.a ^& context.b }};": "&&",
    f"{HEAD} when {{ context.a ^| context.b }};": "||",
    f"{HEAD} when {{ context.a ^and context.b }};": "&&",
    f"{HEAD} when {{ ^not context.a }};": "!",
    f"{HEAD} when {{ context.a == ^'b' }};": "double quotes",
    f"{HEAD} when {{ context.a == ^\N{LEFT DOUBLE QUOTATION MARK}b\N{RIGHT DOUBLE QUOTATION MARK} }};": "double quotes",
    f"{HEAD} when {{ context.a == ^}};": "after ==",
    f'{HEAD} when {{ context.a == "b" && ^}};': "after &&",
    f"{HEAD} when {{ context.a == 3.^5 }};": "decimal",
    f"{HEAD} when {{ context.a ^contains 4 }};": "contains(",
    f"{HEAD} when {{ [1^ 2] == context.a }};": "comma",
    f'{HEAD} when {{ context.a == "x"^ context.b }};': "&&",
    f"{HEAD} when {{ true ^# why\n }};": "//",
    f"{HEAD} when {{ 1 < 2 ^< 3 && 1 < 2 }};": "&&",
    f"{HEAD} when {{ context.a == ^99999999999999999999 }};": "9223372036854775807",
    f"{HEAD} when {{ [1].^contain(1) }};": "contains",
    f'{HEAD} when {{ ^decmal("1.0") == context.a }};': "decimal",
    f"{HEAD} when {{ ^contxt.a == 3 }};": "context",
    f"{HEAD} when {{ context.a == ^null }};": "absent",
    f'{HEAD} when {{ "^\\q" == "" }};': "backslash",
    f"{HEAD} when {{ context.a like ^context.b }};": "pattern",
    f"{HEAD} when {{ true }} ^when {{ }};": "write a condition",
    "permit (principal, action^);": "(principal, action, resource)",
    "permit (principal, ^resource, action);": "(principal, action, resource)",
    "permit (principal, action, ^resources);": "resource",
    'permit (principal == ^"x", action, resource);': "Agent::",
    "permit (principal == ^?principal, action, resource);": "group",
    '@id("a") ^@id("b") permit (principal, action, resource);': "one of the two",
}


@pytest.mark.parametrize("marked", SLIPS)
def test_a_slip_is_placed_at_its_column_and_has_a_remedy(marked):
    text = marked.replace("^", "", 1)
    complaint = parse(text)
    assert complaint
    spot = syntax_spot(text, complaint, parse)
    assert f"{text[: spot.offset]}^{text[spot.offset :]}" == marked
    assert SLIPS[marked] in spot.remedy


def test_what_is_not_known_is_placed_where_the_policy_begins():
    assert syntax_spot('@id("permit") permit (principal);', "something new", parse).offset == 14
    assert syntax_spot("", "something new", parse).offset == 0


@pytest.mark.parametrize("strange", ["na\u00efve", "\u0663", "\uff41dmin", "\u0430dmin"])
def test_a_word_with_letters_that_no_name_of_cedar_has_is_placed(strange):
    text = f'@id("x") {HEAD} when {{ context has {strange} }};'
    spot = syntax_spot(text, parse(text), parse)
    assert spot.offset == text.index(strange)
    assert strange in spot.message


def test_a_number_of_thousands_of_digits_is_placed():
    text = f"{HEAD} when {{ 1 < {'9' * 6_000} }};"
    assert syntax_spot(text, parse(text), parse).offset == text.index("9")
