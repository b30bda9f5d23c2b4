from __future__ import annotations

import pytest

from gateway.tools.spots import spot

STRING = {"type": "string"}
ADDRESS = {"type": "object", "properties": {"city": STRING, "a/b": STRING}, "required": ["city"]}
ARGUMENTS = {
    "type": "object",
    "properties": {
        "id": STRING,
        "home": ADDRESS,
        "maybe": {**ADDRESS, "type": ["object", "null"]},
        "all": {"type": "array", "items": ADDRESS},
        "/id": {},
    },
    "required": ["id", "home", "maybe", "all"],
}


@pytest.mark.parametrize(
    ("name", "path", "many", "required"),
    [
        ("id", ("id",), False, True),
        ("/id", ("/id",), False, False),
        ("/home/city", ("home", "city"), False, True),
        ("/home/a~1b", ("home", "a/b"), False, False),
        ("/maybe/city", ("maybe", "city"), False, False),
        ("/all/*/a~1b", ("all", "*", "a/b"), True, True),
    ],
)
def test_a_place_is_found_with_whether_it_is_always_there(name, path, many, required):
    found = spot(ARGUMENTS, name)
    assert (found.path, found.many, found.required) == (path, many, required)


@pytest.mark.parametrize("name", ["nothing", "/nothing", "/id/x", "/home/*", "/all/0/city", "/all/city", "/home/street", "/", ""])
def test_a_place_that_the_contract_does_not_declare_is_refused(name):
    with pytest.raises(ValueError, match="a fact is declared for"):
        spot(ARGUMENTS, name)
