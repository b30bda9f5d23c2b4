"""A Secret does not leak by any way of turning things into text."""

import copy
import json
import logging
import pickle

import orjson
import pytest

from gateway.canonical import JsonError, dumps
from gateway.secret import Secret

TEXT = "CANARY-hunter2"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        format,
        lambda s: f"{s}",
        lambda s: f"{s:>40}",
        lambda s: "%s" % s,
        lambda s: "%r" % (s,),
        lambda s: repr([s]),
        lambda s: repr({"k": s}),
    ],
)
def test_no_text_form_shows_the_secret(show):
    assert TEXT not in show(Secret(TEXT))


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, orjson.dumps])
def test_a_secret_cannot_be_copied_or_serialised(take):
    with pytest.raises(TypeError):
        take(Secret(TEXT))


def test_canonical_json_refuses_a_secret():
    with pytest.raises(JsonError):
        dumps({"k": Secret(TEXT)})


def test_a_secret_has_no_public_attribute_that_holds_it():
    secret = Secret(TEXT)
    assert not [name for name in dir(secret) if not name.startswith("_") and getattr(secret, name) == TEXT]
    assert not hasattr(secret, "__dict__")


def test_a_secret_does_not_change():
    with pytest.raises(AttributeError):
        Secret(TEXT)._text = "other"


def test_a_log_line_does_not_hold_it(caplog):
    logging.getLogger("t").warning("sent %s", Secret(TEXT))
    assert TEXT not in caplog.text


def test_a_secret_equals_only_another_secret_with_the_same_text():
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("x")
    assert Secret(TEXT) != TEXT
    with pytest.raises(TypeError):
        hash(Secret(TEXT))


def test_an_empty_secret_is_false():
    assert not Secret("")
    assert Secret(TEXT)
    assert Secret(TEXT).reveal() == TEXT
