"""An identities folder is read whole or not at all, and every fault is named with its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.config.source import FILE_BYTES_MAX
from gateway.errors import Problem, Problems
from gateway.identities import Delegation, load_identities
from gateway.identities.agents import ATTRIBUTES_MAX
from gateway.identities.model import FederatedCredential, KeyCredential

SAMPLE = Path(__file__).resolve().parents[2] / "identities"
ISSUERS = 'schema = 1\n[issuer.gateway]\nkind = "self"\n'
JWK = '{ kty = "EC", crv = "P-256", x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }'
AGENT = 'schema = 1\n[agent]\nid = "bot"\nowner = "team:a"\n'


FEDERATED = AGENT + '[[credential]]\nkind = "federated"\nissuer = "ci"\nmatch = { sub = "repo:acme/site" }\n'
CI = """
[issuer.ci]
kind = "oidc"
url = "https://ci.example"
jwks = "https://ci.example/jwks"
audience = "https://gw.example.com"
algs = ["RS256"]
"""


def deployment(folder: Path, agent: str = AGENT, *, issuers: str = ISSUERS, revoked: str = "", name: str = "bot.toml") -> Path:
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "issuers.toml").write_text(issuers)
    (folder / "agents" / name).write_text(agent)
    if revoked:
        (folder / "revoked.toml").write_text(revoked)
    return folder


def faults(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        load_identities(folder)
    assert all(p.code and p.message and p.remedy and p.file for p in caught.value.problems)
    return caught.value.problems


def test_the_sample_loads():
    identities = load_identities(SAMPLE)
    assert {a.id: a.groups for a in identities.agents.values()} == {
        "audit-bot": ("auditors",),
        "intern-bot": ("interns",),
        "support-bot": ("support",),
    }
    bot = identities.agents["support-bot"]
    assert dict(bot.attributes) == {"env": "prod", "max_autonomy": 2}
    assert (bot.status, bot.audiences, bot.delegation.may_act_for_users) == ("active", (), True)
    assert identities.own_issuer.kind == "self" and not identities.revoked.denials


def test_the_example_of_a_denial_in_the_sample_is_true(tmp_path: Path):
    text = (SAMPLE / "revoked.toml").read_text()
    example = "\n".join(line.removeprefix("# ") for line in text.split("schema = 1")[1].splitlines())
    folder = deployment(tmp_path, AGENT.replace('"bot"', '"intern-bot"'), name="intern-bot.toml", revoked="schema = 1\n" + example)
    [denial] = load_identities(folder).revoked.denials.values()
    assert (denial.kind, denial.value) == ("agent", "intern-bot")


def test_everything_a_file_may_say_is_read(tmp_path: Path):
    text = (
        AGENT
        + """
