"""The rules of the tables that describe what hands out credentials; part of the table of settings."""

from __future__ import annotations

import re

from gateway.config import kinds
from gateway.config.kinds import Fault
from gateway.config.rule import Rule

_SCOPE = re.compile(r"[!#-\[\]-~]{1,256}")  # RFC 6749 section 3.3
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){0,9}")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}|\{[A-Za-z_][A-Za-z0-9_.-]{0,63}\}")
_ROLE = re.compile(r"arn:aws[a-z-]{0,16}:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}")
_OF_AWS = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN = re.compile(r"[!#-\[\]-~]{1,512}")


def scope(text: str) -> str:
    """One scope of OAuth."""
    if not _SCOPE.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a scope", 'write each scope as a text of its own: scopes = ["crm.read"]')
    return text


def plain(text: str) -> str:
    """A client, audience or resource: printable, without blanks and quotes."""
    if not _PLAIN.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a plain name or URL", "write it as the other service has it, without blanks")
    return text


def digits(text: str) -> str:
    """A number of GitHub's."""
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a number", 'write it as a text of digits: installation = "123456"')
    return text


def repository(text: str) -> str:
    """A repository's name without its owner, or the argument that holds it."""
    if not _REPOSITORY.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a repository's name", 'write the name without its owner, or the argument: "{repo}"')
    return text


def pem_reference(text: str) -> str:
    """Where a certificate or its key is kept. An environment holds no lines."""
    found = kinds.secret_reference(text)
    if found.startswith("env:"):
        raise Fault("unknown_scheme", "env: holds no certificate or key", 'write "file:PATH" or "vault:MOUNT/PATH#FIELD"')
    return found


def vault_path(text: str) -> str:
    """A path below `/v1/` of a vault, as in `rabbitmq/creds/reader`."""
    if not _PATH.fullmatch(text):
        raise Fault("bad_path", f"{kinds.quote(text)} is not a path in a vault", 'write it as "MOUNT/creds/ROLE", without /v1/')
    return text


def role_arn(text: str) -> str:
    """A role of AWS."""
    if not _ROLE.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not the ARN of a role", 'write it as AWS shows it: "arn:aws:iam::123456789012:role/NAME"')
    return text


def of_aws(text: str) -> str:
    """A region, or the name by which a service is signed for."""
    if not _OF_AWS.fullmatch(text):
        raise Fault("bad_name", f"{kinds.quote(text)} is not a name of AWS", 'write it as in an endpoint: region = "eu-central-1", service = "s3"')
    return text


OAUTH2 = {
    "token_url": Rule("URL of the token endpoint.", text=kinds.tool_url),
    "client_id": Rule("The gateway's client there.", text=plain),
    "client_auth": Rule("How the client proves itself: its secret in HTTP Basic or in the form, or an assertion that its key signs (RFC 7523)."),
    "client_secret": Rule("Where the client's secret is kept, as in `secret`.", text=kinds.secret_reference),
    "client_key": Rule("File with the client's private key in PEM: RSA, P-256 or Ed25519.", path="file"),
    "grant": Rule("What is asked for: a token of the client itself, or one in exchange (RFC 8693) for what the gateway says of user and agent."),
    "subject": Rule("In whose name a token is exchanged: of the user that the agent acts for, or of the agent."),
    "scopes": Rule("Scopes that are asked for; an answer with others is refused.", text=scope),
    "audience": Rule("The service the token is for, by name.", text=plain),
    "resource": Rule("The service the token is for, by URL (RFC 8707).", text=plain),
    "revocation_url": Rule(
        "URL of the revocation endpoint (RFC 7009): tokens of who is killed, of a credential taken out, and all at the gateway's end, end there.",
        text=kinds.tool_url,
    ),
    "ca_file": Rule("Authorities (PEM) that the endpoint's certificate is checked against, in place of the system's.", path="file"),
    "timeout_s": Rule("Longest wait for an answer.", 0.1, 10),
}
LEASE = {
    "path": Rule("Path that makes one when it is read: rabbitmq/creds/ROLE.", text=vault_path),
    "field": Rule("Field of the answer that holds the secret.", text=kinds.word),
    "user_field": Rule('Field that holds the user name, for `basic_user = "{user}"`.', text=kinds.word),
}
VAULT = {
    "url": Rule("Base URL of the OpenBao or Vault.", text=kinds.tool_url),
    "role": Rule("Role of its JWT method that the gateway logs in with.", text=kinds.word),
    "login": Rule("Where the JWT method is mounted.", text=vault_path),
    "audience": Rule("Audience that the role is bound to; without it the URL.", text=plain),
    "namespace": Rule("Namespace that everything is below.", text=vault_path),
    "ca_file": Rule("Authorities (PEM) that its certificate is checked against, in place of the system's.", path="file"),
    "timeout_s": Rule("Longest wait for an answer.", 0.1, 10),
    "keep_s": Rule("How long a value that was read at `vault:` is used before it is read again.", 1, 3600),
}
MTLS = {
    "certificate": Rule(
        'Where the client certificate is kept in PEM, its own first, then what leads to its authority: "file:PATH" or "vault:MOUNT/PATH#FIELD".',
        text=pem_reference,
    ),
    "key": Rule('Where its private key is kept in PEM: "file:PATH" or "vault:MOUNT/PATH#FIELD"; may be the same place.', text=pem_reference),
    "warn_days": Rule("Days before its end from which on `portreeve check` warns of it; 0 never.", 0, 3650),
}
GITHUB_APP = {
    "app_id": Rule("The App's number.", text=digits),
    "installation": Rule("The installation's number.", text=digits),
    "private_key": Rule("File with the App's private key in PEM.", path="file"),
    "repository": Rule(
        "The one repository that a token is for: its name without the owner, or the argument that holds it, as in {repo}.", text=repository
    ),
    "permissions": Rule(
        "The most that a token may do, by kind; for an operation that only reads, each is asked for as read.", choices=("read", "write", "admin")
    ),
    "api": Rule("Base URL of the API.", text=kinds.tool_url),
    "ca_file": Rule("Authorities (PEM) that its certificate is checked against, in place of the system's.", path="file"),
    "timeout_s": Rule("Longest wait for an answer.", 0.1, 10),
}
STS = {
    "role_arn": Rule("The role that is assumed.", text=role_arn),
    "region": Rule("The region of the service, and of the STS that is asked.", text=of_aws),
    "service": Rule("The service that requests are signed for: s3, execute-api, lambda, bedrock.", text=of_aws),
    "policy": Rule(
        "Session policy (IAM's JSON as a table): a session may do what the role may and this allows. {args.NAME} in a Resource or a condition of equality is an argument "
        "of the call, {args.NAME:path} one with slashes; a statement whose argument a call does not have is left out."
    ),
    "target": Rule(
        "What stands before the operation's name in x-amz-target, for services of the JSON protocol: AmazonSQS, DynamoDB_20120810. Operations are named as "
        "AWS names them then.",
        text=kinds.word,
    ),
    "audience": Rule("Audience of the gateway's statement, as IAM has it at the identity provider.", text=plain),
    "endpoint": Rule("Base URL of the STS, where it is not the region's own: an endpoint of a VPC.", text=kinds.tool_url),
    "ca_file": Rule("Authorities (PEM) that its certificate is checked against, in place of the system's.", path="file"),
    "timeout_s": Rule("Longest wait for an answer.", 0.1, 10),
}
