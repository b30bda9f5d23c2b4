"""`portreeve token verify` says yes or why not; `portreeve token AGENT` goes on printing tokens."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.errors import Problem
from tests.cli.test_identity import make_deployment
from tests.identify.foreigners import GATEWAY, URL, Foreigner
from tests.identify.forge import ABSENT, encoded

THEM = Foreigner()
BEGAN = int(time.time()) - 60
FRESH = {"iat": BEGAN, "exp": BEGAN + 3_600}
ACCESS = {"client_id": "bot", "jti": "one", **FRESH}


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(THEM.jwks()))
    return path


def verify(jwks: Path, text: str | bytes, *words: str) -> Result:
    return CliRunner().invoke(app, ["token", "verify", "--jwks", str(jwks), *words], input=text)


def test_the_claims_of_a_good_token_are_printed(jwks: Path):
    for end in ("", "\n"):
        done = verify(jwks, THEM.token({"typ": "at+jwt"}, **ACCESS) + end, "--issuer", URL, "--audience", GATEWAY)
        assert done.exit_code == 0 and json.loads(done.stdout)["sub"] == "repo:acme/site"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--issuer", "https://other.example"), "refused: iss is not this issuer"),
        (("--audience", "https://other.example"), "refused: aud is not this gateway"),
        (("--typ", "JWT"), "refused: the header's typ is not JWT"),
        (("--max-ttl", "59m"), "refused: exp is not within 3540 s after iat"),
    ],
)
def test_the_precise_reason_against_a_token_is_printed(jwks: Path, words: tuple[str, ...], reason: str):
    done = verify(jwks, THEM.token({"typ": "at+jwt"}, **ACCESS), *words)
    assert (done.exit_code, done.stdout) == (1, reason + "\n")


def test_a_token_of_another_type_is_taken_only_when_that_is_asked_for(jwks: Path):
    plain = THEM.token({"typ": ABSENT}, **FRESH)
    refused = verify(jwks, plain)
    assert "typ is not at+jwt" in refused.stdout and "--typ any" in refused.stderr
    assert verify(jwks, plain, "--typ", "JWT", "--typ", "absent").exit_code == 0


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe", b"a.b.c", b"." * 9_000, b"A" * 5_000_000, "é.é.é".encode()])
def test_what_is_no_token_is_refused_and_never_an_error(jwks: Path, text: bytes):
    done = verify(jwks, text)
    assert done.exit_code == 1 and done.stdout.startswith("refused: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON", "not strict JSON"),
        ('{"keys":[{"kty":"oct","k":"AAAA"}]}', "a symmetric or a private key"),
        ('{"keys":[]}', "kid is not a key of this issuer"),
    ],
)
def test_a_key_set_that_cannot_be_used_verifies_nothing(jwks: Path, text: str, reason: str):
    jwks.write_text(text)
    done = verify(jwks, THEM.token({"typ": "at+jwt"}, **ACCESS))
    assert done.exit_code == 1 and reason in done.stdout


def test_a_key_set_that_is_not_there_is_a_problem_with_its_file(jwks: Path):
    done = verify(jwks.with_name("none.json"), "a.b.c")
    assert isinstance(done.exception, Problem) and done.exception.code == "unreadable_file"


def test_for_machines_there_is_the_answer_with_its_reason_and_time(jwks: Path):
    good = json.loads(verify(jwks, THEM.token({"typ": "at+jwt"}, **ACCESS), "--json").stdout)
    bad = json.loads(verify(jwks, "a.b", "--json").stdout)
    assert good["verified"] is True and good["claims"]["iss"] == URL and good["took_us"] > 0
    assert (bad["verified"], bad["reason"], bad["claims"]) == (False, "the token does not have three segments", None)
    assert [good[name] for name in ("signature", "code")] == ["valid", ""] and [bad[name] for name in ("signature", "code")] == [
        "not checked",
        "form",
    ]


def test_a_forged_token_is_told_from_a_good_one_that_is_not_wanted(jwks: Path):
    for payload in (b"plain bytes", b"[]"):
        text = THEM.sealed(encoded(THEM.header(typ="at+jwt")), payload)
        unwanted = json.loads(verify(jwks, text, "--json").stdout)
        forged = json.loads(verify(jwks, text[:-8] + "AAAAAAAA", "--json").stdout)
        assert [(one["code"], one["signature"]) for one in (unwanted, forged)] == [("claims", "valid"), ("signature", "invalid")]


def test_the_signature_alone_can_be_asked_for_and_what_was_signed_is_printed(jwks: Path):
    text = THEM.sealed(encoded(THEM.header(typ="other")), b"\xff\x1b[2J")
    done = verify(jwks, text, "--signature-only")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"payload": "_xtbMko"})
    assert json.loads(verify(jwks, THEM.token(), "--signature-only").stdout)["iss"] == URL
    assert verify(jwks, text[:-8] + "AAAAAAAA", "--signature-only").exit_code == 1


def test_a_token_can_be_looked_at_as_of_another_time_and_with_any_type(jwks: Path):
    text = THEM.token({"typ": "other"})
    assert verify(jwks, text, "--typ", "any").exit_code == 1
    assert verify(jwks, text, "--typ", "any", "--at", "2027-01-15T08:00:00Z").exit_code == 0
    assert "expired" in verify(jwks, text, "--typ", "any", "--at", "2027-01-15T08:05:01").stdout
    assert verify(jwks, text, "--at", "soon").exit_code == 2


def test_a_single_key_is_as_good_as_a_set_of_one(jwks: Path):
    jwks.write_text(json.dumps(THEM.jwks()["keys"][0]))
    assert verify(jwks, THEM.token({"typ": "at+jwt"}, **ACCESS)).exit_code == 0


@pytest.mark.parametrize("redirection", ["<&-", "0>/dev/null"])
def test_a_standard_input_that_cannot_be_read_is_a_problem_and_not_a_fault_of_ours(jwks: Path, redirection: str):
    command = f"exec '{sys.executable}' -m gateway token verify --jwks '{jwks}' {redirection}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "standard input" in done.stderr and "Traceback" not in done.stderr


def test_a_longest_life_that_is_none_is_wrong_usage(jwks: Path):
    assert verify(jwks, "a.b.c", "--max-ttl", "soon").exit_code == 2


def test_an_agent_that_is_called_like_a_command_is_named_with_mint(tmp_path: Path):
    folder = make_deployment(tmp_path)
    (folder / "identities" / "agents" / "verify.toml").write_text('schema = 1\n[agent]\nid = "verify"\nowner = "team:a"\n')
    short, long = (CliRunner().invoke(app, ["token", *words, "-C", str(folder)]) for words in (["support-bot"], ["mint", "verify"]))
    assert (short.exit_code, long.exit_code) == (0, 0)
    assert short.stdout.count(".") == long.stdout.count(".") == 2
    assert "--jwks" in CliRunner().invoke(app, ["token", "verify", "--help"]).stdout
