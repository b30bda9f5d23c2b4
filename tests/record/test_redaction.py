import pytest

from gateway.record.redaction import path_mode, places, rules_for, shown_path

CONTEXT = {
    "input": {
        "ssn": "078",
        "person": {"name": "Zoe", "size": 3, "birth": {"__extn": {"fn": "datetime", "arg": "2000-01-01T00:00:00.000Z"}}},
        "cards": [{"number": "1", "name": "x"}, {"number": "2"}],
        "tags": ["a", "b"],
    },
    "raw": {"open": '{"a":1}', "person": '{"name":"Zoe"}'},
    "facts": {"ssn": {"size": 3}, "/person/name": {"size": 3}},
    "request": {"path": "/by/078", "method": "GET"},
}


def found(*rules, template="/x", default="plain", errors=0, demands=()):
    given = rules_for(tuple(rules), [("redact", text) for text in demands], default)
    return {"/".join(place): mode for place, mode in places(CONTEXT, errors, given, template).items()} if given else None


def test_without_a_rule_there_is_nothing_to_do():
    assert found() is None


def test_an_argument_is_redacted_wherever_it_stands():
    assert found(("/ssn", "seal"), template="/by/{ssn}") == {"ctx/input/ssn": "seal", "ctx/facts/ssn": "seal", "ctx/request/path": "seal"}


def test_a_part_of_an_argument_takes_along_the_text_of_all_of_it():
    assert found(("/person/name", "hmac")) == {
        "ctx/input/person/name": "hmac",
        "ctx/raw/person": "hmac",
        "ctx/facts//person/name": "hmac",
    }


def test_a_dash_means_each_item_and_what_is_absent_is_nowhere():
    assert found(("/cards/-/number", "drop")) == {"ctx/input/cards/0/number": "drop", "ctx/input/cards/1/number": "drop"}
    assert found(("/cards/-/name", "seal")) == {"ctx/input/cards/0/name": "seal"}
    assert found(("/nothing", "seal")) == {}


@pytest.mark.parametrize("pointer", ["/ssn/deeper", "/tags/first", "/person/birth/year"])
def test_a_pointer_into_what_has_no_such_parts_means_all_of_it(pointer):
    place = "person/birth" if "birth" in pointer else pointer.split("/")[1]
    assert f"ctx/input/{place}" in found((pointer, "seal"))


def test_the_strictest_of_all_rules_holds():
    assert found(("/ssn", "seal"), demands=["/ssn=drop", "/ssn=hmac"])["ctx/input/ssn"] == "drop"
    assert found(("/person", "seal"), ("/person/name", "drop"))["ctx/input/person"] == "drop", "what is within may not be readable by the whole"
    assert found(("/cards/-", "seal"), ("/cards/-/number", "drop"))["ctx/input/cards/0"] == "drop"


def test_by_default_all_arguments_are_sealed_but_those_that_are_plain():
    sealed = found(("/tags", "plain"), ("/cards", "plain"), ("/cards/-/number", "hmac"), default="seal")
    assert sealed == {
        "ctx/input/ssn": "seal",
        "ctx/input/person": "seal",
        "ctx/input/cards/0/number": "hmac",
        "ctx/input/cards/1/number": "hmac",
        "ctx/raw/open": "seal",
        "ctx/raw/person": "seal",
        "ctx/facts/ssn": "seal",
        "ctx/facts//person/name": "seal",
    }


def test_errors_of_an_evaluation_go_with_the_strictest_of_what_is_hidden():
    assert found(("/ssn", "seal"), ("/tags", "drop"), errors=2)["errors/1"] == "drop"
    assert "errors/0" not in found(("/nothing", "seal"), errors=1)


def test_a_path_shows_names_in_place_of_what_is_hidden():
    rules = rules_for((("/ssn", "seal"),), (), "plain")
    assert shown_path("/by/078/of/7", "/by/{ssn}/of/{id}", rules) == "/by/{ssn}/of/7"
    assert shown_path("/of/7", "/of/{id}", rules) == "/of/7"
    assert shown_path("/by/078/more", "/by/{ssn}", rules) == "/by/{ssn}", "a path that is cut short, or longer, is not shown in part"


def test_a_path_of_which_nothing_is_known_is_hidden_by_a_default_that_hides():
    rules = rules_for((), (), "seal")
    assert (path_mode(rules, ""), shown_path("/by/078", "", rules)) == ("seal", "/{path}")
    assert path_mode(rules_for((("/a", "seal"),), (), "plain"), "") == "plain"
