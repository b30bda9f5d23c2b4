"""AWS Signature Version 4: computes the fields that sign a request with a key of AWS, purely, from the request as it will go up.

The service computes the same text from what arrives. Where two services, or a service and we, might read the same bytes in two ways, the request is
refused: what is signed is what policy saw.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

from gateway.call import Headers
from gateway.config.sources import SIGV4_FIELDS, StsSettings
from gateway.errors import Refusal
from gateway.inject.signing import Unsigned
from gateway.inject.source import Fetched, Unreadable
from gateway.secret import Secret

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_BODY = "UNSIGNED-PAYLOAD"
_NOT_SIGNED = frozenset({"accept-encoding", "host", "traceparent", "tracestate", "user-agent", *SIGV4_FIELDS})
"""What is added by us, and what a proxy or mesh between us and the service may rewrite."""
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OF_SIGNATURES = re.compile(rb"x-amz-.*|awsaccesskeyid|signature", re.IGNORECASE | re.DOTALL)


class SigV4Signer:
    """Signs for the service and region of one table. Of what was fetched, `secret` is the session token, `user` the id of the key, and `key` the key."""

    def __init__(self, settings: StsSettings) -> None:
        self.fields = SIGV4_FIELDS
        self._settings = settings

    def check(self, fetched: Fetched) -> None:
        if fetched.key is None or fetched.user is None:
            raise Unreadable("it is no key of AWS", "let the table sts hand it out")

    def sign(self, request: Unsigned, fetched: Fetched, now_s: float) -> list[tuple[str, str | Secret]]:
        key, name = fetched.key, fetched.user
        if key is None or name is None:
            raise Unreadable("it is no key of AWS", "let the table sts hand it out")
        when = datetime.fromtimestamp(int(now_s), UTC).strftime("%Y%m%dT%H%M%SZ")
        body = self._body(request)
        added = [("x-amz-content-sha256", body), ("x-amz-date", when)]
        if self._settings.target:
            added.append(("x-amz-target", f"{self._settings.target}.{request.operation}"))
        token = fetched.secret
        signed = [field for field in request.headers if field[0] not in _NOT_SIGNED]
        signed += [("host", request.authority), *added, ("x-amz-security-token", token.reveal())]
        path, query = canonical_path(request.path, self._settings), canonical_query(request.query, self._settings)
        block, names = canonical_headers(signed)
        text = f"{request.method}\n{path}\n{query}\n{block}\n{names}\n{body}"
        scope = f"{when[:8]}/{self._settings.region}/{self._settings.service}/aws4_request"
        signature = signature_of(text, when, scope, key)
        # the fields are good for this one request, and shown to nobody all the same
        header = Secret(f"{ALGORITHM} Credential={name.reveal()}/{scope}, SignedHeaders={names}, Signature={signature}")
        return [*added, ("x-amz-security-token", token), ("authorization", header)]

    def _body(self, request: Unsigned) -> str:
        """The digest of the body, or the word of S3 for one that is not signed: only TLS protects that then."""
        if request.body is not None:
            return hashlib.sha256(request.body).hexdigest()
        if self._settings.is_store and request.scheme == "https":
            return UNSIGNED_BODY
        raise Unreadable("the body is signed, and this one streams: nobody knows its bytes before they leave", "describe it in a contract")


def canonical_path(path: str, settings: StsSettings) -> str:
    """The path as the service writes it when it computes the signature; `path` is as on the wire. Raises Refusal.

    S3 takes the key that it read and encodes it; all others encode once more what came.
    """
    if not settings.is_store:
        return quote(path, safe="/~")
    if "+" in path:  # S3 takes it for a space, and policy saw a plus
        raise Refusal("path_refused", "The path has a plus sign, which S3 reads as a space: write %2B or %20", reason="a plus sign in a path of S3")
    return quote(unquote_to_bytes(path), safe="/~")


def canonical_query(query: str, settings: StsSettings) -> str:
    """The query, each name and value encoded anew, sorted. Raises Refusal for what has two readings, or signs by itself."""
    if not query:
        return ""
    if _BROKEN_ESCAPE.search(query):
        raise Refusal("malformed_request", "The query has a broken escape")
    pairs = []
    for pair in query.replace("+", " ").split("&"):  # services read it so, as a contract does
        name, _, value = map(unquote_to_bytes, pair.partition("="))
        if not name or _OF_SIGNATURES.fullmatch(name):
            raise Refusal("malformed_request", "The query has a parameter without a name, or one of those that sign a request")
        pairs.append((quote(name, safe="-_.~"), quote(value, safe="-_.~")))
    if settings.is_store and len({name for name, _ in pairs}) < len(pairs):
        raise Refusal("malformed_request", "The query has a parameter twice, and S3 reads only one of them")
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def canonical_headers(headers: Headers | list[tuple[str, str]]) -> tuple[str, str]:
    """The block of headers, with the empty line that ends it, and the list of their names."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(" ".join(value.split()))
    names = sorted(values)
    return "".join(f"{name}:{','.join(values[name])}\n" for name in names), ";".join(names)


def signature_of(canonical: str, when: str, scope: str, key: Secret) -> str:
    """The signature over a canonical request. `scope` is DATE/REGION/SERVICE/aws4_request."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    mac = b"AWS4" + key.reveal().encode()
    for part in (*scope.split("/"), f"{ALGORITHM}\n{when}\n{scope}\n{digest}"):
        mac = hmac.digest(mac, part.encode(), "sha256")
    return mac.hex()
