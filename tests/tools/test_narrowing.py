"""Operations to which no statement of a session policy applies are told when the deployment is loaded."""

from __future__ import annotations

import pytest

from gateway.config.load import load
from gateway.tools.catalogue import Catalogue
from tests.config.deployments import GOOD, write

STORE = """
[tool.store]
url = "https://acme.s3.eu-central-1.amazonaws.com"
credential = "store"
{operations}
[credential.store]
hosts = ["acme.s3.eu-central-1.amazonaws.com"]
[credential.store.sts]
role_arn = "arn:aws:iam::123456789012:role/r"
region = "eu-central-1"
service = "s3"
[credential.store.sts.policy]
Version = "2012-10-17"
Statement = [{{ Effect = "Allow", Action = "s3:GetObject", Resource = "{resource}" }}, {{ Effect = "Deny", Action = "s3:Put*", Resource = "*" }}]
"""
READ = """[tool.store.operation.read]
method = "GET"
path = "/{team}/{key}"
effect = "read"
parameters = { team = { type = "string" }, key = { type = "string" }, part = { in = "query", type = "string" } }
[tool.store.operation.list]
method = "GET"
path = "/"
effect = "read"
[tool.store.operation.write]
method = "PUT"
path = "/{team}"
effect = "idempotent_write"
parameters = { team = { type = "string" } }
body = { type = "object", properties = { key = { type = "string" } } }
"""


@pytest.mark.parametrize(
    ("resource", "operations", "told"),
    [
        ("arn:aws:s3:::acme/{args.team}/{args.key}", READ, "list: no statement"),
        ("arn:aws:s3:::acme/{args.part:path}", READ, "list: no statement"),
        ("arn:aws:s3:::acme/{args.kee}", READ, "read, list: no statement"),
        ("arn:aws:s3:::acme/*", READ, None),
        ("arn:aws:s3:::acme/{args.key}", "", "calls of a tool without contract: no statement"),
        ("arn:aws:s3:::acme/*", "", None),
    ],
)
def test_operations_whose_arguments_fill_no_statement_are_named(tmp_path, resource, operations, told):
    notes = Catalogue.load(load(write(tmp_path, GOOD + STORE.format(resource=resource, operations=operations)))).notes
    found = [(note.key, note.message) for note in notes if note.code == "never_narrowed"]
    assert [key for key, _ in found] == (["tool.store.credential"] if told else [])
    assert told is None or found[0][1].startswith(told)
