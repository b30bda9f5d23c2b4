"""Credentials: fetched after a permit, placed in one spot, bound to hosts, never shown."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import traceback
from dataclasses import replace

import pytest

from gateway.config.model import CredentialSettings, ToolSettings
from gateway.config.sources import HmacSettings, MtlsSettings
from gateway.errors import Problems, Refusal
from gateway.inject import Credentials
from gateway.inject.fingerprint import Fingerprints
from gateway.inject.held import Held
from gateway.inject.kept import Kept
from gateway.inject.signing_hmac import HmacSigner
from gateway.secret import Secret
from tests.forward.world import SECRET, Chunks, at_once, permit, settings
from tests.inject.world import Counting, need
from tests.simulators.authority import ClientAuthority

TOOL = ToolSettings("t", "https://up.example/v1", credential="c")


def credential(tmp_path, **more) -> CredentialSettings:
    file = tmp_path / "secret"
    if not file.exists():
        file.write_text(SECRET + "\n")
        file.chmod(0o600)
    place = {} if {"query", "basic_user"} & set(more) else {"header": "Authorization", "format": "Bearer {secret}"}
    return CredentialSettings(**{"name": "c", "secret": f"file:{file}", "hosts": ("up.example",), **place, **more})


def inject(tmp_path, given=None, *, tool=TOOL, **more):
    return at_once(Credentials.load(settings(tmp_path, (tool,), (credential(tmp_path, **more),))).inject(given or permit(), tool))


def revealed(granted) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in granted.headers}


def refuses(tmp_path, given=None, **more) -> Refusal:
    with pytest.raises(Refusal) as caught:
        inject(tmp_path, given, **more)
    return caught.value


def test_the_credential_stands_in_its_header_and_nowhere_else(tmp_path):
    granted = inject(tmp_path)
    assert revealed(granted)["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(granted)
    assert (granted.scheme, granted.host, granted.port, granted.path, granted.query) == ("https", "up.example", 443, "/v1/a", "")


def test_the_credential_stands_in_the_query_beside_the_agents_own(tmp_path):
    granted = inject(tmp_path, permit(query="q=1"), query="api_key")
    assert isinstance(granted.query, Secret)
    assert granted.query.reveal() == "q=1&api_key=CANARY-s3cr3t%2Fwith%2Bodd%3Dchars"
    assert "authorization" not in revealed(granted)


def test_the_credential_stands_in_http_basic(tmp_path):
    value = revealed(inject(tmp_path, basic_user="me"))["authorization"]
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == f"me:{SECRET}"


@pytest.mark.parametrize("query", ["api_key=mine", "x=1&api_key=", "api%5Fkey=mine", "API_KEY=mine", "x=1;api_key=2", "api_key[]=1", "api_key"])
def test_an_agent_cannot_name_the_credentials_parameter(tmp_path, query):
    assert refuses(tmp_path, permit(query=query), query="api_key").code == "contract_violation"


@pytest.mark.parametrize("hosts", [("up.example",), ("UP.example:443",), ("other.example", "up.example:443")])
def test_a_credential_goes_to_the_hosts_it_is_bound_to(tmp_path, hosts):
    assert inject(tmp_path, hosts=hosts).credential is not None


@pytest.mark.parametrize("hosts", [("other.example",), ("up.example:8443",), ("example",), ("xup.example",), ("up.example.evil.example",)])
def test_a_credential_bound_elsewhere_stops_the_start(tmp_path, hosts):
    with pytest.raises(Problems, match="not bound to up"):
        inject(tmp_path, hosts=hosts)


def test_a_tool_that_moved_after_the_check_gets_no_credential(tmp_path):
    credentials = Credentials.load(settings(tmp_path, (TOOL,), (credential(tmp_path),)))
    with pytest.raises(Refusal) as caught:
        at_once(credentials.inject(permit(), replace(TOOL, url="https://evil.example/v1")))
    assert (caught.value.code, SECRET in str(caught.value)) == ("credential_unavailable", False)


def test_a_permit_for_another_tool_is_refused(tmp_path):
    assert refuses(tmp_path, permit(tool="other")).code == "internal_error"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "/../admin",
        "/a/..",
        "/./a",
        "//evil.example/a",
        "/a//b",
        "/a%2e",
        "/%2E%2E/admin",
        "/a%5C",
        "/a b",
        "/a?x",
        "/a#x",
        "/a\\b",
        "/a\r\nx",
        "/a%",
    ],
)
def test_a_path_that_is_not_canonical_does_not_leave(tmp_path, path):
    assert refuses(tmp_path, permit(path)).code == "path_refused"


@pytest.mark.parametrize("path", ["/", "/a/", "/caf%C3%A9", "/v1:run@2", "/a%20b", "/...", "/.well-known/x", "/a%2Fb", "/a;b"])
def test_a_canonical_path_leaves_unchanged_below_the_base(tmp_path, path):
    assert inject(tmp_path, permit(path)).path == "/v1" + path


@pytest.mark.parametrize("query", ["a b", "a#b", "a\r\nb", "a\0", "\xe9"])
def test_a_query_that_would_end_the_target_does_not_leave(tmp_path, query):
    assert refuses(tmp_path, permit(query=query)).code == "malformed_request"


def test_the_answer_is_asked_for_uncompressed_when_a_credential_goes_along(tmp_path):
    given = permit(headers=(("accept-encoding", "gzip, br"),))
    bare = ToolSettings("t", "https://up.example")
    assert revealed(inject(tmp_path, given))["accept-encoding"] == "identity"
    assert revealed(inject(tmp_path, given, tool=bare))["accept-encoding"] == "gzip, identity"


def test_an_agents_own_field_of_the_credentials_name_is_dropped(tmp_path):
    tool = replace(TOOL, request_headers=("x-token",))
    granted = inject(tmp_path, permit(headers=(("x-token", "mine"),)), tool=tool, header="X-Token", format="{secret}")
    assert [value for name, value in granted.headers if name == "x-token"] == [Secret(SECRET)]


def test_the_header_that_carries_the_agents_token_is_not_forwarded(tmp_path):
    tool = replace(TOOL, request_headers=("x-token",), token_header="X-Token")
    assert "x-token" not in revealed(inject(tmp_path, permit(headers=(("x-token", "agents"),)), tool=tool))


def test_a_rebuilt_body_has_the_contracts_content_type(tmp_path):
    given = permit(method="POST", body=b"{}", headers=(("content-type", "text/odd"), ("content-encoding", "gzip")))
    headers = revealed(inject(tmp_path, given))
    assert (headers["content-type"], "content-encoding" in headers) == ("application/json", False)


@pytest.mark.parametrize("name", ["Authorization", "X-Forwarded-For", "X_Custom", "x-http-method-override", "x-amz-date", "Cookie"])
def test_a_tool_cannot_open_a_field_that_is_never_forwarded(tmp_path, name):
    with pytest.raises(Problems, match="never let through"):
        Credentials.load(settings(tmp_path, (ToolSettings("t", "https://up.example", request_headers=(name,)),)))


@pytest.mark.parametrize(
    "place", [{"header": None}, {"query": "k", "header": "authorization"}, {"format": "none"}, {"hosts": ()}, {"header": "Connection"}]
)
def test_settings_that_can_never_work_stop_the_start(tmp_path, place):
    with pytest.raises(Problems):
        inject(tmp_path, **place)


def test_a_secret_that_is_missing_is_found_by_check_and_refused_when_needed(tmp_path):
    missing = CredentialSettings("c", ("up.example",), "env:PORTREEVE_TEST_UNSET", header="authorization", file="gateway.toml", line=7)
    credentials = Credentials.load(settings(tmp_path, (TOOL,), (missing,)))
    [problem] = credentials.check()
    assert (problem.code, problem.place, problem.key) == ("credential_unreadable", "gateway.toml:7", "credential.c.secret")
    with pytest.raises(Refusal) as caught:
        at_once(credentials.inject(permit(), TOOL))
    assert (caught.value.code, caught.value.outcome) == ("credential_unavailable", "refused")


def test_an_error_never_shows_the_secret(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET.encode() + b"\r\ninjected: 1\xff")
    file.chmod(0o600)
    with pytest.raises(Refusal) as caught:
        inject(tmp_path)
    assert "CANARY" not in "".join(traceback.format_exception(caught.value)) + caught.value.reason


def test_the_fingerprint_tells_values_apart_outlives_a_restart_and_is_keyed(tmp_path):
    first = inject(tmp_path).credential
    assert (first.name, first.kind, len(first.fingerprint)) == ("c", "file", 16)
    assert inject(tmp_path).credential == first
    assert ((tmp_path / "keys" / "fingerprint.key").stat().st_mode & 0o777) == 0o600
    (tmp_path / "keys" / "fingerprint.key").unlink()
    assert inject(tmp_path).credential != first
    (tmp_path / "secret").write_text("another")
    assert inject(tmp_path).credential != first


def test_a_fingerprint_key_that_others_can_read_is_refused(tmp_path):
    inject(tmp_path)
    (tmp_path / "keys" / "fingerprint.key").chmod(0o644)
    assert "open to other users" in refuses(tmp_path).reason


def test_a_header_parameter_of_the_contract_goes_up_as_it_came(tmp_path):
    given = permit(headers=(("x-environment", "test"), ("x-other", "1")))
    given = replace(given, invocation=replace(given.invocation, headers=frozenset({"x-environment"})))
    sent = revealed(inject(tmp_path, given))
    assert sent["x-environment"] == "test"
    assert "x-other" not in sent


def test_a_header_parameter_that_carries_the_credential_is_refused(tmp_path):
    given = permit(headers=(("x-shop-key", "mine"),))
    given = replace(given, invocation=replace(given.invocation, headers=frozenset({"x-shop-key"})))
    assert refuses(tmp_path, given, header="X-Shop-Key", format="{secret}").code == "contract_violation"


def test_ranges_go_up_where_no_echo_of_a_credential_could_be_cut_into_pieces(tmp_path):
    given = permit(headers=(("range", "bytes=0-3"), ("if-range", "x")))
    assert "range" not in revealed(inject(tmp_path, given))
    assert "range" in revealed(inject(tmp_path, given, tool=replace(TOOL, credential=None)))
    assert "range" in revealed(inject(tmp_path, given, tool=replace(TOOL, request_headers=("range",))))


async def replaced(tmp_path) -> tuple[Counting, Credentials]:
    """A source that a reload has taken out after one agent got something of it, and what is in force now."""
    source = Counting(leases=True)
    kept = Kept("c", source)
    before = Credentials({"c": Held(credential(tmp_path), source, kept)}, Fingerprints(tmp_path), None)
    await kept.fetch(need(), "")
    now = Credentials({}, Fingerprints(tmp_path), None)
    before.retire(now, grace_s=3600)
    for _ in range(10):
        await asyncio.sleep(0)
    assert source.given_back == [], "calls may be on their way with it"
    return source, now


async def test_what_a_reload_took_out_is_ended_by_a_kill_before_its_time(tmp_path):
    source, now = await replaced(tmp_path)
    assert now.holders() == {"a"}
    assert now.revoke("agent", "a") == 1
    async with asyncio.timeout(5):
        await now.close()
    assert source.given_back == ["lease-1"]


async def test_the_end_does_not_wait_for_the_time_of_what_a_reload_took_out(tmp_path):
    source, now = await replaced(tmp_path)
    later = Credentials({}, Fingerprints(tmp_path), None)
    now.retire(later, grace_s=3600)
    async with asyncio.timeout(5):
        await later.close()
    assert source.given_back == ["lease-1"]


SIGNED = HmacSettings("{method}{target}{timestamp}{body_sha256}", {"X-Sig": "{signature}", "X-Time": "{timestamp}"})


def signed(tmp_path, given=None, **more):
    return inject(tmp_path, given, hmac=SIGNED, header=None, format="{secret}", **more)


def test_a_signing_credential_does_not_go_along_and_signs_what_goes_up(tmp_path):
    granted = signed(tmp_path, permit("/orders", method="POST", query="a=1", body=b'{"n":1}', effect="write"))
    sent = revealed(granted)
    digest = hashlib.sha256(b'{"n":1}').hexdigest()
    text = f"POST/v1/orders?a=1{sent['x-time']}{digest}"
    assert sent["x-sig"] == hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
    assert "CANARY" not in str(sent) and "authorization" not in sent and granted.secret == Secret(SECRET)
    assert sent["accept-encoding"] == "identity" and sent["x-sig"] not in repr(granted)


def test_an_agents_own_copies_of_the_signing_headers_never_go_up(tmp_path):
    tool = replace(TOOL, request_headers=("x-sig", "x-time"))
    granted = signed(tmp_path, permit(headers=(("x-sig", "0" * 64), ("x-time", "1"))), tool=tool)
    assert [name for name, _ in granted.headers].count("x-sig") == [name for name, _ in granted.headers].count("x-time") == 1
    assert revealed(granted)["x-sig"] != "0" * 64
    given = permit(headers=(("x-time", "1"),))
    given = replace(given, invocation=replace(given.invocation, headers=frozenset({"x-time"})))
    with pytest.raises(Refusal) as caught:
        signed(tmp_path, given)
    assert caught.value.code == "contract_violation"


def test_a_body_that_streams_is_refused_where_requests_are_signed(tmp_path):
    given = permit(method="POST", effect="write")
    call = replace(given.invocation.call, body=Chunks(b"x", length=1))
    with pytest.raises(Refusal, match="credential_unavailable") as caught:
        signed(tmp_path, replace(given, invocation=replace(given.invocation, call=call)))
    assert "streams" in caught.value.reason and caught.value.outcome == "refused"


def test_a_key_that_cannot_sign_is_found_by_check(tmp_path):
    wrong = replace(credential(tmp_path), header=None, format="{secret}", hmac=replace(SIGNED, key="hex"))
    [problem] = Credentials.load(settings(tmp_path, (TOOL,), (wrong,))).check()
    assert (problem.code, "not hex" in problem.message, "CANARY" in str(problem)) == ("credential_unreadable", True, False)


@pytest.mark.parametrize("name", ["Connection", "X_Sig", "Content-Type", "accept-encoding"])
def test_a_signature_cannot_stand_in_a_field_that_frames_the_message(tmp_path, name):
    with pytest.raises(Problems, match="no credential can travel"):
        inject(tmp_path, hmac=replace(SIGNED, headers={name: "{signature}"}), header=None, format="{secret}")


async def test_after_a_401_the_request_is_signed_anew_with_another_key(tmp_path):
    source, given = Counting(), replace(credential(tmp_path), header=None, format="{secret}", hmac=SIGNED)
    held = Held(given, source, Kept("c", source), HmacSigner(SIGNED))
    credentials = Credentials({"c": held}, Fingerprints(tmp_path), None, now=lambda: 1e9)
    first = await credentials.inject(permit(), TOOL)
    again = await credentials.inject(permit(), TOOL)
    renewed = await credentials.renewed(first, TOOL, asyncio.get_running_loop().time() + 10)
    assert revealed(first)["x-sig"] == revealed(again)["x-sig"] != revealed(renewed)["x-sig"]
    assert renewed.secret != first.secret and len(source.fetched) == 2
    await credentials.close()


def certified(tmp_path, *, life: dt.timedelta = dt.timedelta(days=30), warn_days: int = 14, **more) -> CredentialSettings:
    """A credential that shows a certificate, and nothing else unless told."""
    for name, content in zip(("tls.crt", "tls.key"), ClientAuthority(tmp_path).issue("a", life)[:2], strict=True):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return CredentialSettings("c", ("up.example",), mtls=MtlsSettings("file:tls.crt", "file:tls.key", warn_days), file="gateway.toml", line=3, **more)


def test_a_certificate_goes_with_the_grant_and_not_in_the_request(tmp_path):
    granted = at_once(
        Credentials.load(settings(tmp_path, (TOOL,), (certified(tmp_path),))).inject(permit(headers=(("accept-encoding", "gzip"),)), TOOL)
    )
    assert granted.certificate.credential == "c" and "PRIVATE KEY" in granted.certificate.pem.reveal()
    assert (granted.credential.kind, granted.credential.certificate) == ("mtls", granted.certificate.fingerprint)
    assert granted.secret is None and "PRIVATE" not in repr(granted) + str(revealed(granted))
    assert revealed(granted)["accept-encoding"] == "gzip, identity", "nothing of it could be echoed"


def test_a_certificate_may_stand_beside_a_secret(tmp_path):
    both = replace(credential(tmp_path), mtls=certified(tmp_path).mtls)
    granted = at_once(Credentials.load(settings(tmp_path, (TOOL,), (both,))).inject(permit(), TOOL))
    assert revealed(granted)["authorization"] == f"Bearer {SECRET}" and granted.secret == Secret(SECRET)
    assert (granted.credential.kind, granted.credential.certificate) == ("file", granted.certificate.fingerprint)


@pytest.mark.parametrize("url", ["http://up.example/v1", "https://elsewhere.example", "https://up.example.evil.example"])
def test_a_certificate_is_shown_to_its_hosts_over_tls_alone(tmp_path, url):
    given = certified(tmp_path)
    with pytest.raises(Problems):
        Credentials.load(settings(tmp_path, (replace(TOOL, url=url),), (given,)))
    with pytest.raises(Refusal) as caught:
        at_once(Credentials.load(settings(tmp_path, (TOOL,), (given,))).inject(permit(), replace(TOOL, url=url)))
    assert caught.value.code == "credential_unavailable"


def test_a_certificate_that_cannot_be_had_is_found_by_check_and_refused_when_needed(tmp_path):
    given = certified(tmp_path)
    (tmp_path / "tls.key").chmod(0o644)
    credentials = Credentials.load(settings(tmp_path, (TOOL,), (given,)))
    [problem] = credentials.check()
    assert (problem.code, problem.key) == ("credential_unreadable", "credential.c.mtls") and "others may use it" in problem.message
    with pytest.raises(Refusal) as caught:
        at_once(credentials.inject(permit(), TOOL))
    assert caught.value.code == "credential_unavailable"
    assert credentials.notices() == [] and dict(credentials.certificates()) == {}


@pytest.mark.parametrize(("days", "warn_days", "warned"), [(3.5, 14, "ends in 3 days"), (20, 14, ""), (20.5, 30, "ends in 20 days"), (0.2, 0, "")])
def test_a_certificate_that_ends_soon_is_told_before(tmp_path, days, warn_days, warned):
    credentials = Credentials.load(settings(tmp_path, (TOOL,), (certified(tmp_path, life=dt.timedelta(days=days), warn_days=warn_days),)))
    assert credentials.check() == []
    found = [(notice.code, notice.key, notice.message) for notice in credentials.notices()]
    assert found == ([("certificate_ends", "credential.c.mtls", f"the client certificate {warned}")] if warned else [])
