"""Templates of session policies: where an argument could widen one, or it could never work, it does not load."""

from __future__ import annotations

import pytest

from gateway.config.session_policy import CHARACTERS_MAX, of_policy

GET = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::acme/{args.team}/{args.key:path}"}


def policy(*statements: object, **more: object) -> dict:
    return {"Version": "2012-10-17", "Statement": list(statements), **more}


@pytest.mark.parametrize(
    "good",
    [
        policy(GET),
        policy(GET, Id="reports"),
        {"Version": "2012-10-17", "Statement": GET},
        policy({**GET, "Resource": ["arn:aws:s3:::acme", "*"]}, {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}),
        policy({**GET, "Resource": "arn:aws:sqs:{args.region}:123456789012:{args.queue}"}),
        policy({**GET, "Condition": {"StringEquals": {"s3:prefix": ["{args.prefix:path}", "a"], "aws:PrincipalTag/t": "${aws:username}"}}}),
        policy(
            {**GET, "Condition": {"ForAllValues:StringLikeIfExists": {"a:b": "{args.x}"}, "NumericEquals": {"c:d": "{args.n}"}, "Bool": {"e": True}}}
        ),
        policy({**GET, "Resource": "arn:aws:s3:::acme/${aws:PrincipalTag/team}/{args.key}"}),
    ],
)
def test_a_policy_in_which_arguments_can_only_narrow_is_taken(good):
    assert list(of_policy(good)) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"Statement": [GET]}, "version"),
        (policy(GET, Version="2008-10-17"), "version"),
        (policy(GET, Principal="*"), "more than"),
        (policy({**GET, "Principal": "*"}), "has not"),
        (policy(), "allows nothing"),
        ({"Version": "2012-10-17"}, "no Effect"),
        (policy("Allow"), "no Effect"),
        (policy({**GET, "Effect": "allow"}), "no Effect"),
        (policy({**GET, "Effect": "{args.effect}"}), "no Effect"),
        (policy({**GET, "Effect": "Deny"}), "could widen"),
        (policy(GET, {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"a": "{args.x}"}}}), "could widen"),
        (policy({**GET, "Action": "s3:{args.action}"}), "could widen"),
        (policy({**GET, "Action": ["s3:GetObject", "{args.action}"]}), "could widen"),
        (policy({"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::{args.other}"}), "could widen"),
        (policy({**GET, "Sid": "{args.sid}"}), "could widen"),
        (policy({**GET, "Condition": {"{args.operator}": {"s3:prefix": "a"}}}), "could widen"),
        (policy({**GET, "Condition": {"StringEquals": {"{args.key}": "a"}}}), "could widen"),
        (policy({**GET, "Condition": [{"StringEquals": {"s3:prefix": "a"}}]}), "no table"),
        (policy({**GET, "Condition": {"StringNotEquals": {"s3:prefix": "{args.key}"}}}), "could widen"),
        (policy({**GET, "Condition": {op: {"s3:prefix": "{args.key}"} for op in ("StringEquals", "ForAnyValue:StringNotLike")}}), "could widen"),
        (policy({**GET, "Condition": {"NumericLessThan": {"s3:max-keys": "{args.number}"}}}), "could widen"),
        (policy({**GET, "Condition": {"Null": {"s3:prefix": "{args.key}"}}}), "could widen"),
        (policy({**GET, "Resource": "arn:aws:s3:::acme/{key}"}), "no placeholder"),
        (policy({**GET, "Resource": "arn:aws:s3:::acme/{args.key:any}"}), "no placeholder"),
        (policy({**GET, "Resource": "arn:aws:s3:::acme/{args.}"}), "no placeholder"),
        (policy({**GET, "Resource": "arn:aws:s3:::acme/${args.key}"}), "no placeholder"),
        (policy({**GET, "Resource": "arn:aws:s3:::acme/{args.key"}), "no placeholder"),
        (policy({**GET, "Resource": "arn:aws:sqs:{args.region:path}:123456789012:q"}), "outside the part"),
        (policy({**GET, "Resource": "arn:aws:s3:::acmé/{args.key}"}), "character"),
        (policy({**GET, "Resource": "arn:aws:s3:::" + "a" * CHARACTERS_MAX}), "longer"),
    ],
)
def test_a_policy_that_an_argument_could_widen_or_aws_would_not_take_is_told(bad, says):
    found = list(of_policy(bad))
    assert found and says in found[0][1].message
    assert all(key == "policy" and fault.code == "bad_policy" and fault.remedy for key, fault in found)
