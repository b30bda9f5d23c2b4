"""Signature Version 4: AWS's own examples, many requests compared with AWS's own library, and what is not signed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.sources import SIGV4_FIELDS, StsSettings
from gateway.errors import Refusal
from gateway.inject.signing import Unsigned
from gateway.inject.sigv4 import SigV4Signer, canonical_headers, canonical_path, canonical_query, signature_of
from gateway.inject.source import Fetched, Unreadable
from gateway.secret import Secret

EMPTY = hashlib.sha256(b"").hexdigest()
DOCUMENTED = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
IAM_KEY = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
BUCKET = ("host", "examplebucket.s3.amazonaws.com")
S3_DATE = ("x-amz-date", "20130524T000000Z")
S3_EMPTY = ("x-amz-content-sha256", EMPTY)
IAM_DATE = ("x-amz-date", "20150830T123600Z")
WELCOME = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
S3, IAM, SUITE = "20130524/us-east-1/s3/aws4_request", "20150830/us-east-1/iam/aws4_request", "20150830/us-east-1/service/aws4_request"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def of(service: str) -> StsSettings:
    return StsSettings("arn:aws:iam::123456789012:role/r", "eu-central-1", service, {})


KEY_ID, KEY, TOKEN = "ASIAEXAMPLE", "CANARY-key/+of=aws", "CANARY-token//+=="
FETCHED = Fetched(Secret(TOKEN), 900.0, user=Secret(KEY_ID), key=Secret(KEY))
NOW = 1_795_000_000.9
PLAIN = Unsigned("GET", "https", "examplebucket.s3.amazonaws.com", "/a", "", (("host", "examplebucket.s3.amazonaws.com"),), b"")


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "scope", "key", "signature"),
    [
        (
            "GET", "/test.txt", "", [BUCKET, ("range", "bytes=0-9"), S3_EMPTY, S3_DATE], EMPTY, S3, DOCUMENTED,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT", "/test$file.text", "",
            [("date", "Fri, 24 May 2013 00:00:00 GMT"), BUCKET, ("x-amz-content-sha256", WELCOME), S3_DATE, ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            WELCOME, S3, DOCUMENTED, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        ("GET", "/", "lifecycle", [BUCKET, S3_EMPTY, S3_DATE], EMPTY, S3, DOCUMENTED, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "GET", "/", "prefix=J&max-keys=2", [BUCKET, S3_EMPTY, S3_DATE], EMPTY, S3, DOCUMENTED,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        (
            "GET", "/", "Action=ListUsers&Version=2010-05-08", [("content-type", FORM), ("host", "iam.amazonaws.com"), IAM_DATE], EMPTY, IAM, IAM_KEY,
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        ("GET", "/", "", [("host", "example.amazonaws.com"), IAM_DATE], EMPTY, SUITE, IAM_KEY, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "GET", "/", "Param2=value2&Param1=value1", [("host", "example.amazonaws.com"), IAM_DATE], EMPTY, SUITE, IAM_KEY,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
)  # fmt: skip
def test_the_examples_of_the_documentation_come_out_to_the_letter(method, path, query, headers, body, scope, key, signature):
    service = of(scope.split("/")[2])
    text = "\n".join((method, canonical_path(path, service), canonical_query(query, service), *canonical_headers(headers), body))
    assert signature_of(text, dict(headers)["x-amz-date"], scope, key) == signature


LETTERS = "aZ09-_.~ !$&'()*,;=:@+%?#[]{}|\\^`\"<>é日\U0001f512"
WORDS = st.text(LETTERS, min_size=1, max_size=6).filter(lambda word: word not in (".", ".."))
VALUES = st.text("aZ09 ,;=/\"'*.+\t", max_size=12).map(str.strip)
HEADERS = st.lists(st.tuples(st.sampled_from(["accept", "content-type", "if-match", "prefer", "user-agent", "accept-encoding"]), VALUES), max_size=4)
PAIRS = st.dictionaries(WORDS, st.text(LETTERS + "/\n", max_size=6), max_size=3)
LOOSE = "!$&'()*,;=:@"
"""What may stand in a path as it is, besides letters and digits, and is escaped by the libraries of AWS."""


def oracle(service: str, request: Unsigned, path: str, query: str) -> tuple[str, str]:
    """What botocore writes: the Authorization field, and the digest of the body."""
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(KEY_ID, KEY, TOKEN), service, "eu-central-1")
    url = f"{request.scheme}://{request.authority}{path}{'?' + query if query else ''}"
    asked = AWSRequest(request.method, url, data=request.body)
    for name, value in request.headers:
        if name not in ("user-agent", "accept-encoding"):
            asked.headers.add_header(name, value)
    if service != "s3":  # it is not required there, and covered all the same
        asked.headers["X-Amz-Content-SHA256"] = hashlib.sha256(request.body or b"").hexdigest()
    asked.context["timestamp"] = datetime.fromtimestamp(int(NOW), UTC).strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(asked)
    auth._inject_signature_to_request(asked, auth.signature(auth.string_to_sign(asked, auth.canonical_request(asked)), asked))
    return asked.headers["Authorization"], asked.headers["X-Amz-Content-SHA256"]


@given(
    service=st.sampled_from(["s3", "execute-api", "dynamodb"]),
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    segments=st.lists(WORDS, max_size=3),
    pairs=PAIRS,
    headers=HEADERS,
    body=st.binary(max_size=40),
    ends_in_slash=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_it_signs_as_the_library_of_aws_does(service, method, segments, pairs, headers, body, ends_in_slash):
    path = "".join("/" + quote(word, safe=LOOSE) for word in segments) + ("/" if ends_in_slash or not segments else "")
    strict = "".join("/" + quote(word, safe="~") for word in segments) + ("/" if ends_in_slash or not segments else "")
    query = "&".join(f"{quote_plus(name, safe='!$();:@/?')}={quote(value, safe='!$();:@/?,')}" for name, value in pairs.items())
    strictly = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs.items())
    request = Unsigned(method, "http", "host.example:8080", path, query, (("host", "host.example:8080"), *headers), body)
    signed = dict(SigV4Signer(of(service)).sign(request, FETCHED, NOW))
    authorization, digest = oracle(service, request, strict if service == "s3" else path, strictly)
    assert (signed["authorization"].reveal(), signed["x-amz-content-sha256"]) == (authorization, digest)
    assert signed["x-amz-security-token"].reveal() == TOKEN


def test_every_field_that_it_sets_is_one_that_no_agent_may_send_and_none_shows_a_secret():
    signed = SigV4Signer(of("s3")).sign(PLAIN, FETCHED, NOW)
    assert {name for name, _ in signed} == SIGV4_FIELDS - {"x-amz-target"}
    assert SigV4Signer(of("s3")).fields == SIGV4_FIELDS
    assert "CANARY" not in repr(signed) + repr(FETCHED) and "Signature=" not in repr(signed)
    assert KEY not in "".join(value.reveal() if isinstance(value, Secret) else value for _, value in signed)


def test_what_an_agent_would_sign_itself_is_not_covered_and_not_believed():
    more = (("x-amz-date", "20000101T000000Z"), ("authorization", "mine"), ("x-amz-security-token", "mine"), ("x-amz-content-sha256", EMPTY[::-1]))
    signer = SigV4Signer(of("s3"))
    assert str(signer.sign(replace(PLAIN, headers=(*PLAIN.headers, *more)), FETCHED, NOW)) == str(signer.sign(PLAIN, FETCHED, NOW))
    mine = dict(signer.sign(replace(PLAIN, headers=(*PLAIN.headers, *more)), FETCHED, NOW))
    assert mine["authorization"] == dict(signer.sign(PLAIN, FETCHED, NOW))["authorization"]


@pytest.mark.parametrize(
    "change", [{"method": "PUT"}, {"path": "/b"}, {"query": "a=1"}, {"body": b"x"}, {"authority": "evil.example"}, {"headers": (("prefer", "x"),)}]
)
def test_the_signature_covers_all_that_the_service_acts_on(change):
    signer = SigV4Signer(of("s3"))
    one, other = (dict(signer.sign(request, FETCHED, NOW))["authorization"] for request in (PLAIN, replace(PLAIN, **change)))
    assert one.reveal()[-64:] != other.reveal()[-64:]


def test_what_a_mesh_may_rewrite_on_the_way_is_not_covered():
    signer = SigV4Signer(of("s3"))
    changed = replace(PLAIN, headers=(*PLAIN.headers, ("user-agent", "x"), ("traceparent", "00-1"), ("accept-encoding", "identity")))
    assert dict(signer.sign(changed, FETCHED, NOW))["authorization"] == dict(signer.sign(PLAIN, FETCHED, NOW))["authorization"]


def test_a_body_that_streams_goes_unsigned_to_s3_by_tls_and_nowhere_else():
    streamed = replace(PLAIN, method="PUT", body=None)
    assert dict(SigV4Signer(of("s3")).sign(streamed, FETCHED, NOW))["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    for service, request in (("s3", replace(streamed, scheme="http")), ("lambda", streamed)):
        with pytest.raises(Unreadable, match="streams"):
            SigV4Signer(of(service)).sign(request, FETCHED, NOW)


@pytest.mark.parametrize(
    ("service", "query"),
    [
        ("s3", "prefix=%zz"), ("s3", "a=%"), ("s3", "a=1&&b=2"), ("s3", "=1"), ("s3", "prefix=a&prefix=b"),
        ("s3", "prefix=a&pref%69x=b"), ("s3", "X-Amz-Signature=0"), ("s3", "x%2Damz-security-token=mine"), ("lambda", "X-AMZ-Algorithm=x"),
        ("s3", "AWSAccessKeyId=AKIA&Signature=x"), ("s3", "X-Amz-%0a=x"), ("s3", "x-amz-%ff+=x"),
    ],
)  # fmt: skip
def test_a_query_with_two_readings_or_a_signature_of_its_own_is_refused(service, query):
    with pytest.raises(Refusal) as caught:
        SigV4Signer(of(service)).sign(replace(PLAIN, query=query), FETCHED, NOW)
    assert caught.value.code == "malformed_request"


def test_a_plus_that_s3_would_read_as_a_space_is_refused_and_an_encoded_slash_is_a_slash_of_the_key():
    signer = SigV4Signer(of("s3"))
    with pytest.raises(Refusal) as caught:
        signer.sign(replace(PLAIN, path="/bucket/a+b"), FETCHED, NOW)
    assert caught.value.code == "path_refused"
    assert canonical_path("/bucket/a%2Bb/x=1/%C3%A9", of("s3")) == "/bucket/a%2Bb/x%3D1/%C3%A9"
    assert canonical_path("/bucket/a%2Fb", of("s3")) == "/bucket/a/b"
    assert canonical_path("/bucket/a%2Fb+c=1", of("execute-api")) == "/bucket/a%252Fb%2Bc%3D1"


def test_the_target_is_the_operation_that_was_allowed_and_covered():
    queue = replace(of("sqs"), target="AmazonSQS")
    signed = dict(SigV4Signer(queue).sign(replace(PLAIN, method="POST", operation="SendMessage"), FETCHED, NOW))
    assert signed["x-amz-target"] == "AmazonSQS.SendMessage" and "x-amz-security-token;x-amz-target," in signed["authorization"].reveal()


@pytest.mark.parametrize("fetched", [replace(FETCHED, key=None), replace(FETCHED, user=None)])
def test_a_secret_that_is_no_key_of_aws_signs_nothing(fetched):
    signer = SigV4Signer(of("s3"))
    for use in (lambda: signer.check(fetched), lambda: signer.sign(PLAIN, fetched, NOW)):
        with pytest.raises(Unreadable, match="no key of AWS"):
            use()
    signer.check(FETCHED)
