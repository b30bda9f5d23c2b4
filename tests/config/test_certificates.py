"""Tables of client certificates: what a right one becomes, and every fault of a wrong one."""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config.sources import MtlsSettings
from gateway.errors import Problems
from tests.config.deployments import GOOD, line_of, write

BARE = """
[credential.ledger]
hosts = ["ledger.example.com"]
[credential.ledger.mtls]
certificate = "file:ledger.crt"
key = "file:ledger.key"
[tool.ledger]
url = "https://ledger.example.com"
credential = "ledger"
"""
BESIDE = BARE.replace("hosts =", 'secret = "env:LEDGER_KEY"\nheader = "X-Key"\nhosts =')


@pytest.mark.parametrize("text", [BARE, BESIDE, BARE.replace("file:ledger.key", "file:ledger.crt")])
def test_a_certificate_may_be_all_there_is_of_a_credential_or_stand_beside_a_secret(tmp_path, text):
    credential = load.load(write(tmp_path, GOOD + text)).credentials["ledger"]
    assert credential.mtls == MtlsSettings("file:ledger.crt", "file:ledger.crt" if "ledger.key" not in text else "file:ledger.key")
    assert credential.is_bare == (text != BESIDE) and (credential.header is None) == credential.is_bare


@pytest.mark.parametrize(
    ("code", "text", "key"),
    [
        ("missing_key", BARE.replace('key = "file:ledger.key"\n', ""), "credential.ledger.mtls"),
        ("missing_key", BARE.replace("hosts =", 'header = "X-Key"\nhosts ='), "credential.ledger"),
        ("credential_placement", BARE.replace("hosts =", 'secret = "env:LEDGER_KEY"\nhosts ='), "credential.ledger"),
        ("unknown_scheme", BARE.replace("file:ledger.key", "env:LEDGER_KEY"), "credential.ledger.mtls.key"),
        ("inline_secret", BARE.replace("file:ledger.key", "-----BEGIN PRIVATE KEY-----"), "credential.ledger.mtls.key"),
        ("missing_key", BARE.replace("file:ledger.key", "vault:kv/ledger#key"), "vault"),
        ("out_of_range", BARE.replace("key =", "warn_days = 9999\nkey ="), "credential.ledger.mtls.warn_days"),
        ("unknown_key", BARE.replace("key =", 'passphrase = "x"\nkey ='), "credential.ledger.mtls.passphrase"),
    ],
)
def test_a_certificate_that_could_not_be_shown_is_told_by_key_and_line(tmp_path, code, text, key):
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + text))
    assert [(p.code, p.key) for p in caught.value.problems] == [(code, key)]
    assert caught.value.problems[0].remedy and (key == "vault" or caught.value.problems[0].line > line_of(GOOD, "[credential"))
