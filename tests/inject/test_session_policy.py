"""A session policy says of one call what an agent wrote, and never more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.session_policy import CHARACTERS_MAX
from gateway.inject.session_policy import filled
from gateway.inject.source import Unreachable, Unreadable

READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::acme/{args.team}/{args.key:path}"}
LIST = {
    "Effect": "Allow",
    "Action": ["s3:ListBucket"],
    "Resource": ["arn:aws:s3:::acme"],
    "Condition": {"StringEquals": {"s3:prefix": "{args.team}/"}, "NumericLessThanEquals": {"s3:max-keys": 10}},
}
DENY = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::acme/secret/*"}


def policy(*statements: dict) -> dict:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def made(arguments: dict, *statements: dict) -> list[dict]:
    return json.loads(filled(policy(*statements), arguments))["Statement"]


def test_arguments_stand_where_the_template_names_them():
    [read, listing, deny] = made({"team": "red", "key": "2026/q3 a.csv"}, READ, LIST, DENY)
    assert read["Resource"] == "arn:aws:s3:::acme/red/2026/q3 a.csv"
    assert listing["Condition"] == {"StringEquals": {"s3:prefix": "red/"}, "NumericLessThanEquals": {"s3:max-keys": 10}}
    assert deny == DENY


def test_a_whole_number_is_a_name_and_one_statement_needs_no_list():
    given = {"Version": "2012-10-17", "Statement": {**READ, "Resource": "arn:aws:s3:::acme/{args.number}"}}
    assert json.loads(filled(given, {"number": 7}))["Statement"][0]["Resource"] == "arn:aws:s3:::acme/7"


def test_a_statement_is_left_out_where_the_call_has_not_its_argument_and_a_denial_never_is():
    assert made({"team": "red"}, READ, LIST, DENY) == [{**LIST, "Condition": {**LIST["Condition"], "StringEquals": {"s3:prefix": "red/"}}}, DENY]
    with pytest.raises(Unreadable, match="no argument key, team") as caught:
        made({}, READ, DENY)
    assert not isinstance(caught.value, Unreachable)


WIDER = ["*", "a*", "?", "a?b", "$", "${aws:username}", "{args.key}", "a,b", 'a"b', "a\\b", "a\nb", "a\0b", "a\x7fb", "a\tb", "é", "\u202e", "\ufe68"]
NO_NAME = ["", ".", "..", "red/../blue", "red/", "/", "a:b", "arn:aws:s3:::other", "a|b", "a<b", "a&b", "a;b", "a#b", "a%2Fb", "a[b]", "a`b"]
NO_NAME_AT_ALL = [None, True, 1.5, ["red"], {"a": "b"}, [], {}]


@pytest.mark.parametrize("team", [*WIDER, *NO_NAME, *NO_NAME_AT_ALL])
def test_what_is_not_one_plain_name_narrows_nothing_and_is_refused(team):
    with pytest.raises(Unreadable, match="argument team does not stand for one name") as caught:
        made({"team": team, "key": "a"}, READ)
    assert not isinstance(caught.value, Unreachable) and (not isinstance(team, str) or len(team) < 3 or team not in caught.value.reason)


@pytest.mark.parametrize("key", [*WIDER, "", "/", "/a", "a//b", "..", "../a", "a/..", "a/../b", "a/./b", ".", "./a", "a/.", *NO_NAME_AT_ALL])
def test_what_is_not_one_plain_path_is_refused_even_where_paths_are_declared(key):
    with pytest.raises(Unreadable, match="argument key does not stand for a path"):
        made({"team": "red", "key": key}, READ)


@pytest.mark.parametrize("key", ["a", "a/b", "a/b/", "2026-01-01T00:00:00/x.csv", "dt=2026/a+b (1).csv", "a..b/...", "~"])
def test_a_plain_path_stands_as_it_is(key):
    assert made({"team": "red", "key": key}, READ)[0]["Resource"] == f"arn:aws:s3:::acme/red/{key}"


@given(st.text(st.sampled_from("ab01._-/:*?$,\"'\\{}() +=@~\n\0é") | st.characters(), max_size=12))
def test_whatever_an_argument_holds_the_policy_is_the_template_with_it_or_there_is_none(text):
    for argument, kind in (("team", "one name"), ("key", "a path")):
        arguments: dict = {"team": "red", "key": "k", argument: text}
        try:
            [read, deny] = made(arguments, READ, DENY)
        except Unreadable as refused:
            assert kind in refused.reason
            continue
        assert (read, deny) == ({**READ, "Resource": f"arn:aws:s3:::acme/{arguments['team']}/{arguments['key']}"}, DENY)
        assert not set(text) & set('*?$,"\\{}\n\0') and text.isascii() and not {"", ".", ".."} & set(text.removesuffix("/").split("/"))
        assert argument == "key" or not set(text) & set("/:")


def test_an_argument_is_not_read_a_second_time():
    with pytest.raises(Unreadable):
        made({"team": "{args.key:path}", "key": "x"}, READ)


def test_a_policy_longer_than_sts_takes_is_refused_and_not_cut():
    longest = CHARACTERS_MAX - len(filled(policy(READ), {"team": "red", "key": "k"})) + 1
    assert len(filled(policy(READ), {"team": "red", "key": "k" * longest})) == CHARACTERS_MAX
    with pytest.raises(Unreadable, match="longer than 2048"):
        filled(policy(READ), {"team": "red", "key": "k" * (longest + 1)})
