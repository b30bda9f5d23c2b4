import pytest

from gateway.logmode import parts_of, pointer_of, rules_of, strictest


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("/ssn", (("/ssn", "seal"),)),
        ("/ssn=drop", (("/ssn", "drop"),)),
        ("/cards/-/number=hmac  /mail", (("/cards/-/number", "hmac"), ("/mail", "seal"))),
        ("/a=b=seal", (("/a=b", "seal"),)),
    ],
)
def test_a_rule_is_a_pointer_with_a_mode_and_is_sealed_without_one(text, rules):
    assert rules_of(text) == rules


@pytest.mark.parametrize("text", ["", " ", "ssn", "/ssn=plain", "/ssn=hide", "=drop", "/", "/a//b", "/a/=drop"])
def test_what_would_hide_nothing_is_no_rule(text):
    with pytest.raises(ValueError, match=r"no rule|no pointer|slash"):
        rules_of(text)


def test_pointers_come_back_as_they_were():
    for text in ("/a", "/a~1b/~0c", "/a/-/b", "/"):
        assert pointer_of(parts_of(text)) == text
    assert parts_of("/a~1b/~0c") == ("a/b", "~c")


def test_the_stricter_mode_holds_and_nothing_said_is_in_clear():
    assert strictest(["seal", "drop", "hmac", "plain"]) == "drop"
    assert strictest(["hmac", "seal"]) == "hmac"
    assert strictest([]) == "plain"
