from __future__ import annotations

import pytest

from gateway.authorize.facts import derive, fact_type
from gateway.authorize.shapes import shape_of
from gateway.authorize.typed import Unrepresentable

STRINGS = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("value", "path"),
    [("/data/a", "/data/a"), ("/data/../etc/passwd", "/etc/passwd"), ("data//a/./b/", "/data/a/b"), ("", "/"), ("//x", "/x")],
)
def test_a_path_is_normalised(value, path):
    assert derive("path", value)["path"] == path


def test_a_path_lies_in_all_its_folders():
    assert derive("path", "/data/team/a.txt")["folders"] == ["/", "/data", "/data/team"]


@pytest.mark.parametrize(
    "value", ["/data/%2e%2e/etc", "/a\\..\\b", "/a\0", "/%252e", "/a" * 65, "/" + "a" * 5_000, "../data/x", "/../etc", "/a/../../a/b", "/./../a"]
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(value):
    with pytest.raises(Unrepresentable):
        derive("path", value)


def test_a_url_is_taken_apart():
    assert derive("url", "HTTPS://API.Example.COM./v1/../x?q=1") == {
        "scheme": "https",
        "host": "api.example.com",
        "domains": ["api.example.com", "example.com", "com"],
        "port": 443,
        "path": "/x",
    }


@pytest.mark.parametrize(
    "value",
    [
        "example.com",
        "//example.com",
        "https://",
        "https://good.example@evil.example/",
        "https://good.example\\@evil.example/",
        "https://exa mple.com/",
        "https://ex\u00e4mple.com/",
        "https://example.com:99999/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://010.0.0.1/",
        "https://[::1]/",
        "https://a..b/",
        "https://example.com/%252e%252e/",
    ],
)
def test_a_url_that_clients_read_differently_is_refused(value):
    with pytest.raises(Unrepresentable):
        derive("url", value)


def test_domains_stop_at_dots():
    assert "example.com" in derive("host", "a.example.com")["domains"]
    assert "example.com" not in derive("host", "badexample.com")["domains"]
    assert derive("host", "10.0.0.1")["domains"] == ["10.0.0.1"]


def test_a_mail_address_has_a_canonical_domain():
    assert derive("email", "Bob.Smith+x@Mail.Example.COM") == {
        "address": "bob.smith+x@mail.example.com",
        "domain": "mail.example.com",
        "domains": ["mail.example.com", "example.com", "com"],
    }


@pytest.mark.parametrize(
    "value", ["bob", "@example.com", "bob@", '"a@evil.example"@example.com', "bob@example.com, eve@evil.example", "Bob <bob@example.com>"]
)
def test_an_address_that_is_more_than_an_address_is_refused(value):
    with pytest.raises(Unrepresentable):
        derive("email", value)


def test_a_list_has_the_facts_of_all_its_items():
    assert derive("email", ["a@x.example", "b@Y.example"]) == {"addresses": ["a@x.example", "b@y.example"], "hosts": ["x.example", "y.example"]}
    assert derive("path", ["/a/../b", "/b"]) == {"paths": ["/b"]}


def test_a_size_counts_bytes_or_items():
    assert derive("size", "\u00e4b") == {"size": 3}
    assert derive("size", [1, 2]) == {"size": 2}


@pytest.mark.parametrize("kind", ["path", "url", "host", "email", "size"])
@pytest.mark.parametrize("schema", [{"type": "string"}, STRINGS])
def test_what_is_derived_has_the_declared_type(kind, schema):
    value = {"path": "/a", "url": "https://a.example/", "host": "a.example", "email": "a@a.example", "size": "abc"}[kind]
    found = derive(kind, [value] if schema is STRINGS else value)
    declared = fact_type(kind, shape_of(schema))["attributes"]
    assert found.keys() == declared.keys()
    names = {"String": str, "Long": int, "Set": list}
    assert all(type(found[name]) is names[kind["type"]] for name, kind in declared.items())


def test_a_fact_needs_a_known_kind_and_a_text():
    for kind, schema in (("colour", {"type": "string"}), ("path", {"type": "integer"}), ("host", {})):
        with pytest.raises(ValueError, match=r"fact|read"):
            fact_type(kind, shape_of(schema))