description = "Answers"
status = "suspended"
expires = 2027-03-31
groups = ["support", "tier-1"]
[agent.attributes]
env = "prod"
max_autonomy = 2
pilot = true
regions = ["eu", "us"]
note = ""
[token]
ttl = "90s"
audiences = ["https://gw.example.com/tools"]
scopes = ["crm:read", "crm:write"]
[delegation]
may_act_for_users = true
may_delegate_to = ["bot"]
max_depth = 2
"""
    )
    agent = load_identities(deployment(tmp_path, text)).agents["bot"]
    assert (agent.owner, agent.description, agent.status, agent.expires) == ("team:a", "Answers", "suspended", date(2027, 3, 31))
    assert agent.groups == ("support", "tier-1")
    assert dict(agent.attributes) == {"env": "prod", "max_autonomy": 2, "pilot": True, "regions": ["eu", "us"], "note": ""}
    assert (agent.ttl_s, agent.audiences, agent.scopes) == (90, ("https://gw.example.com/tools",), ("crm:read", "crm:write"))
    assert agent.delegation == Delegation(may_act_for_users=True, may_delegate_to=("bot",), max_depth=2)


def test_what_a_file_does_not_say_grants_nothing(tmp_path: Path):
    agent = load_identities(deployment(tmp_path)).agents["bot"]
    assert (agent.groups, agent.scopes, agent.delegation, agent.ttl_s) == ((), (), Delegation(), 300)
    assert not agent.delegation.may_act_for_users


FAULTS = {
    "a typo in a key": (AGENT + 'statu = "suspended"\n', "unknown_key", 5, "did you mean 'status'"),
    "an unknown section": (AGENT + "[tokens]\n", "unknown_key", 5, "did you mean 'token'"),
    "an unknown key in [token]": (AGENT + '[token]\nlife = "5m"\n', "unknown_key", 6, "known here"),
    "an unknown key in [delegation]": (AGENT + "[delegation]\nall = true\n", "unknown_key", 6, "known here"),
    "a duplicate key": (AGENT + 'status = "suspended"\nstatus = "active"\n', "duplicate_key", 6, "keep one"),
    "a duplicate section": (AGENT + "[token]\n[token]\n", "duplicate_key", 6, ""),
    "no TOML": ("schema = 1\nagent:\n  id: bot\n", "toml_syntax", 2, ""),
    "no schema": (AGENT.replace("schema = 1\n", ""), "bad_schema", 0, "schema = 1"),
    "another schema": (AGENT.replace("schema = 1", "schema = 2"), "bad_schema", 1, "schema = 1"),
    "a schema that is true": (AGENT.replace("schema = 1", "schema = true"), "bad_schema", 1, "schema = 1"),
    "no owner": (AGENT.replace('owner = "team:a"\n', ""), "missing_key", 2, "owner ="),
    "no id": (AGENT.replace('id = "bot"\n', ""), "missing_key", 2, 'id = "bot"'),
    "an id that is not the file's name": (AGENT.replace('"bot"', '"bit"'), "name_mismatch", 3, "bit.toml"),
    "an id in upper case": (AGENT.replace('"bot"', '"BOT"'), "bad_name", 3, ""),
    "an owner with a quote": (AGENT.replace("team:a", "team:'a'"), "bad_name", 4, ""),
    "an empty owner": (AGENT.replace("team:a", ""), "bad_text", 4, ""),
    "an owner that is a list": (AGENT.replace('"team:a"', '["a"]'), "wrong_type", 4, ""),
    "an unknown status": (AGENT + 'status = "Active"\n', "bad_status", 5, "suspended"),
    "a status that is false": (AGENT + "status = false\n", "wrong_type", 5, "double quotes"),
    "an expiry in quotes": (AGENT + 'expires = "2027-03-31"\n', "wrong_type", 5, "without quotes"),
    "an expiry with a time": (AGENT + "expires = 2027-03-31T00:00:00Z\n", "wrong_type", 5, "2027-03-31"),
    "a description with a control character": (AGENT + 'description = "a\\u001b[2Jb"\n', "bad_text", 5, ""),
    "a description that reads backwards": (AGENT + 'description = "a\\u202eb"\n', "bad_text", 5, ""),
    "a group twice": (AGENT + 'groups = ["a", "a"]\n', "duplicate", 5, ""),
    "a group that is a number": (AGENT + "groups = [1]\n", "wrong_type", 5, ""),
    "a group that breaks out of Cedar": (AGENT + "groups = ['a\"]; permit']\n", "bad_name", 5, ""),
    "groups that are one text": (AGENT + 'groups = "support"\n', "wrong_type", 5, "list"),
    "an attribute that is a float": (AGENT + "[agent.attributes]\nrisk = 0.5\n", "wrong_type", 6, ""),
    "an attribute that is a table": (AGENT + "[agent.attributes]\nrisk = { a = 1 }\n", "wrong_type", 6, ""),
    "an attribute that is a date": (AGENT + "[agent.attributes]\nrisk = 2027-01-01\n", "wrong_type", 6, ""),
    "an attribute with a list of numbers": (AGENT + "[agent.attributes]\nrisk = [1]\n", "wrong_type", 6, ""),
    "an attribute beyond 64 bits": (AGENT + "[agent.attributes]\nrisk = 9223372036854775808\n", "wrong_type", 6, ""),
    "an attribute with a bad name": (AGENT + '[agent.attributes]\n"a-b" = 1\n', "bad_name", 6, ""),
    "an attribute with a control character": (AGENT + '[agent.attributes]\na = "\\u0000"\n', "bad_text", 6, ""),
    "an attribute list with a control character": (AGENT + '[agent.attributes]\na = ["\\u0000"]\n', "bad_text", 6, ""),
    "too many attributes": (AGENT + "[agent.attributes]\n" + "".join(f"a{n} = 1\n" for n in range(ATTRIBUTES_MAX + 1)), "too_many", 5, ""),
    "attributes that are no table": (AGENT + "attributes = 1\n", "wrong_type", 5, "table"),
    "a life without unit": (AGENT + '[token]\nttl = "5"\n', "bad_duration", 6, '"5m"'),
    "a life that is a number": (AGENT + "[token]\nttl = 300\n", "wrong_type", 6, "duration"),
    "a life beyond an hour": (AGENT + '[token]\nttl = "2h"\n', "bad_duration", 6, ""),
    "a life of nothing": (AGENT + '[token]\nttl = "0s"\n', "bad_duration", 6, ""),
    "a life below nothing": (AGENT + '[token]\nttl = "-5m"\n', "bad_duration", 6, ""),
    "a scope with a space": (AGENT + '[token]\nscopes = ["a b"]\n', "bad_name", 6, ""),
    "a scope that is a star": (AGENT + '[token]\nscopes = ["*"]\n', "bad_name", 6, ""),
    "an audience that is no URL": (AGENT + '[token]\naudiences = ["tools"]\n', "bad_name", 6, ""),
    "a flag in quotes": (AGENT + '[delegation]\nmay_act_for_users = "false"\n', "wrong_type", 6, "true or false"),
    "a depth beyond the limit": (AGENT + "[delegation]\nmax_depth = 4\n", "out_of_range", 6, ""),
    "a depth that is true": (AGENT + "[delegation]\nmax_depth = true\n", "wrong_type", 6, ""),
    "a delegate that nobody knows": (AGENT + '[delegation]\nmay_delegate_to = ["bit"]\n', "unknown_reference", 6, "known agents: bot"),
    "users of an issuer that nobody knows": (AGENT + '[delegation]\nmay_act_for_users = true\nuser_issuers = ["idp"]\n', "unknown_reference", 7, ""),
    "issuers of users it may not act for": (AGENT + '[delegation]\nuser_issuers = ["gateway"]\n', "contradiction", 6, "may_act_for_users"),
    "an unknown proof of possession": (AGENT + '[token]\npop = "always"\n', "bad_choice", 6, "required"),
    "a credential without kind": (AGENT + "[[credential]]\n", "missing_key", 5, "kind ="),
    "an unknown kind of credential": (AGENT + '[[credential]]\nkind = "password"\n', "bad_choice", 6, "federated"),
    "a key without its JWK": (AGENT + '[[credential]]\nkind = "key"\nkid = "a"\n', "bad_key", 5, "jwk ="),
    "a key without a name": (AGENT + f'[[credential]]\nkind = "key"\njwk = {JWK}\n', "missing_key", 5, "kid ="),
    "a key with two names": (AGENT + f'[[credential]]\nkind = "key"\nkid = "a"\njwk = {JWK[:-2]}, kid = "b" }}\n', "name_mismatch", 8, "once"),
    "a key off the curve": (AGENT + f'[[credential]]\nkind = "key"\nkid = "a"\njwk = {JWK.replace("x_FE", "x_FF")}\n', "bad_key", 8, ""),
    "an unknown key of a credential": (AGENT + f'[[credential]]\nkind = "key"\nkid = "a"\njwk = {JWK}\nuntil = 1\n', "unknown_key", 9, ""),
    "a key twice": (AGENT + f'[[credential]]\nkind = "key"\nkid = "a"\njwk = {JWK}\n' * 2, "duplicate", 11, ""),
    "tokens of an issuer that nobody knows": (FEDERATED.replace("ci", "cd"), "unknown_reference", 7, "known issuers: gateway"),
    "tokens of the gateway itself": (FEDERATED.replace("ci", "gateway"), "unknown_reference", 7, ""),
    "every token of an issuer": (AGENT + '[[credential]]\nkind = "federated"\nissuer = "ci"\n', "missing_key", 5, "match ="),
    "a star at the start": (FEDERATED.replace("repo:acme/site", "*"), "bad_pattern", 8, "last segment"),
    "a star in the middle": (FEDERATED.replace("acme/site", "*/site"), "bad_pattern", 8, "last segment"),
    "two stars": (FEDERATED.replace("site", "*-*"), "bad_pattern", 8, "last segment"),
    "a match that is a number": (FEDERATED.replace('"repo:acme/site"', "7"), "wrong_type", 8, ""),
    "a private JWK": (AGENT + f'[[credential]]\nkind = "key"\njwk = {JWK[:-2]}, d = "c" }}\n', "private_key", 7, "replace the key"),
    "a symmetric JWK": (AGENT + '[[credential]]\njwk = { kty = "oct", k = "c" }\n', "private_key", 6, "replace the key"),
    "a private key in PEM": (AGENT + 'description = """-----BEGIN EC PRIVATE KEY-----"""\n', "private_key", 5, "replace the key"),
    "a private key in a comment": (AGENT + "# -----BEGIN PRIVATE KEY-----\n", "private_key", 0, "replace the key"),
    "a huge integer": (AGENT + "[agent.attributes]\na = " + "9" * 5_000 + "\n", "toml_syntax", 0, ""),
}


@pytest.mark.parametrize(("text", "code", "line", "remedy"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_an_agents_file_is_named_with_its_line_and_what_to_write(tmp_path: Path, text: str, code: str, line: int, remedy: str):
    found = [p for p in faults(deployment(tmp_path, text)) if p.code == code]
    assert found, "not found"
    assert found[0].file.endswith("agents/bot.toml") and found[0].line == line and remedy in found[0].remedy


ISSUER_FAULTS = {
    "no issuer": ("schema = 1\n", "no_issuers"),
    "an unknown kind": (ISSUERS + '[issuer.x]\nkind = "magic"\n', "bad_choice"),
    "only others": ("schema = 1\n" + CI, "no_issuers"),
    "no url": (ISSUERS + CI.replace('url = "https://ci.example"\n', ""), "missing_key"),
    "no keys": (ISSUERS + CI.replace('jwks = "https://ci.example/jwks"\n', ""), "missing_key"),
    "no audience": (ISSUERS + CI.replace('audience = "https://gw.example.com"\n', ""), "missing_key"),
    "no algorithm": (ISSUERS + CI.replace('algs = ["RS256"]\n', ""), "missing_key"),
    "a symmetric algorithm": (ISSUERS + CI.replace("RS256", "HS256"), "bad_name"),
    "the algorithm none": (ISSUERS + CI.replace("RS256", "none"), "bad_name"),
    "keys by plain http": (ISSUERS + CI.replace("https://ci.example/jwks", "http://ci.example/jwks"), "plain_http"),
    "keys of a metadata service": (ISSUERS + CI.replace("https://ci.example/jwks", "https://169.254.169.254/jwks"), "bad_url"),
    "keys with a password": (ISSUERS + CI.replace("https://ci.example/jwks", "https://a:b@ci.example/jwks"), "inline_secret"),
    "keys in a file that is not there": (ISSUERS + CI.replace("https://ci.example/jwks", "file:none.json"), "missing_file"),
    "an authority that is not there": (ISSUERS + CI + 'ca = "file:none.pem"\n', "missing_file"),
    "an authority that is no file": (ISSUERS + CI + 'ca = "none.pem"\n', "missing_file"),
    "a life beyond a day": (ISSUERS + CI + 'max_ttl = "25h"\n', "bad_duration"),
    "an unknown use": (ISSUERS + CI + 'use = "always"\n', "bad_choice"),
    "a check that only Kubernetes knows": (ISSUERS + CI + 'check = "tokenreview"\n', "unknown_key"),
    "a review without address and token": (ISSUERS + CI.replace("oidc", "kubernetes") + 'check = "tokenreview"\n', "missing_key"),
    "an unknown check": (ISSUERS + CI.replace("oidc", "kubernetes") + 'check = "none"\n', "bad_choice"),
    "SPIFFE without its trust domain": (ISSUERS + CI.replace("oidc", "spiffe"), "missing_key"),
    "a requirement that is no pattern": (ISSUERS + CI + 'require = { repository = "*" }\n', "bad_pattern"),
    "two of one url": (ISSUERS + CI + CI.replace("issuer.ci", "issuer.cd"), "duplicate"),
    "a typo": (ISSUERS + CI + "disable = true\n", "unknown_key"),
    "an issuer without kind": (ISSUERS + "[issuer.x]\n", "missing_key"),
    "two of the gateway": (ISSUERS + '[issuer.x]\nkind = "self"\n', "duplicate"),
    "an unknown key": (ISSUERS + 'url = "https://gw.example.com"\n', "unknown_key"),
    "an unknown section": (ISSUERS + "[issuers]\n", "unknown_key"),
    "a cap beyond an hour": (ISSUERS + 'max_ttl = "2h"\n', "bad_duration"),
    "an issuer that is no table": ("schema = 1\nissuer = 1\n", "wrong_type"),
    "issuers as a list": ("schema = 1\n[[issuer]]\nkind = 'self'\n", "wrong_type"),
    "a member that is no table": ("schema = 1\n[issuer]\ngateway = 'self'\n", "wrong_type"),
    "a bad name": ('schema = 1\n[issuer."a b"]\nkind = "self"\n', "bad_name"),
}


@pytest.mark.parametrize(("text", "code"), ISSUER_FAULTS.values(), ids=ISSUER_FAULTS.keys())
def test_a_fault_among_the_issuers_is_refused_clearly(tmp_path: Path, text: str, code: str):
    assert code in {p.code for p in faults(deployment(tmp_path, issuers=text)) if p.file.endswith("issuers.toml")}


DENIAL = 'schema = 1\n[[denial]]\nagent = "bot"\nreason = "lost"\n'
DENIAL_FAULTS = {
    "a misspelt agent": (DENIAL.replace('"bot"', '"bto"'), "unknown_reference"),
    "no reason": (DENIAL.replace('reason = "lost"\n', ""), "missing_key"),
    "nothing named": (DENIAL.replace('agent = "bot"\n', ""), "bad_denial"),
    "two things named": (DENIAL + 'kid = "a"\n', "bad_denial"),
    "the same thing twice": (DENIAL + '[[denial]]\nagent = "bot"\nreason = "again"\n', "duplicate"),
    "a local time": (DENIAL + "until = 2027-01-01T00:00:00\n", "wrong_type"),
    "a date": (DENIAL + "until = 2027-01-01\n", "wrong_type"),
    "an unknown key": (DENIAL + "unti = 2027-01-01T00:00:00Z\n", "unknown_key"),
    "an unknown list": (DENIAL.replace("denial", "denied"), "unknown_key"),
    "one table where many belong": ('schema = 1\n[denial]\nagent = "bot"\nreason = "x"\n', "wrong_type"),
    "texts where tables belong": ('schema = 1\ndenial = ["bot"]\n', "wrong_type"),
    "a jti that no token can have": (DENIAL.replace('agent = "bot"', 'jti = "a b"'), "bad_name"),
}


@pytest.mark.parametrize(("text", "code"), DENIAL_FAULTS.values(), ids=DENIAL_FAULTS.keys())
def test_a_denial_that_would_stop_nobody_is_refused(tmp_path: Path, text: str, code: str):
    assert code in {p.code for p in faults(deployment(tmp_path, revoked=text)) if p.file.endswith("revoked.toml")}


def test_denials_are_looked_up_by_kind_and_end_when_they_say(tmp_path: Path):
    text = DENIAL + '[[denial]]\njti = "0123456789abcdef"\nreason = "leaked"\nuntil = 2027-01-01T02:00:00+02:00\n'
    revoked = load_identities(deployment(tmp_path, revoked=text)).revoked
    end = 1_798_761_600  # 2027-01-01T00:00:00Z
    assert revoked.denies("agent", "bot", 9e9) is not None
    assert revoked.denies("kid", "bot", 0) is None
    assert revoked.denies("jti", "0123456789abcdef", end - 0.5) is not None
    assert revoked.denies("jti", "0123456789abcdef", end) is None


def test_everything_an_issuer_may_say_is_read(tmp_path: Path):
    (tmp_path / "ca.pem").touch()
    (tmp_path / "token").touch()
    text = """
