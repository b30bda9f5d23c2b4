"""Header fields that never travel upstream, whatever a setting or a contract says."""

from __future__ import annotations

HOP_BY_HOP = frozenset({"connection", "expect", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})

# Set by us, or believed by upstreams when a proxy in front of them sets it: whoever may send these says who he is or what he asks for.
NEVER = HOP_BY_HOP | frozenset(
    {
        "accept-encoding",
        "api-key",
        "authorization",
        "content-length",
        "cookie",
        "cookie2",
        "forwarded",
        "front-end-https",
        "host",
        "remote-addr",
        "remote-user",
        "true-client-ip",
        "via",
        "x-api-key",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-host",
        "x-original-method",
        "x-original-uri",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    }
)
NEVER_PREFIXES = (
    "cf-connecting-",
    "portreeve-",
    "proxy-",
    "x-amz-",
    "x-auth-request-",
    "x-envoy-",
    "x-forwarded-",
    "x-ms-client-principal",
    "x-remote-",
)


def is_never(name: str) -> bool:
    """Whether no setting can let this field through. `X_Forwarded_For` reads as `X-Forwarded-For` to CGI-like servers, so no underscores."""
    return name in NEVER or name.startswith(NEVER_PREFIXES) or "_" in name
