"""Tables that say who hands a credential out: what a right one becomes, and every fault of a wrong one."""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config.sources import GithubAppSettings, LeaseSettings, OAuth2Settings, StsSettings, VaultSettings
from gateway.errors import Problems
from tests.config.deployments import GOOD, line_of, write

SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"

OAUTH2 = """
[credential.crm-token]
hosts = ["crm.example.com"]
header = "Authorization"
format = "Bearer {secret}"
[credential.crm-token.oauth2]
token_url = "https://login.example.com/token"
client_id = "gateway"
client_secret = "env:CRM_CLIENT"
scopes = ["crm.read"]
"""


def test_a_credential_may_be_handed_out_by_a_token_endpoint(tmp_path):
    source = load.load(write(tmp_path, GOOD + OAUTH2)).credentials["crm-token"].source
    assert source == OAuth2Settings("https://login.example.com/token", "gateway", client_secret="env:CRM_CLIENT", scopes=("crm.read",))


@pytest.mark.parametrize(
    ("code", "old", "new", "key"),
    [
        ("missing_key", OAUTH2[OAUTH2.index("[credential.crm-token.oauth2]") :], "", ""),
        ("missing_key", 'client_secret = "env:CRM_CLIENT"\n', "", "oauth2.client_auth"),
        ("missing_key", 'client_id = "gateway"\n', "", "oauth2"),
        ("contradiction", "hosts =", 'secret = "env:CRM_KEY"\nhosts =', "oauth2"),
        ("contradiction", "scopes =", 'subject = "agent"\nscopes =', "oauth2.subject"),
        ("contradiction", "scopes =", 'client_auth = "private_key_jwt"\nclient_key = "gateway.toml"\nscopes =', "oauth2.client_secret"),
        ("inline_secret", "env:CRM_CLIENT", SECRET, "oauth2.client_secret"),
        ("plain_http_credential", "https://login", "http://login", "oauth2.token_url"),
        ("bad_url", "https://login.example.com/token", "http://169.254.169.254/token", "oauth2.token_url"),
        ("plain_http_credential", "scopes =", 'revocation_url = "http://login.example.com/revoke"\nscopes =', "oauth2.revocation_url"),
        ("bad_url", "scopes =", 'revocation_url = "https://169.254.169.254/revoke"\nscopes =', "oauth2.revocation_url"),
        ("inline_secret", "https://login", "https://me:you@login", "oauth2.token_url"),
        ("bad_name", "crm.read", "crm.read crm.write", "oauth2.scopes"),
        ("unknown_key", "scopes =", "scope =", "oauth2.scope"),
        ("bad_choice", "scopes =", 'grant = "password"\nscopes =', "oauth2.grant"),
        ("out_of_range", "scopes =", "timeout_s = 60\nscopes =", "oauth2.timeout_s"),
    ],
)
def test_a_token_endpoint_that_could_not_work_is_told_by_key_and_line(tmp_path, code, old, new, key):
    assert old in OAUTH2
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + OAUTH2.replace(old, new)))
    found = [(p.code, p.key) for p in caught.value.problems]
    assert found == [(code, f"credential.crm-token.{key}".rstrip("."))]
    problem = caught.value.problems[0]
    assert problem.line > line_of(GOOD, "[credential") and problem.remedy and SECRET not in str(problem)


VAULT = """
[vault]
url = "https://vault.example.com"
role = "gateway"
[credential.broker]
hosts = ["mq.example.com"]
basic_user = "{user}"
[credential.broker.vault]
path = "rabbitmq/creds/reader"
field = "password"
user_field = "username"
[credential.stored]
hosts = ["crm.example.com"]
header = "X-Key"
secret = "vault:kv/crm/key#token"
"""


def test_a_credential_may_be_kept_in_or_made_by_a_vault(tmp_path):
    found = load.load(write(tmp_path, GOOD + VAULT))
    assert found.vault == VaultSettings("https://vault.example.com", "gateway")
    assert found.credentials["broker"].source == LeaseSettings("rabbitmq/creds/reader", "password", "username")
    assert found.credentials["stored"].secret == "vault:kv/crm/key#token"


@pytest.mark.parametrize(
    ("code", "old", "new", "key"),
    [
        ("missing_key", VAULT[: VAULT.index("[credential")], "", "vault"),
        ("missing_key", 'role = "gateway"\n', "", "vault"),
        ("plain_http_credential", "https://vault", "http://vault", "vault.url"),
        ("bad_path", "rabbitmq/creds/reader", "/v1/../sys/raw", "credential.broker.vault.path"),
        ("contradiction", 'user_field = "username"\n', "", "credential.broker.basic_user"),
        ("contradiction", '"{user}"', '"me"', "credential.broker.basic_user"),
        ("unknown_scheme", "kv/crm/key#token", "kv/../key#token", "credential.stored.secret"),
        ("unknown_scheme", "kv/crm/key#token", "kv/crm/key", "credential.stored.secret"),
        ("unknown_key", "role =", "token = 'x'\nrole =", "vault.token"),
    ],
)
def test_a_vault_that_could_not_work_is_told_by_key_and_line(tmp_path, code, old, new, key):
    assert old in VAULT
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + VAULT.replace(old, new)))
    assert [(p.code, p.key) for p in caught.value.problems] == [(code, key)]
    assert caught.value.problems[0].remedy


