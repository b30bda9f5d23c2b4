"""XML of other services: read plainly, or not at all."""

from __future__ import annotations

import pytest

from gateway.inject.xml_answer import DEPTH_MAX, ELEMENTS_MAX, XmlError, read_xml


def test_texts_are_found_by_their_way_whatever_the_namespace():
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<A xmlns="https://x/"><B> <C>1 &lt; 2</C>\n<D/></B><E f="g"><![CDATA[<x>]]></E></A>'
    assert read_xml(body) == {"A/B/C": "1 < 2", "A/B/D": "", "A/E": "<x>"}


def test_it_is_read_as_utf_8_whatever_it_says_of_itself():
    assert read_xml(b'<?xml version="1.0" encoding="utf-7"?><a>+ADw-</a>') == {"a": "+ADw-"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"CANARY",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a>\xff</a>",
        b"<a>\x01</a>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x "CANARY">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY c "&b;&b;">]><a>&c;</a>',
        b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/"> %x;]><a/>',
        b"<a>&undefined;</a>",
        b"<?php CANARY ?><a/>",
        b"<a><b>1</b><b>2</b></a>",
        b"<a>text<b/></a>",
        b"<a><b/>text</a>",
        b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1),
        b"<a>" + b"".join(b"<b%d/>" % number for number in range(ELEMENTS_MAX)) + b"</a>",
    ],
)
def test_what_is_not_plain_or_says_something_twice_is_refused_and_not_quoted(body):
    with pytest.raises(XmlError) as caught:
        read_xml(body)
    assert "CANARY" not in str(caught.value) and caught.value.__cause__ is None
