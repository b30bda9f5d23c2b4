from __future__ import annotations

from urllib.parse import quote

import pytest

from gateway.authorize.facts import derive, derive_many, fact_type
from gateway.authorize.shapes import shape_of
from gateway.authorize.typed import Unrepresentable
from gateway.call import FACT_KINDS

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


@pytest.mark.parametrize(
    "part", ["\uff0e\uff0e", "\u2025", ".\uff0e", "..;", "..;x=1", ".;", ";x", ".. ", ". ", " ", "...", "..\n", "a\uff0f..", "..\uff3cx", "\uff05"]
)
def test_a_part_that_some_systems_read_as_a_dot_segment_or_cut_elsewhere_is_refused(part):
    """Whoever permits what lies in /public must not be asked for what lies beside it."""
    for kind, before in (("path", ""), ("url", "https://files.example")):
        with pytest.raises(Unrepresentable):
            derive(kind, f"{before}/public/{quote(part) if before else part}/secret")


@pytest.mark.parametrize("part", [".hidden", "..rc", "a.", "a..b", "wait\u2026", "\u00bd", "na\u00efve", "a;v=1", "a b"])
def test_a_part_that_only_looks_unusual_is_kept(part):
    assert derive("path", f"/public/{part}/x")["folders"] == ["/", "/public", f"/public/{part}"]


def test_a_url_is_taken_apart():
    assert derive("url", "HTTPS://API.Example.COM./v1/../x?q=1") == {
        "scheme": "https",
        "host": "api.example.com",
        "domains": ["api.example.com", "example.com", "com"],
        "registrable": "example.com",
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
        "https://example.com/a%2F..%2Fb",
        "https://example.com/a/%2e%2e/b",
        "https://example.com/a%5cb",
        "https://example.com/%ff",
        "https://example.com/\uff0e\uff0e/b",
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
        "registrable": "example.com",
    }


@pytest.mark.parametrize(
    "value", ["bob", "@example.com", "bob@", '"a@evil.example"@example.com', "bob@example.com, eve@evil.example", "Bob <bob@example.com>"]
)
def test_an_address_that_is_more_than_an_address_is_refused(value):
    with pytest.raises(Unrepresentable):
        derive("email", value)


def test_a_list_has_the_facts_of_all_its_items():
    assert derive("email", ["a@x.example", "b@Y.example"]) == {
        "addresses": ["a@x.example", "b@y.example"],
        "hosts": ["x.example", "y.example"],
        "domains": ["example"],
        "registrables": ["x.example", "y.example"],
    }
    assert derive("path", ["/a/../b", "/b"]) == {"paths": ["/b"], "folders": ["/"]}


def test_of_a_list_policy_sees_what_holds_for_every_item():
    assert derive("host", ["a.team.example.com", "b.team.example.com"])["domains"] == ["com", "example.com", "team.example.com"]
    assert "example.com" not in derive("host", ["a.example.com", "badexample.com"])["domains"]
    assert derive("path", ["/data/team/a", "/data/b/c"])["folders"] == ["/", "/data"]
    for kind, name in (("host", "domains"), ("path", "folders"), ("email", "domains")):
        assert derive(kind, [])[name] == []


def test_a_size_counts_bytes_or_items():
    assert derive("size", "\u00e4b") == {"size": 3}
    assert derive("size", [1, 2]) == {"size": 2}


@pytest.mark.parametrize("kind", FACT_KINDS)
@pytest.mark.parametrize("schema", [{"type": "string"}, STRINGS])
def test_what_is_derived_has_the_declared_type(kind, schema):
    values = {"url": "https://10.0.0.1/", "host": "10.0.0.1", "email": "a@a.example", "recipients": "a@a.example", "ip": "::1"}
    value = values.get(kind, "/a")
    found = derive(kind, [value] if schema is STRINGS else value)
    declared = fact_type(kind, shape_of(schema))["attributes"]
    assert found.keys() == declared.keys()
    assert derive_many(kind, [value]).keys() == fact_type(kind, shape_of(schema), many=True)["attributes"].keys()
    names = {"String": str, "Long": int, "Set": list, "Extension": dict}
    assert all(type(found[name]) is names[kind["type"]] for name, kind in declared.items())
    optional = {name for name, kind in declared.items() if kind.get("required") is False}
    assert optional == ({"ip"} if kind in {"url", "host"} and schema is not STRINGS else set())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("fe80::0001", "fe80::1"),
    ],
)
def test_an_address_has_one_spelling(value, text):
    assert derive("ip", value) == {"ip": {"__extn": {"fn": "ip", "arg": text}}, "address": text}


