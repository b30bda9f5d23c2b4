"""The canonical path: what a hostile path does, and that a good one is left alone."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.path import canonical
from gateway.errors import Refusal

REFUSED = [
    r"/pub/../admin",
    r"/pub/%2e%2e/admin",
    r"/pub/.%2e/admin",
    r"/pub/%2E./admin",
    r"/pub/%2e%2e%2fadmin",
    r"/pub/..%5cadmin",
    r"/pub/..\admin",
    r"/pub/%252e%252e/admin",
    r"/pub/..%252fadmin",
    r"/pub/..%c0%afadmin",
    r"/pub/%c0%ae%c0%ae/admin",
    r"/pub/%u002e%u002e/admin",
    r"/pub/..;/admin",
    r"/pub;/../admin",
    r"/admin;x",
    r"/admin%3bx",
    r"//admin",
    r"/.//admin",
    r"/./admin",
    r"/%2e/admin",
    r"/%2fadmin",
    r"/../admin",
    r"/%2561dmin",
    r"/admin%00.json",
    r"/admin%20/x",
    r"/admin./x",
    r"/admin.",
    r"/pub%3f/../admin",
    r"/pub%3fx",
    r"/admin%23x",
    r"/pub#/../admin",
    r"/%EF%BC%8Fadmin",
    r"/pub/%EF%BC%8E%EF%BC%8E/admin",
    r"/%ff%fe/../admin",
    r"/%ff%fe",
    r"/%%32%65%%32%65/admin",
    r"//127.0.0.1:1/x",
    r"/http://127.0.0.1:1/x",
    r"/a//b",
    r"/a/b//",
    r"/.",
    r"/..",
    r"/a/.",
    r"/a/..",
    r"/...",
    r"/a/...",
    r"/a%0d%0ab",
    r"/a%0ab",
    r"/a%7f",
    r"/a%1b",
    r"/a%09b",
    r"/a%20",
    r"/a%C2%A0",
    r"/a%C2%A0/b",
    r"/a%E2%80%8B",
    r"/a%E2%80%8B/b",
    r"/a%E2%80%AE",
    r"/a%EF%BB%BF",
    r"/a%C2%85b",
    r"/a%C2%85",
    r"/a%2",
    r"/a%",
    r"/a%g1",
    r"/a%1g",
    r"/a%%41",
    r"/a?b",
    r"/a|b",
    r"/a^b",
    r"/a`b",
    r"/a{b}",
    r"/a<b>",
    r'/a"b',
    r"/a[b]",
    r"/a\b",
    r"/a%5Cb",
    r"/a%5cb",
    r"%2f",
    r"a",
    r"../a",
    r"*",
    r"/%ED%A0%80",
    r"/%F4%90%80%80",
    r"/%E2%80%A5/a",
    r"/%EF%BC%8E",
    r"/%E2%84%80",
    r"/x%EF%BC%85%32%65",
    r"/%C0%80",
    *("/a%2eb", "/a%2Ejson", "/%2egit", "/a%00", "/%01", "/%1f", "", "/a b", "/a\tb", "/a\x00b", "/é", "/a\r\nb", " /a", "/a "),
]

UNCHANGED = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/pub/caf%C3%A9",
    "/pub/a%20b",
    "/pub/v1:run@2",
    "/ADMIN",
    "/.git/config",
    "/..a",
    "/...a",
    "/a.b",
    "/a..b",
    "/a.json",
    "/-._~!$&'()*+,=:@",
    "/users/a%22b",
    "/%E6%97%A5%E6%9C%AC",
    "/a%5Bb%5D",
    "/repos/x/issues/1",
    "/a%7Bb%7D",
    "/a%2Bb",
    "/%40me",
    "/a%20b/c",
    "/e%CC%81",
]


def refuses(raw: str, **options: bool) -> str:
    with pytest.raises(Refusal) as refusal:
        canonical(raw.encode("utf-8"), **options)
    assert refusal.value.code == "path_refused"
    assert refusal.value.reason
    return refusal.value.reason


@pytest.mark.parametrize("raw", REFUSED)
def test_a_path_with_a_second_reading_is_refused(raw):
    refuses(raw)


@pytest.mark.parametrize("raw", UNCHANGED)
def test_a_plain_path_passes_unchanged(raw):
    assert canonical(raw.encode()) == raw


@pytest.mark.parametrize(
    ("raw", "spelt"),
    [("/%78", "/x"), ("/%61dmin", "/admin"), ("/caf%c3%a9", "/caf%C3%A9"), ("/%7Eme", "/~me"), ("/a%2db", "/a-b"), ("/%5f", "/_")],
)
def test_one_path_has_one_spelling(raw, spelt):
    assert canonical(raw.encode()) == spelt


@pytest.mark.parametrize(
    ("raw", "spelt"), [("/group%2fproject/x", "/group%2Fproject/x"), ("/a;v=1/b", "/a;v=1/b"), ("/a;v=1;w=2", "/a;v=1;w=2"), ("/a;", "/a;")]
)
def test_a_tool_may_have_encoded_slashes_and_semicolons_in_its_ids(raw, spelt):
    assert canonical(raw.encode(), encoded_slash=True, semicolon=True) == spelt
    refuses(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "/a/..%2fb",
        "/..%2F..%2Fb",
        "/%2e%2e%2fb",
        "/a%2f..%2fb",
        "/%2fa",
        "/a%2f%2fb",
        "/a/%2fb",
        "/a%2f/b",
        "/a%2f",
        "/a%2f.",
        "/..;/b",
        "/..;x/b",
        "/.;/b",
        "/;/b",
        "/a/;x/b",
        "/a;../b",
        "/a%3bb",
        "/a%252fb",
        "/a%5cb",
        "/a%20%2fb",
    ],
)
def test_the_opt_ins_open_no_way_to_dot_segments(raw):
    refuses(raw, encoded_slash=True, semicolon=True)


PIECES = st.sampled_from([*"ab./;~%25eEfF", "%2", "%2e", "%2F", "%61", "%C3%A9", "%EF%BC%8F", "%20", "..", "//"])
RAW = st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces))
OPTIONS = st.fixed_dictionaries({"encoded_slash": st.booleans(), "semicolon": st.booleans()})


@given(RAW, OPTIONS)
def test_what_passes_is_a_fixed_point_and_means_what_was_sent(raw, options):
    try:
        spelt = canonical(raw.encode(), **options)
    except Refusal:
        return
    assert canonical(spelt.encode(), **options) == spelt
    assert unquote_to_bytes(spelt) == unquote_to_bytes(raw)
    assert not re.search(r"%(?:2[eE]|5[cC]|25|[01]\w|[a-f]|.[a-f])", spelt)


@given(RAW, OPTIONS)
def test_whatever_an_upstream_does_to_a_path_that_passed_it_stays_below_its_folders(raw, options):
    try:
        spelt = canonical(raw.encode(), **options)
    except Refusal:
        return
    for text in (spelt, unquote_to_bytes(spelt).decode(), unquote_to_bytes(unquote_to_bytes(spelt)).decode("utf-8", "replace")):
        segments = [segment.partition(";")[0] for segment in text[1:].split("/")]
        assert not {".", ".."} & set(segments)
        assert "" not in segments[:-1]


@given(st.binary(max_size=40).map(b"/".__add__), OPTIONS)
def test_any_bytes_end_in_a_path_or_a_refusal(raw, options):
    try:
        spelt = canonical(raw, **options)
    except Refusal as refusal:
        assert refusal.code == "path_refused"
    else:
        assert spelt.isascii()


@pytest.mark.parametrize(
    "raw", [b"/" + b"." * 100_000, b"/" * 100_000, b"/a" * 50_000 + b"\\", b"/" + b"." * 100_000 + b"\\", b"/%41" * 25_000 + b"%"]
)
def test_long_hostile_paths_are_refused_in_linear_time(raw):
    with pytest.raises(Refusal):
        canonical(raw)
