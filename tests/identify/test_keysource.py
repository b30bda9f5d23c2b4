"""The keys of an issuer stay fresh without anybody waiting, and an issuer that is down or slow harms only what needs new keys of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.fetch import Fetched, Fetcher
from gateway.identify.keysource import MAX_AGE_S_MAX, STALE_S_MAX, KeySource, max_age
from gateway.identities.issuer import Issuer, Source
from tests.identify.foreigners import Foreigner
from tests.identify.forge import Clock
from tests.simulators.issuer import IssuerWorld
from tests.simulators.upstreams import upstream

THEM, NEXT = Foreigner(), Foreigner()


class Bench:
    """An issuer, its key source, and what was told of it."""

    def __init__(self, url: str, world: IssuerWorld) -> None:
        self.world = world
        self.clock = Clock(1_000)
        self.told: list[tuple[str, str]] = []
        issuer = Issuer("ci", "oidc", source=Source(url=f"{url}/jwks"), algorithms=("ES256",))
        self.source = KeySource(issuer, Fetcher(timeout_s=0.5), lambda _, result, line: self.told.append((result, line)), clock=self.clock)

    async def kids(self, kid: str = "ec") -> set[str]:
        return set((await self.source.keys(kid)).keys)

    async def refused(self, kid: str = "ec") -> str:
        with pytest.raises(Refusal) as caught:
            await self.source.keys(kid)
        assert caught.value.code == "invalid_token"
        return caught.value.reason

    @property
    def next_in_s(self) -> float:
        assert self.source._timer is not None
        return self.source._timer.when() - asyncio.get_running_loop().time()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    world = IssuerWorld(THEM.jwks())
    async with upstream(world) as up:
        found = Bench(up.url, world)
        yield found
        await found.source.close()


async def test_who_waits_for_keys_of_an_issuer_that_is_taken_out_is_refused_and_not_cancelled(bench: Bench):
    bench.world.delay_s = 0.4
    waiting = asyncio.create_task(bench.refused())
    while bench.source._fetching is None:
        await asyncio.sleep(0)
    await bench.source.close()
    assert "cannot be had" in await waiting


async def test_two_hundred_who_come_first_make_one_request(bench: Bench):
    bench.world.delay_s = 0.05
    found = await asyncio.gather(*(bench.kids() for _ in range(200)))
    assert bench.world.asked == 1 and all("ec" in kids for kids in found)


async def test_keys_that_are_there_cost_no_request(bench: Bench):
    for _ in range(5):
        await bench.kids()
    assert bench.world.asked == 1 and bench.told == [("ok", "")]


async def test_they_are_fetched_again_at_half_to_four_fifths_of_their_life(bench: Bench):
    bench.world.cache_control = "public, max-age=1000, must-revalidate"
    await bench.kids()
    assert 490 < bench.next_in_s <= 800


async def test_a_refresh_in_the_background_keeps_nobody_waiting(bench: Bench):
    await bench.kids()
    bench.world.delay_s, bench.world.jwks = 0.1, NEXT.jwks(ec=None)
    bench.source.begin()
    assert "ec" in await bench.kids(), "the old keys, at once"
    assert bench.source._fetching is not None
    await bench.source._fetching
    assert "ec" not in await bench.kids("rsa")


async def test_an_unknown_name_of_a_key_fetches_at_most_every_thirty_seconds(bench: Bench):
    await bench.kids()
    for number in range(200):
        await bench.kids(f"unknown-{number}")
    assert bench.world.asked == 1
    bench.clock.at += 30
    await asyncio.gather(*(bench.kids(f"new-{number}") for number in range(200)))
    assert bench.world.asked == 2


async def test_a_new_key_is_found_when_a_token_names_it(bench: Bench):
    bench.world.jwks = THEM.jwks(ec=None)
    assert "ec" not in await bench.kids("rsa")
    bench.world.jwks = THEM.jwks()
    bench.clock.at += 30
    assert "ec" in await bench.kids("ec")


async def test_an_issuer_that_is_down_for_an_hour_harms_no_token_with_a_known_key(bench: Bench):
    await bench.kids()
    bench.world.status = 503
    for _ in range(12):
        bench.clock.at += 300
        bench.source.begin()
        assert bench.source._fetching is not None
        await bench.source._fetching
        assert "ec" in await bench.kids()
    assert [line for _, line in bench.told if line] == [bench.told[1][1]], "one line for the whole hour"
    assert "cannot be fetched: it answered with status 503" in bench.told[1][1] and "24 h" in bench.told[1][1]
    bench.world.status = 200
    bench.source.begin()
    assert bench.source._fetching is not None
    await bench.source._fetching
    assert bench.told[-1] == ("ok", "the keys of issuer ci can be fetched again")


async def test_keys_that_could_not_be_renewed_for_a_day_are_no_good(bench: Bench):
    await bench.kids()
    bench.world.status = 500
    bench.clock.at += STALE_S_MAX
    assert "ec" in await bench.kids()
    bench.clock.at += 1
    assert "cannot be had: it answered with status 500" in await bench.refused()


async def test_without_keys_a_failing_issuer_is_asked_once_in_a_while_and_callers_are_refused_at_once(bench: Bench):
    bench.world.delay_s = 5
    assert "no answer within 0.5 s" in await bench.refused()
    before = asyncio.get_running_loop().time()
    for _ in range(100):
        await bench.refused()
    assert bench.world.asked == 0 and len(bench.told) == 1
    assert asyncio.get_running_loop().time() - before < 100 * 0.5, "nobody waited for the issuer"
    bench.world.delay_s = 0
    bench.clock.at += 5
    assert "ec" in await bench.kids()


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"keys":{}}', b" " * 300_000, b'{"keys":[{"kty":"oct","k":"AAAA","kid":"ec"}]}'])
async def test_what_is_no_key_set_changes_nothing(bench: Bench, body: bytes):
    await bench.kids()
    bench.world.body = body
    bench.source.begin()
    assert bench.source._fetching is not None
    await bench.source._fetching
    assert bench.told[-1][0] == "failed" and "ec" in await bench.kids()


async def test_one_who_gives_up_leaves_the_fetch_to_the_others(bench: Bench):
    bench.world.delay_s = 0.1
    first, second = asyncio.ensure_future(bench.kids()), asyncio.ensure_future(bench.kids())
    await asyncio.sleep(0)
    first.cancel()
    assert "ec" in await second and bench.world.asked == 1


async def test_keys_in_a_file_are_read_again_and_need_no_network(tmp_path: Path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(THEM.jwks()))
    told: list[str] = []
    issuer = Issuer("ci", "oidc", source=Source(file=path), algorithms=("ES256",))
    source = KeySource(issuer, Fetcher(), lambda _, result, line: told.append(result + line))
    assert "ec" in (await source.keys("ec")).keys
    path.unlink()
    source.begin()
    assert source._fetching is not None
    await source._fetching
    assert "No such file" in told[-1] and "ec" in (await source.keys("ec")).keys
    await source.close()


async def test_the_token_for_a_cluster_goes_with_the_request_for_its_keys(tmp_path: Path):
    (tmp_path / "token").write_text("service-account-token\n")
    world = IssuerWorld(THEM.jwks())
    async with upstream(world) as up:
        issuer = Issuer("cluster", "kubernetes", source=Source(url=up.url, token=tmp_path / "token"), algorithms=("ES256",))
        source = KeySource(issuer, Fetcher(), lambda *_: None)
        await source.keys("ec")
        assert up.seen[0].header("authorization") == "Bearer service-account-token"
        await source.close()


async def test_a_spiffe_bundle_is_read_for_its_jwt_keys_alone(tmp_path: Path):
    keys = THEM.jwks()["keys"]
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps({"spiffe_sequence": 3, "keys": [{**keys[0], "use": "jwt-svid"}, {**keys[2], "use": "x509-svid"}]}))
    source = KeySource(Issuer("mesh", "spiffe", source=Source(file=path)), Fetcher(), lambda *_: None)
    assert list((await source.keys("ec")).keys) == ["ec"]
    await source.close()


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("max-age=600", 600),
        ("public,max-age=90", 90),
        ('MAX-AGE="120"', 120),
        ("max-age=1", 60),
        ("max-age=99999999", MAX_AGE_S_MAX),
        ("no-store", 300),
        ("s-max-age=9", 300),
        ("", 300),
    ],
)
def test_the_life_that_an_issuer_gives_its_keys_is_held_within_bounds(field: str, seconds: int):
    assert max_age(Fetched(200, {"cache-control": field}, b"")) == seconds


async def test_after_it_is_closed_it_fetches_nothing(bench: Bench):
    await bench.kids()
    await bench.source.close()
    bench.source.begin()
    bench.clock.at += 60
    await bench.kids("unknown")
    assert bench.world.asked == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"one\nx-more: two"])
async def test_a_file_that_holds_no_token_of_ours_is_a_failure_like_any_other(tmp_path: Path, content: bytes):
    (tmp_path / "token").write_bytes(content)
    told: list[str] = []
    issuer = Issuer("k8s", "kubernetes", source=Source(url="http://127.0.0.1:9/jwks", token=tmp_path / "token"), algorithms=("ES256",))
    source = KeySource(issuer, Fetcher(timeout_s=0.5), lambda _, result, line: told.append(f"{result} {line}"))
    with pytest.raises(Refusal) as caught:
        await source.keys("ec")
    assert "holds none" in caught.value.reason
    assert "holds none" in told[0] and source._timer is not None, "it is tried again"
    await source.close()
