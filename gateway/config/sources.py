"""Settings of what hands out credentials: one class for each table that may stand below `[credential.NAME]` in place of `secret`, or beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """`[credential.NAME.oauth2]`: an access token (RFC 6749) in place of a stored key, fetched by the gateway as a client of its issuer.

    The client proves itself with `client_secret` (a reference) or `client_key` (a private key in PEM). With `grant = "token_exchange"` (RFC 8693) the
    token is asked for in the name of the call's `subject`, and of the agent as its actor, vouched for by the gateway. With `revocation_url` (RFC 7009)
    tokens are ended there when they are no longer wanted: by a kill, a reload, or the gateway's end.
    """

    token_url: str
    client_id: str
    client_auth: Literal["basic", "post", "private_key_jwt"] = "basic"
    client_secret: str | None = None
    client_key: Path | None = None
    grant: Literal["client_credentials", "token_exchange"] = "client_credentials"
    subject: Literal["user", "agent"] = "user"
    scopes: tuple[str, ...] = ()
    audience: str | None = None
    resource: str | None = None
    revocation_url: str | None = None
    ca_file: Path | None = None
    timeout_s: float = 3.0


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """`[credential.NAME.vault]`: a secret that an engine of the vault makes for us alone (a user of a broker, a key of an API), for as long as its lease."""

    path: str
    field: str
    user_field: str | None = None


@dataclass(frozen=True, slots=True)
class GithubAppSettings:
    """`[credential.NAME.github_app]`: a token of an installation of a GitHub App, for one repository and no more permissions than the call needs.

    `repository` is a name, or the argument that holds it, in braces. `permissions` are the most that is asked for: a read asks for "read" of each.
    """

    app_id: str
    installation: str
    private_key: Path
    repository: str
    permissions: Mapping[str, str]
    api: str = "https://api.github.com"
    ca_file: Path | None = None
    timeout_s: float = 3.0


@dataclass(frozen=True, slots=True)
class StsSettings:
    """`[credential.NAME.sts]`: requests signed (Signature Version 4) with a session of a role of AWS, which AWS gives for what the gateway says of the agent.

    What a session may do is what the role may and `policy` allows: a template of a session policy, where `{args.NAME}` stands for an argument of the call.
    """

    role_arn: str
    region: str
    service: str
    policy: Mapping[str, object]
    target: str | None = None
    audience: str = "sts.amazonaws.com"
    endpoint: str | None = None
    ca_file: Path | None = None
    timeout_s: float = 3.0

    @property
    def is_store(self) -> bool:
        """Whether requests are signed for by the rules of S3, which are its own for paths and for bodies that stream."""
        return self.service in STORES

    @property
    def url(self) -> str:
        """Where sessions are asked for: in the service's own region, which keeps the way short and other regions' troubles away."""
        return f"{self.endpoint or f'https://sts.{self.region}.amazonaws.com' + ('.cn' if self.region.startswith('cn-') else '')}/"


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """`[vault]`: the OpenBao or Vault of the deployment. The gateway logs in by the JWT method, with a statement that it signs itself."""

    url: str
    role: str
    login: str = "jwt"
    audience: str | None = None
    namespace: str | None = None
    ca_file: Path | None = None
    timeout_s: float = 3.0
    keep_s: float = 60.0


@dataclass(frozen=True, slots=True)
class HmacSettings:
    """`[credential.NAME.hmac]`: requests that are signed with the secret (RFC 2104) and do not carry it.

    `string` is the template of what is signed, `headers` those of header values by name. `key` says how the secret becomes the key.
    """

    string: str
    headers: Mapping[str, str]
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    key: Literal["text", "hex", "base64"] = "text"
    key_id: str | None = None
    timestamp: Literal["seconds", "milliseconds", "iso8601", "http"] = "seconds"
    uncovered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MtlsSettings:
    """`[credential.NAME.mtls]`: a client certificate and its key, by reference, shown in the TLS handshake; by itself, or beside a secret."""

    certificate: str
    key: str
    warn_days: int = 14


STORES = frozenset({"s3", "s3-object-lambda", "s3-outposts"})
SIGV4_FIELDS = frozenset({"authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-target"})
"""What the gateway sets where it signs for AWS."""
MADE_USER = "{user}"
"""As `basic_user`: the name that was made together with the secret."""
SourceSettings = OAuth2Settings | LeaseSettings | GithubAppSettings | StsSettings
SOURCES: dict[str, type[SourceSettings]] = {"oauth2": OAuth2Settings, "vault": LeaseSettings, "github_app": GithubAppSettings, "sts": StsSettings}
"""By the name of the table."""
UseSettings = HmacSettings | MtlsSettings
USES: dict[str, type[UseSettings]] = {"hmac": HmacSettings, "mtls": MtlsSettings}
"""The tables that say how a credential is used."""
