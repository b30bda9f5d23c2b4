"""Operations whose bodies a signature could not cover are found when the deployment is loaded."""

from __future__ import annotations

import pytest

from gateway.config.load import load
from gateway.errors import Problems
from gateway.tools.catalogue import Catalogue
from tests.config.deployments import GOOD, write

UNCOVERED = r"""
[tool.orders]
url = "https://orders.example.com"
credential = "orders"
[credential.orders]
secret = "env:ORDERS_KEY"
hosts = ["orders.example.com"]
[credential.orders.hmac]
string = "{timestamp}\n{method}\n{target}"
headers = { X-Signature = "{signature}", X-Timestamp = "{timestamp}" }
"""
COVERED = UNCOVERED.replace("{target}", r"{target}\n{body_sha256}")
READ = '[tool.orders.operation.read]\nmethod = "GET"\npath = "/orders"\neffect = "read"\n'
WRITE = '[tool.orders.operation.add]\nmethod = "POST"\npath = "/orders"\neffect = "write"\nbody = { type = "object" }\n'
UPLOAD = """{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/files": {"post": {"operationId": "upload", "x-portreeve-body": "opaque",
"requestBody": {"content": {"application/octet-stream": {}}}, "responses": {"200": {"description": "ok"}}}}}}"""


def notes(tmp_path, text: str) -> list[tuple[str, str]]:
    found = Catalogue.load(load(write(tmp_path, GOOD + text))).notes
    return [(note.code, note.message) for note in found if note.key == "tool.orders.credential"]


def test_a_signature_that_leaves_the_body_out_is_refused_where_an_operation_takes_one(tmp_path):
    with pytest.raises(Problems) as caught:
        notes(tmp_path, UNCOVERED + READ + WRITE)
    [problem] = caught.value.problems
    assert (problem.code, problem.key, "add: the signature" in problem.message) == ("unsigned_body", "tool.orders.credential", True)
    assert "{body_sha256}" in problem.remedy


def test_where_no_operation_takes_a_body_it_may_be_left_out(tmp_path):
    assert notes(tmp_path, UNCOVERED + READ) == []
    assert notes(tmp_path, COVERED + READ + WRITE) == []


def test_calls_that_will_be_refused_since_their_bodies_stream_are_told(tmp_path):
    [(code, message)] = notes(tmp_path, COVERED)
    assert code == "unsigned_body" and "has no contract" in message
    write(tmp_path)
    (tmp_path / "files.json").write_text(UPLOAD)
    [(code, message)] = notes(tmp_path, COVERED.replace('credential = "orders"\n', 'credential = "orders"\ncontract = "files.json"\n'))
    assert code == "unsigned_body" and message.startswith("upload: the body streams")


def test_what_streams_to_aws_is_told_but_for_s3_by_tls(tmp_path):
    told = {}
    for service, scheme in (("s3", "https"), ("s3", "http"), ("lambda", "https")):
        role = f'role_arn = "arn:aws:iam::123456789012:role/r"\nregion = "eu-central-1"\nservice = "{service}"\n'
        allows = 'policy = { Version = "2012-10-17", Statement = { Effect = "Allow", Action = "*", Resource = "*" } }\n'
        tool = f'[tool.orders]\nurl = "{scheme}://127.0.0.1"\ncredential = "orders"\n'
        told[service, scheme] = notes(tmp_path, f'{tool}[credential.orders]\nhosts = ["127.0.0.1"]\n[credential.orders.sts]\n{role}{allows}')
    assert told["s3", "https"] == []
    assert [told[where][0][0] for where in (("s3", "http"), ("lambda", "https"))] == ["unsigned_body"] * 2