@pytest.mark.parametrize(
    "value",
    [
        "010.0.0.1",
        "10.0.0.01",
        "10.1",
        "0x7f.0.0.1",
        "2130706433",
        "::ffff:10.0.0.1",
        "::ffff:a00:1",
        "0:0:0:0:0:ffff:0a00:0001",
        "::10.0.0.1",
        "::ffff:0:a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:a00:1::",
        "2001:0:a00:1::1",
        "fe80::1%eth0",
        "10.0.0.0/8",
        "10.0.0.1 ",
        "[::1]",
        "\u0661\u0660.0.0.1",
        "",
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused(value):
    with pytest.raises(Unrepresentable):
        derive("ip", value)


@pytest.mark.parametrize(
    ("value", "registrable"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", ""),
        ("alice.github.io", "alice.github.io"),
        ("github.io", ""),
        ("localhost", ""),
        ("10.0.0.1", ""),
        ("db.corp.internal", "corp.internal"),
    ],
)
def test_the_registrable_domain_is_what_somebody_registered_and_nothing_where_nobody_did(value, registrable):
    assert derive("host", value)["registrable"] == registrable


def test_a_host_that_is_an_address_can_be_compared_with_ranges():
    assert derive("url", "http://169.254.169.254/latest")["ip"] == {"__extn": {"fn": "ip", "arg": "169.254.169.254"}}
    assert "ip" not in derive("url", "http://metadata.example/latest")


@pytest.mark.parametrize(("kind", "value"), [("host", "\u212aevin.example"), ("email", "\u212aevin@x.example"), ("email", "kevin@\u212a.example")])
def test_a_letter_that_only_looks_ascii_in_lower_case_is_refused(kind, value):
    with pytest.raises(Unrepresentable):
        derive(kind, value)


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("bob@example.org", ["bob@example.org"]),
        ("Ada <ADA@Example.com>, bob@example.org", ["ada@example.com", "bob@example.org"]),
        ('"Lovelace, Ada \\"x\\"" <ada@example.com>,<bob@example.org>', ["ada@example.com", "bob@example.org"]),
        ("Jos\u00e9 \u674e <jose@example.com> ,\tada@example.com", ["ada@example.com", "jose@example.com"]),
        ("a@x.example, A@X.example", ["a@x.example"]),
    ],
)
def test_several_recipients_in_one_text_are_taken_apart(value, addresses):
    found = derive("recipients", value)
    assert found["addresses"] == addresses
    assert found["count"] == len(addresses)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a@x.example,",
        ",a@x.example",
        "a@x.example,,b@x.example",
        "a@x.example; b@x.example",
        "a@x.example b@x.example",
        "friends: a@x.example, b@x.example;",
        "A (boss) <a@x.example>",
        "A <a@x.example> <eve@evil.example>",
        "A <a@x.example>, <",
        '"A <a@x.example>',
        '"A" "B" <a@x.example>',
        "eve@evil.example, A <a@x.example",
        "eve@evil.example\uff0c A <a@x.example>",
        "eve\uff20evil.example <a@x.example>",
        '"x, eve@evil.example, y" <a@x.example>',
        "=?utf-8?q?eve=40evil.example=2C?= <a@x.example>",
        "A\r\nBcc: eve@evil.example <a@x.example>",
        "<@evil.example:a@x.example>",
        "a@x.example\x00, b@x.example",
    ],
)
def test_recipients_that_a_mail_program_could_split_otherwise_are_refused(value):
    with pytest.raises(Unrepresentable):
        derive("recipients", value)


def test_the_number_of_recipients_has_an_end():
    assert derive("recipients", ",".join(f"u{n}@x.example" for n in range(1_000)))["count"] == 1_000
    with pytest.raises(Unrepresentable):
        derive("recipients", ",".join(f"u{n}@x.example" for n in range(1_001)))


def test_the_size_of_an_object_is_that_of_its_canonical_text():
    assert derive("size", {"b": 1, "a": "\u00e4"}) == {"size": len('{"a":"\u00e4","b":1}'.encode())}
    assert derive_many("size", ["abc", "de"]) == {"size": 5}
    with pytest.raises(ValueError, match="size"):
        fact_type("size", shape_of({"type": "integer"}))


def test_a_fact_needs_a_known_kind_and_a_text():
    for kind, schema in (("colour", {"type": "string"}), ("path", {"type": "integer"}), ("host", {})):
        with pytest.raises(ValueError, match=r"fact|read"):
            fact_type(kind, shape_of(schema))
