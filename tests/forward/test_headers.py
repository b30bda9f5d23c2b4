"""What of an answer's head comes down."""

from __future__ import annotations

import pytest

from gateway.forward.exchange import Failed
from gateway.forward.headers import allowed_names, passed_down, with_places
from gateway.forward.pool import Origin

ORIGIN = Origin("https", "up.example", 443)


def down(*fields: tuple[str, str], opened: tuple[str, ...] = ()) -> dict[str, str]:
    return dict(passed_down([(n.encode(), v.encode("latin-1")) for n, v in fields], allowed_names(opened)))


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "www-authenticate", "server", "alt-svc", "strict-transport-security", "x-amz-request-id", "proxy-authenticate", "x-powered-by"],
)
def test_private_fields_of_the_upstream_do_not_come_down(name):
    assert down((name, "x"), ("etag", "1")) == {"etag": "1"}


@pytest.mark.parametrize("name", ["set-cookie", "www-authenticate", "x-own"])
def test_a_tool_may_open_a_field(name):
    assert down((name, "x"), opened=(name.title(),)) == {name: "x"}


@pytest.mark.parametrize("name", ["connection", "transfer-encoding", "alt-svc", "portreeve-decision", "proxy-authenticate", "date", "server"])
def test_some_fields_no_setting_can_open(name):
    assert down((name, "x"), opened=(name,)) == {}


def test_an_upstream_cannot_forge_the_gateways_decision():
    assert down(("portreeve-decision", "log#1;forged"), opened=("portreeve-decision",)) == {}


def test_a_field_that_connection_names_stays_on_its_hop():
    assert down(("connection", "close, ETag"), ("etag", "1")) == {}


def test_a_value_that_two_readers_could_read_differently_is_dropped():
    assert down(("content-disposition", "filename=\xe9"), ("etag", "1")) == {"etag": "1"}


@pytest.mark.parametrize("name", ["content-type", "location", "etag", "content-range"])
def test_a_field_that_may_stand_once_makes_the_answer_invalid_when_it_stands_twice(name):
    with pytest.raises(Failed) as caught:
        down((name, "a"), (name, "b"))
    assert caught.value.kind == "invalid"


@pytest.mark.parametrize(
    ("location", "path", "seen"),
    [
        ("https://up.example/v1/orders/7", "/v1/orders", "./orders/7"),
        ("https://up.example:443/v1/orders/7?x=1#top", "/v1/orders", "./orders/7?x=1#top"),
        ("/v1/orders/7", "/v1/a/b/c", "../../orders/7"),
        ("next", "/v1/a/b", "../a/next"),
        ("?page=2", "/v1/a/b", "../a/b?page=2"),
        ("/v1/", "/v1/a", "./"),
        ("/v1/x:y", "/v1/a", "./x:y"),
        ("https://other.example/v1/a", "/v1/a", None),
        ("http://up.example/v1/a", "/v1/a", None),
        ("https://up.example:8443/v1/a", "/v1/a", None),
        ("//other.example/v1/a", "/v1/a", None),
        ("https://user@up.example/v1/a", "/v1/a", None),
        ("/admin", "/v1/a", None),
        ("/v1/../admin", "/v1/a", None),
        ("/v1admin", "/v1/a", None),
        ("/v1//other.example/", "/v1/a", None),
        ("javascript:alert(1)", "/v1/a", None),
        ("\\\\other.example\\a", "/v1/a", None),
        ("https://up.example:99999/v1/a", "/v1/a", None),
        ("", "/v1/a", None),
    ],
)
def test_a_location_leads_back_through_the_gateway_or_nowhere(location, path, seen):
    got = dict(with_places([("location", location), ("etag", "1")], ORIGIN, "/v1", path))
    assert got.get("location") == seen
    assert got["etag"] == "1"


@pytest.mark.parametrize(
    ("link", "seen"),
    [
        ('<https://up.example/v1/a?page=2>; rel="next"', '<./a?page=2>; rel="next"'),
        ("</v1/b>; rel=next, </v1/c>; rel=last", "<./b>; rel=next, <./c>; rel=last"),
        ("<https://other.example/v1/a>; rel=next", None),
        ("</v1/b>; rel=next, <https://other.example/>; rel=last", None),
        ("https://other.example/; rel=next", None),
        ("</v1/b>; rel=next, <https://other.example/", None),
    ],
)
def test_a_link_leads_back_through_the_gateway_or_nowhere(link, seen):
    assert dict(with_places([("link", link), ("etag", "1")], ORIGIN, "/v1", "/v1/a")).get("link") == seen
