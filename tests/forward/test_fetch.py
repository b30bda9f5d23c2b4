import pytest

from gateway.forward.fetch import Fetcher, FetchFailed
from tests.simulators.upstreams import answer, endless, gzip_bomb, raw, redirect, resets, slow_drip, stalls, stalls_in_body, upstream

CODED = raw(answer(200, b"short", "Content-Encoding: gzip"))


async def fetched(behaviour, *, bytes_max: int = 1_000, timeout_s: float = 5.0):
    async with upstream(behaviour) as up, Fetcher() as fetcher:
        found = await fetcher.get(f"http://127.0.0.1:{up.port}/a?b=c", bytes_max=bytes_max, timeout_s=timeout_s)
        return found, up.seen


async def test_a_small_answer_is_read_whole():
    found, seen = await fetched(raw(answer(409, b"17\n", "Content-Type: Text/X.Tlog.Size; charset=utf-8")))
    assert (found.status, found.body) == (409, b"17\n")
    assert found.type == "text/x.tlog.size"
    assert seen[0].target == "/a?b=c"
    assert seen[0].header("accept-encoding") == "identity"


async def test_a_body_is_sent_with_its_type_and_nothing_of_the_environment(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with upstream(raw(answer())) as up, Fetcher() as fetcher:
        await fetcher.post(f"http://127.0.0.1:{up.port}/add-checkpoint", b"old 0\n", "text/plain", bytes_max=100, timeout_s=5)
    assert (up.seen[0].body, up.seen[0].header("content-type")) == (b"old 0\n", "text/plain")


async def test_a_redirect_is_an_answer_and_is_not_followed():
    async with upstream(raw(answer())) as elsewhere:
        found, _ = await fetched(redirect(f"http://127.0.0.1:{elsewhere.port}/stolen"))
    assert found.status == 302
    assert elsewhere.seen == []


@pytest.mark.parametrize("behaviour", [endless, gzip_bomb(), CODED, resets, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(5_000))])
async def test_an_answer_that_is_too_long_coded_or_broken_is_none(behaviour):
    with pytest.raises(FetchFailed):
        await fetched(behaviour)


@pytest.mark.parametrize("behaviour", [stalls, stalls_in_body, slow_drip])
async def test_the_deadline_is_for_the_whole_answer(behaviour):
    with pytest.raises(FetchFailed, match="within"):
        await fetched(behaviour, timeout_s=0.3, bytes_max=1 << 20)


async def test_nobody_there_is_a_failure_like_any_other():
    async with Fetcher() as fetcher:
        for url in ("http://127.0.0.1:1/", "nonsense", "ftp://127.0.0.1/"):
            with pytest.raises(FetchFailed):
                await fetcher.get(url, bytes_max=10, timeout_s=5)