GITHUB = """
[credential.issues]
hosts = ["api.github.com"]
header = "Authorization"
format = "Bearer {secret}"
[credential.issues.github_app]
app_id = "123456"
installation = "987654"
private_key = "gateway.toml"
repository = "{repo}"
permissions = { issues = "write" }
"""


def test_a_credential_may_be_a_token_of_a_github_app(tmp_path):
    source = load.load(write(tmp_path, GOOD + GITHUB)).credentials["issues"].source
    assert source == GithubAppSettings("123456", "987654", tmp_path / "gateway.toml", "{repo}", {"issues": "write"})


@pytest.mark.parametrize(
    ("code", "old", "new", "key"),
    [
        ("bad_name", '"123456"', '"my-app"', "app_id"),
        ("bad_name", '"987654"', '"../1"', "installation"),
        ("bad_name", '"{repo}"', '"acme/site"', "repository"),
        ("bad_name", '"{repo}"', '"*"', "repository"),
        ("bad_choice", '"write"', '"all"', "permissions"),
        ("missing_key", '{ issues = "write" }', "{}", "permissions"),
        ("missing_file", '"gateway.toml"', '"none.pem"', "private_key"),
        ("plain_http_credential", "permissions =", 'api = "http://github.example.com"\npermissions =', "api"),
    ],
)
def test_a_github_app_that_could_not_work_is_told_by_key_and_line(tmp_path, code, old, new, key):
    assert old in GITHUB
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + GITHUB.replace(old, new)))
    assert [(p.code, p.key) for p in caught.value.problems] == [(code, f"credential.issues.github_app.{key}")]
    assert caught.value.problems[0].remedy


STS = """
[credential.reports]
hosts = ["acme-reports.s3.eu-central-1.amazonaws.com"]
[credential.reports.sts]
role_arn = "arn:aws:iam::123456789012:role/gateway/reports"
region = "eu-central-1"
service = "s3"
[credential.reports.sts.policy]
Version = "2012-10-17"
[[credential.reports.sts.policy.Statement]]
Effect = "Allow"
Action = "s3:GetObject"
Resource = "arn:aws:s3:::acme-reports/{args.key:path}"
"""


def test_a_credential_may_be_a_session_of_a_role_of_aws(tmp_path):
    source = load.load(write(tmp_path, GOOD + STS)).credentials["reports"].source
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::acme-reports/{args.key:path}"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    assert source == StsSettings("arn:aws:iam::123456789012:role/gateway/reports", "eu-central-1", "s3", policy)


@pytest.mark.parametrize(
    ("code", "old", "new", "key"),
    [
        ("bad_name", "arn:aws:iam::123456789012:role/gateway/reports", "reports", "role_arn"),
        ("bad_name", "arn:aws:iam::123456789012:role/gateway/reports", "arn:aws:iam::123456789012:role/*", "role_arn"),
        ("bad_name", "arn:aws:iam::123456789012:role/gateway/reports", "arn:aws:iam::123456789012:user/me", "role_arn"),
        ("bad_name", '"eu-central-1"', '"evil.example/"', "region"),
        ("bad_name", '"s3"', '"s3.amazonaws.com"', "service"),
        ("bad_policy", "2012-10-17", "2008-10-17", "policy"),
        ("missing_key", STS[STS.index("[credential.reports.sts.policy]") :], "", ""),
        ("plain_http_credential", "region =", 'endpoint = "http://sts.example.com"\nregion =', "endpoint"),
        ("bad_url", "region =", 'endpoint = "http://169.254.169.254"\nregion =', "endpoint"),
        ("bad_name", "region =", 'target = "Amazon SQS."\nregion =', "target"),
        ("unknown_key", "region =", 'secret_access_key = "x"\nregion =', "secret_access_key"),
    ],
)
def test_a_role_of_aws_that_could_not_work_is_told_by_key_and_line(tmp_path, code, old, new, key):
    assert old in STS
    with pytest.raises(Problems) as caught:
        load.load(write(tmp_path, GOOD + STS.replace(old, new)))
    assert [(p.code, p.key) for p in caught.value.problems] == [(code, f"credential.reports.sts.{key}".rstrip("."))]
    assert caught.value.problems[0].remedy


def test_a_session_signs_and_goes_nowhere_else(tmp_path):
    for key, line in (("header", 'header = "Authorization"'), ("query", 'query = "key"'), ("basic_user", 'basic_user = "me"')):
        with pytest.raises(Problems) as caught:
            load.load(write(tmp_path, GOOD + STS.replace("hosts =", f"{line}\nhosts =", 1)))
        assert [(p.code, p.key) for p in caught.value.problems] == [("credential_placement", f"credential.reports.{key}")]


def test_a_header_of_signatures_is_the_gateways_alone(tmp_path):
    written = load.load(write(tmp_path, GOOD + STS)).credentials["reports"].written
    assert written == {"authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-target"}