[issuer.ci]
kind = "oidc"
url = "https://ci.example/"
jwks = "https://ci.example/jwks"
ca = "file:ca.pem"
audience = "https://gw.example.com"
algs = ["RS256", "Ed25519", "EdDSA"]
typ = ["JWT", "at+jwt", "absent"]
max_ttl = "10m"
use = "direct"
require = { repository_id = "42" }
single_use = false
unnamed_key = true
user_claim = "email"
disabled = true
[issuer.cluster]
kind = "kubernetes"
url = "https://kubernetes.default.svc"
jwks = "https://kubernetes.default.svc/openid/v1/jwks"
audience = "https://gw.example.com"
algs = ["RS256"]
check = "tokenreview"
review = "https://kubernetes.default.svc"
token = "file:token"
[issuer.mesh]
kind = "spiffe"
trust_domain = "example.org"
jwks = "file:ca.pem"
audience = "https://gw.example.com"
algs = ["ES256"]
"""
    folder = tmp_path / "identities"
    folder.mkdir()
    text = text.replace("file:", "file:../")
    found = load_identities(deployment(folder, FEDERATED, issuers=ISSUERS + text)).issuers
    ci, cluster, mesh = found["ci"], found["cluster"], found["mesh"]
    assert (ci.url, ci.source.url, ci.source.ca) == ("https://ci.example/", "https://ci.example/jwks", folder / "../ca.pem")
    assert (ci.algorithms, ci.typs, ci.max_ttl_s, ci.use) == (("RS256", "EdDSA"), ("JWT", "at+jwt", None), 600, "direct")
    assert (dict(ci.require), ci.single_use, ci.user_claim, ci.disabled) == ({"repository_id": "42"}, False, "email", True)
    assert (ci.unnamed_key, mesh.unnamed_key) == (True, False)
    assert (cluster.check, cluster.review, cluster.source.token) == ("tokenreview", "https://kubernetes.default.svc", folder / "../token")
    assert (mesh.trust_domain, mesh.url, mesh.source.file, mesh.typs) == ("example.org", "", folder / "../ca.pem", ("JWT", "JOSE", None))
    assert (cluster.use, cluster.max_ttl_s, cluster.single_use, mesh.disabled) == ("exchange", 3_600, False, False)


def test_the_ways_in_which_an_agent_may_prove_itself_are_read(tmp_path: Path):
    text = FEDERATED + f'[[credential]]\nkind = "key"\nkid = "bot-1"\njwk = {JWK}\nnot_after = 2027-02-01\n[token]\npop = "required"\n'
    agent = load_identities(deployment(tmp_path, text, issuers=ISSUERS + CI)).agents["bot"]
    federated, key = agent.credentials
    assert isinstance(federated, FederatedCredential) and isinstance(key, KeyCredential)
    assert (federated.issuer, dict(federated.match)) == ("ci", {"sub": "repo:acme/site"})
    assert (key.kid, key.key.alg, key.not_after, agent.pop) == ("bot-1", "ES256", date(2027, 2, 1), "required")
    assert not key.is_over(1_801_526_399) and key.is_over(1_801_526_400)  # 2027-02-02T00:00:00Z


def pair(folder: Path, one: str, other: str) -> list[Problem]:
    """Faults of two agents with these credentials."""
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / "bit.toml").write_text(AGENT.replace('"bot"', '"bit"') + other)
    return list(faults(deployment(folder, AGENT + one, issuers=ISSUERS + CI)))


def federated(match: str) -> str:
    return f'[[credential]]\nkind = "federated"\nissuer = "ci"\nmatch = {{ {match} }}\n'


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('sub = "repo:acme/site"', 'sub = "repo:acme/site"'),
        ('sub = "repo:acme/site"', 'sub = "repo:acme/*"'),
        ('sub = "repo:acme/*"', 'sub = "repo:acme/s*"'),
        ('sub = "repo:acme/site"', 'environment = "production"'),
        ('sub = "repo:acme/site", environment = "test"', 'sub = "repo:acme/site"'),
        ('repository_id = "42"', 'environment = "production"'),
    ],
)
def test_a_token_that_could_be_two_agents_is_a_fault(tmp_path: Path, one: str, other: str):
    for first, second in ((one, other), (other, one)):
        found = pair(tmp_path, federated(first), federated(second))
        assert [(p.code, p.line) for p in found] == [("ambiguous_match", 8)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('sub = "repo:acme/site"', 'sub = "repo:acme/shop"'),
        ('sub = "repo:acme/a*"', 'sub = "repo:acme/b*"'),
        ('sub = "repo:acme/*"', 'sub = "repo:acme:*"'),
        ('sub = "repo:acme/site", environment = "test"', 'sub = "repo:acme/site", environment = "production"'),
    ],
)
def test_tokens_that_can_be_told_apart_are_none(tmp_path: Path, one: str, other: str):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "bit.toml").write_text(AGENT.replace('"bot"', '"bit"') + federated(other))
    assert len(load_identities(deployment(tmp_path, AGENT + federated(one), issuers=ISSUERS + CI)).agents) == 2


def test_a_key_of_two_agents_proves_neither(tmp_path: Path):
    def key(kid: str) -> str:
        return f'[[credential]]\nkind = "key"\nkid = "{kid}"\njwk = {JWK}\n'

    assert [(p.code, p.line) for p in pair(tmp_path, key("a"), key("b"))] == [("duplicate", 7)]


def test_all_faults_are_shown_at_once_in_order(tmp_path: Path):
    folder = deployment(tmp_path, AGENT + 'statu = "x"\nexpires = "never"\n', issuers="schema = 3\n")
    found = [(Path(p.file).name, p.line, p.code) for p in faults(folder)]
    assert found == [
        ("bot.toml", 5, "unknown_key"),
        ("bot.toml", 6, "wrong_type"),
        ("issuers.toml", 0, "no_issuers"),
        ("issuers.toml", 1, "bad_schema"),
    ]


@pytest.mark.parametrize("name", ["users.toml", "agents/bot.tml", "agents/bot.json", "agents/team/bot.toml", "issuer.toml"])
def test_a_file_that_would_be_ignored_is_a_fault_since_somebody_meant_it(tmp_path: Path, name: str):
    folder = deployment(tmp_path)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    assert {p.code for p in faults(folder)} == {"unknown_file"}


@pytest.mark.parametrize("name", ["README.md", "agents/.bot.toml.swp", "agents/bot.toml~", ".gitignore"])
def test_editors_leavings_and_notes_are_no_fault(tmp_path: Path, name: str):
    folder = deployment(tmp_path)
    (folder / name).write_text("")
    assert load_identities(folder).files == ("agents/bot.toml", "issuers.toml")


def test_a_missing_folder_and_a_missing_issuers_file_say_what_to_write(tmp_path: Path):
    assert [p.code for p in faults(tmp_path / "nowhere")] == ["no_folder"]
    assert [p.code for p in faults(tmp_path)] == ["no_issuers"]


def test_what_is_too_large_or_no_text_is_refused(tmp_path: Path):
    folder = deployment(tmp_path)
    (folder / "agents" / "bot.toml").write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert [p.code for p in faults(folder)] == ["file_too_large"]
    (folder / "agents" / "bot.toml").write_bytes(b"\xff\xfe")
    assert [p.code for p in faults(folder)] == ["not_utf8"]
    (folder / "agents" / "bot.toml").unlink()
    (folder / "agents" / "bot.toml").mkdir()
    assert [p.code for p in faults(folder)] == ["unreadable_file"]


def test_a_heap_of_files_is_refused_before_any_is_read(tmp_path: Path):
    folder = deployment(tmp_path, "not TOML")
    with pytest.raises(Problems) as caught:
        load_identities(folder, files_max=1)
    assert [p.code for p in caught.value.problems] == ["too_many_files"]


def test_a_file_nested_beyond_reason_is_a_fault_not_a_crash(tmp_path: Path):
    text = AGENT + "x = " + "[" * 20_000 + "]" * 20_000 + "\n"
    assert [p.code for p in faults(deployment(tmp_path, text))] == ["toml_syntax"]


def test_the_digest_names_the_files_and_their_bytes(tmp_path: Path):
    folder = deployment(tmp_path)
    first = load_identities(folder).digest
    assert load_identities(folder).digest == first
    (folder / "agents" / "bot.toml").write_text(AGENT + "# a comment\n")
    second = load_identities(folder).digest
    (folder / "agents" / "bit.toml").write_text(AGENT.replace('"bot"', '"bit"'))
    third = load_identities(folder).digest
    assert len({first, second, third}) == 3 and first.startswith("sha256:")


def test_a_snapshot_does_not_change(tmp_path: Path):
    identities = load_identities(deployment(tmp_path))
    with pytest.raises(TypeError):
        identities.agents["other"] = identities.agents["bot"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        identities.agents["bot"].status = "active"  # type: ignore[misc]
