"""The echo guard: a secret that comes back in any of its usual forms is covered; nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
import random
import re
from urllib.parse import quote, quote_plus

import pytest

from gateway.forward.echo import Needles, StreamGuard, covered
from gateway.secret import Secret

TEXT = 'CANARY-s3cr3t/with+odd="chars"'
NEEDLES = Needles(Secret(TEXT))

FORMS = {
    "raw": TEXT.encode(),
    "percent-encoded": quote(TEXT, safe="").encode(),
    "percent-encoded in lower case": quote(TEXT, safe="")
    .replace("%2F", "%2f")
    .replace("%2B", "%2b")
    .replace("%3D", "%3d")
    .replace("%22", "%22")
    .encode(),
    "as a form's value": quote_plus(TEXT).encode(),
    "as a path": quote(TEXT).encode(),
    "as a browser encodes a URI": quote(TEXT, safe="-_.!~*'();/?:@&=+$,#").encode(),
    "in HTML": html.escape(TEXT).encode(),
    "in JSON": json.dumps({"key": TEXT}).encode(),
    "in JSON with escaped slashes": json.dumps({"key": TEXT}).replace("/", "\\/").encode(),
    "in a header of JSON": json.dumps({"authorization": f"Bearer {TEXT}"}).encode(),
    "Base64": base64.b64encode(TEXT.encode()),
    "Base64 for URLs": base64.urlsafe_b64encode(b"\xff\xfe" + TEXT.encode()),
    "HTTP Basic, user of one letter": base64.b64encode(b"u:" + TEXT.encode()),
    "HTTP Basic, user of two letters": base64.b64encode(b"us:" + TEXT.encode()),
    "HTTP Basic, user of three letters": base64.b64encode(b"use:" + TEXT.encode() + b"more"),
}


def shown(clean: bytes) -> bool:
    """Whether eight characters of the secret in a row can still be read, decoded or not."""
    decoded = clean
    for run in re.findall(rb"[A-Za-z0-9+/_-]{8,}", clean):
        for offset in range(4):
            part = run[offset:]
            decoded += b"|" + base64.b64decode(part[: len(part) // 4 * 4], altchars=b"-_")
    return any(TEXT.encode()[i : i + 8] in decoded for i in range(len(TEXT) - 8))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_an_echo_is_covered_with_as_many_asterisks(form):
    data = b"before " + FORMS[form] + b" after"
    clean = covered(data, NEEDLES)
    assert clean != data
    assert len(clean) == len(data)
    assert b"***" in clean
    assert not shown(covered(FORMS[form], NEEDLES))


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_both_alphabets_of_base64_are_known_wherever_the_secret_stands(encode):
    text = "CANARY-" + "~~~???>>>" * 3
    needles = Needles(Secret(text))
    for before in (b"", b"u:", b"us:", b"use:"):
        coded = encode(before + text.encode() + b"more")
        assert re.search(rb"[+/_-]", coded[12:-8])
        assert not re.search(rb"[+/_-]", covered(coded, needles)[12:-8]), before


def test_an_answer_without_an_echo_is_the_same_object():
    data = b"nothing of interest"
    assert covered(data, NEEDLES) is data


def test_every_echo_is_covered_not_just_the_first():
    assert covered(TEXT.encode() * 3, NEEDLES) == b"*" * len(TEXT) * 3


def test_a_short_secret_is_not_looked_for_in_innocent_text():
    assert covered(b"abc is a word", Needles(Secret("abc"))) == b"abc is a word"


@pytest.mark.parametrize("form", FORMS)
def test_an_echo_cut_at_any_place_is_covered_in_a_stream(form):
    data = b"-- " + FORMS[form] + b" --"
    whole = covered(data, NEEDLES)
    for cut in range(len(data) + 1):
        guard = StreamGuard(NEEDLES)
        got = guard.pass_on(data[:cut]) + guard.pass_on(data[cut:]) + guard.rest()
        assert got == whole
        assert guard.found


def test_an_echo_in_single_bytes_is_covered():
    data = b"x" * 50 + TEXT.encode() + b"y" * 50
    guard = StreamGuard(NEEDLES)
    assert b"".join(guard.pass_on(bytes([b])) for b in data) + guard.rest() == covered(data, NEEDLES)


def test_random_cuts_and_half_echoes_change_nothing_else():
    draw = random.Random(5)
    for _ in range(200):
        data = b"".join(draw.choice([TEXT.encode(), TEXT.encode()[: draw.randrange(len(TEXT))], b"C", b"CANARY", b"\n"]) for _ in range(6))
        guard, got, at = StreamGuard(NEEDLES), b"", 0
        while at < len(data):
            size = draw.randrange(1, 12)
            got += guard.pass_on(data[at : at + size])
            at += size
        assert got + guard.rest() == covered(data, NEEDLES)


def test_a_stream_is_held_back_only_where_an_echo_might_begin():
    guard = StreamGuard(NEEDLES)
    assert guard.pass_on(b"event: a\n\n") == b"event: a\n\n"
    assert guard.pass_on(b"data: CANARY-") == b"data: "
    assert guard.pass_on(b"bird") == b"CANARY-bird"


def test_needles_are_not_shown_by_their_repr():
    assert "CANARY" not in repr(NEEDLES)


def test_what_is_escaped_in_json_for_the_sake_of_browsers_is_found():
    needles = Needles(Secret("CANARY&<>key"))
    said = b'{"key":"CANARY\\u0026\\u003c\\u003ekey"}'
    assert b"CANARY" not in covered(said, needles)
