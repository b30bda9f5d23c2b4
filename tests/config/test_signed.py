"""Tables that say how requests are signed: what a right one becomes, and every fault of a wrong one."""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config.sources import HmacSettings
from gateway.errors import Problems
from tests.config.deployments import GOOD, line_of, write
from tests.simulators.signed import API, SLACK, STRIPE

SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"
HEAD = '[credential.orders]\nsecret = "env:ORDERS_KEY"\nhosts = ["orders.example.com"]\n'
PLAIN = (
    HEAD
    + r"""[credential.orders.hmac]
string = "{timestamp}\n{method}\n{target}\n{body_sha256}"
headers = { X-Signature = "v1={signature}", X-Timestamp = "{timestamp}" }
"""
)


def test_a_credential_may_sign_instead_of_going_along(tmp_path):
    credential = load.load(write(tmp_path, GOOD + PLAIN)).credentials["orders"]
    assert credential.hmac == HmacSettings(
        "{timestamp}\n{method}\n{target}\n{body_sha256}", {"X-Signature": "v1={signature}", "X-Timestamp": "{timestamp}"}
    )
    assert credential.written == {"x-signature", "x-timestamp"} and credential.header is None


@pytest.mark.parametrize("table", [API, SLACK, STRIPE])
def test_the_forms_of_known_services_can_be_written(tmp_path, table):
    assert load.load(write(tmp_path, f"{GOOD}{HEAD}[credential.orders.hmac]\n{table}")).credentials["orders"].hmac


@pytest.mark.parametrize(
    ("code", "old", "new", "key"),
    [
        ("uncovered", "{timestamp}\\n{method}", "{timestamp}", "hmac.string"),
        ("uncovered", "\\n{target}", "", "hmac.string"),
        ("uncovered", "{target}", "{path}", "hmac.string"),
        ("uncovered", "{target}", "{query}", "hmac.string"),
        ("contradiction", "[credential.orders.hmac]", '[credential.orders.hmac]\nuncovered = ["method"]', "hmac.uncovered"),
        ("bad_choice", "[credential.orders.hmac]", '[credential.orders.hmac]\nuncovered = ["body"]', "hmac.uncovered"),
        ("contradiction", ', X-Timestamp = "{timestamp}"', "", "hmac.string"),
        ("contradiction", "{body_sha256}", "{body_sha256}{nonce}", "hmac.string"),
        ("contradiction", 'X-Signature = "v1', 'X-Nonce = "{nonce}", X-Signature = "v1', "hmac.headers"),
        ("bad_template", "{signature}", "", "hmac.headers"),
        ("bad_template", "{body_sha256}", "{arguments}", "hmac.string"),
        ("bad_template", "{body_sha256}", "{body", "hmac.string"),
        ("bad_template", "{body_sha256}", "{body}\\r", "hmac.string"),
        ("bad_template", "v1={signature}", "{signature}\\n", "hmac.headers"),
        ("bad_template", "v1={signature}", "{signature}{method}", "hmac.headers"),
        ("bad_header", "X-Signature", "Host", "hmac.headers"),
        ("bad_header", "X-Signature", '"X Signature"', "hmac.headers"),
        ("duplicate_key", "X-Timestamp =", 'x-signature = "{signature}", X-Timestamp =', "hmac.headers"),
        ("missing_key", "{body_sha256}", "{body_sha256}{key_id}", "hmac.key_id"),
        ("contradiction", "[credential.orders.hmac]", '[credential.orders.hmac]\nkey_id = "k1"', "hmac.key_id"),
        ("bad_name", "[credential.orders.hmac]", f'[credential.orders.hmac]\nkey_id = "{SECRET}"', "hmac.key_id"),
        ("inline_secret", "v1={signature}", f"{SECRET}{{signature}}", "hmac.headers"),
        ("inline_secret", "{body_sha256}", f"{{body_sha256}}{SECRET}", "hmac.string"),
        ("bad_choice", "[credential.orders.hmac]", '[credential.orders.hmac]\nalgorithm = "md5"', "hmac.algorithm"),
        ("wrong_type", '"v1={signature}"', "7", "hmac.headers"),
        ("unknown_key", "[credential.orders.hmac]", '[credential.orders.hmac]\nsecret = "env:KEY"', "hmac.secret"),
        ("credential_placement", "hosts =", 'header = "Authorization"\nhosts =', "hmac"),
        ("missing_key", 'secret = "env:ORDERS_KEY"\n', "", ""),
    ],
)
def test_a_table_that_could_not_work_or_would_cover_too_little_is_told_by_key_and_line(tmp_path, code, old, new, key):
    assert PLAIN.count(old) >= 1
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + PLAIN.replace(old, new, 1)))
    assert [(p.code, p.key) for p in caught.value.problems] == [(code, f"credential.orders.{key}".rstrip("."))]
    problem = caught.value.problems[0]
    assert problem.line > line_of(GOOD, "[credential") and problem.remedy and SECRET not in str(problem) + problem.remedy


def test_what_a_string_leaves_out_is_said_with_what_that_means_and_may_be_meant(tmp_path):
    webhook = HEAD + '[credential.orders.hmac]\nstring = "{body}"\nheaders = { X-Hub-Signature-256 = "sha256={signature}" }\n'
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + webhook))
    [problem] = caught.value.problems
    assert "does not cover method, path, query, timestamp, so a captured signature is good for another method and path and query and ever" in str(
        problem
    )
    assert problem.remedy.endswith('write uncovered = ["method", "path", "query", "timestamp"]')
    meant = webhook + 'uncovered = ["method", "path", "query", "timestamp"]\n'
    assert load.load(write(tmp_path, GOOD + meant)).credentials["orders"].hmac


def test_a_tool_cannot_let_agents_send_a_header_that_the_gateway_signs_in(tmp_path):
    tool = '[tool.orders]\nurl = "https://orders.example.com"\ncredential = "orders"\nrequest_headers = ["x-timestamp"]\n'
    with pytest.raises(Problems, match="x-timestamp, which carries the credential"):
        load.load(write(tmp_path, GOOD + PLAIN + tool))
