"""Small documents are fetched from the address that was looked at, whole, unencoded, in time, and never from elsewhere."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.fetch import Fetcher, FetchError
from tests.simulators.authority import make_certificate
from tests.simulators.upstreams import Behaviour, Seen, answer, gzip_bomb, large_body, raw, redirect, resets, slow_drip, stalls, upstream


def says(body: bytes, *fields: str, status: int = 200) -> Behaviour:
    return raw(answer(status, body, *fields))


async def fetched(behaviour: Behaviour, fetcher: Fetcher | None = None, *, bytes_max: int = 1_000) -> str:
    """Why nothing came."""
    async with upstream(behaviour) as up:
        with pytest.raises(FetchError) as caught:
            await (fetcher or Fetcher(timeout_s=0.5)).get(f"{up.url}/keys", bytes_max=bytes_max)
    return str(caught.value)


async def test_a_document_comes_with_its_status_and_headers():
    async with upstream(says(b'{"keys":[]}', "Cache-Control: max-age=60")) as up:
        got = await Fetcher().get(f"{up.url}/keys?a=b", bytes_max=1_000, headers={"authorization": "Bearer x"})
        seen = up.seen[0]
    assert (got.status, got.body, got.headers["cache-control"]) == (200, b'{"keys":[]}', "max-age=60")
    assert (seen.method, seen.target, seen.header("host")) == ("GET", "/keys?a=b", f"127.0.0.1:{up.port}")
    assert (seen.header("authorization"), seen.header("accept-encoding")) == ("Bearer x", "identity")


async def test_a_question_is_posted():
    async with upstream(says(b"{}")) as up:
        await Fetcher().post(f"{up.url}/ask", b'{"a":1}', bytes_max=100, headers={"content-type": "application/json"})
        seen: Seen = up.seen[0]
    assert (seen.method, seen.body, seen.header("content-type")) == ("POST", b'{"a":1}', "application/json")


async def test_what_is_there_is_deleted_without_a_body():
    async with upstream(says(b"")) as up:
        await Fetcher().delete(f"{up.url}/token", bytes_max=100, headers={"authorization": "Bearer x"})
        seen: Seen = up.seen[0]
    assert (seen.method, seen.target, seen.body, seen.header("authorization")) == ("DELETE", "/token", b"", "Bearer x")


async def test_a_redirect_is_an_answer_and_is_not_followed():
    async with upstream(says(b"{}")) as elsewhere, upstream(redirect(f"{elsewhere.url}/keys")) as up:
        got = await Fetcher().get(f"{up.url}/keys", bytes_max=1_000)
    assert got.status == 302 and not elsewhere.seen


async def test_what_is_too_large_too_slow_or_broken_is_nothing():
    assert "larger than" in await fetched(large_body(5_000))
    assert "no answer within 0.5 s" in await fetched(stalls)
    assert "no answer within 0.5 s" in await fetched(slow_drip)
    assert "failed" in await fetched(resets)
    assert "failed" in await fetched(raw(b"nonsense\r\n\r\n", close=True))
    assert "encoded" in await fetched(gzip_bomb(1_000_000), bytes_max=100_000)


async def test_where_nobody_listens_nothing_is_had():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError):
            await Fetcher().get(f"http://127.0.0.1:{free.getsockname()[1]}/", bytes_max=10)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "0.0.0.0", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254"])
async def test_a_name_that_leads_to_a_metadata_service_is_not_called(address: str):
    async def ask(host: str, port: int):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    with pytest.raises(FetchError, match="no address that may be called"):
        await Fetcher(ask=ask).get("http://keys.example/", bytes_max=10)


async def test_the_address_that_was_looked_at_is_the_one_that_is_called():
    asked: list[str] = []
    async with upstream(says(b"{}")) as up:

        async def ask(host: str, port: int):
            asked.append(host)
            addresses = ["169.254.169.254", "127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]  # a name that is pointed elsewhere
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        await Fetcher(ask=ask).get(f"http://keys.example:{up.port}/", bytes_max=10)
        assert up.seen[0].header("host") == f"keys.example:{up.port}"
    assert asked == ["keys.example"]


async def test_an_address_that_does_not_answer_is_followed_by_the_next():
    async with upstream(says(b"{}")) as up:

        async def ask(host: str, port: int):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

        assert (await Fetcher(ask=ask).get(f"http://keys.example:{up.port}/", bytes_max=10)).status == 200


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch):
    async with upstream(says(b"stolen")) as proxy, upstream(says(b"{}")) as up:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await Fetcher().get(up.url, bytes_max=100)).body == b"{}"
        assert not proxy.seen


async def test_a_certificate_of_nobody_trusted_is_refused(tmp_path: Path):
    served, ca = make_certificate(tmp_path, "localhost")
    async with upstream(says(b"{}"), tls=served) as up:
        url = f"https://localhost:{up.port}/"
        with pytest.raises(FetchError):
            await Fetcher().get(url, bytes_max=10)
        assert (await Fetcher(ca).get(url, bytes_max=10)).status == 200
        with pytest.raises(FetchError):
            await Fetcher(ca).get(f"https://127.0.0.2:{up.port}/", bytes_max=10)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense", "ftp://127.0.0.1/"])
async def test_nobody_there_and_no_url_are_failures_like_any_other(url: str):
    with pytest.raises(FetchError):
        await Fetcher().get(url, bytes_max=10)


async def test_no_key_of_a_connection_is_written_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    served, ca = make_certificate(tmp_path, "localhost")
    async with upstream(says(b"{}"), tls=served) as up:
        assert (await Fetcher(ca).get(f"https://localhost:{up.port}/", bytes_max=10)).status == 200
    assert not (tmp_path / "keys").exists()
