"""A proof of possession counts once, whichever worker of the gateway it reaches."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx2

from gateway.client import AgentKey
from gateway.config.load import load
from gateway.identify import SigningKeys, Wish, mint
from gateway.identities import load_identities
from tests.journeys.place import client_of, records, write_place
from tests.journeys.process import process
from tests.journeys.token_clients import URL, write_agent
from tests.simulators.upstreams import echo, upstream

PATH = "/tools/notes/notes/7"


async def test_the_same_proof_passes_exactly_once_whichever_of_several_workers_takes_it(tmp_path: Path):
    key = AgentKey.make()
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        write_agent(tmp_path, "strict", '[token]\npop = "required"\n')
        async with process(tmp_path, "--workers", "2") as (_, where):
            settings = load(tmp_path)
            found = load_identities(settings.identities).agents["strict"]
            wish, keys = Wish(bound_to=key.thumbprint), SigningKeys.open(settings.keys)
            token = mint(keys, found, wish, issuer=settings.url, audience=settings.url + "/tools", now=time.time()).reveal()

            async def call(proof: str) -> httpx2.Response:
                """Over a connection of its own, so that workers share them."""
                async with client_of(where["agents"], None) as client:
                    return await client.get(PATH, headers={"authorization": f"DPoP {token}", "dpop": proof})

            for _ in range(3):
                proof = key.proof("GET", URL + PATH, token)
                statuses = [answer.status_code for answer in await asyncio.gather(*(call(proof) for _ in range(12)))]
                assert sorted(statuses) == [200, *[401] * 11]
            own = await asyncio.gather(*(call(key.proof("GET", URL + PATH, token)) for _ in range(12)))
            assert {answer.status_code for answer in own} == {200}
        assert len({record["w"] for record in records(tmp_path, "call")}) == 2, "the calls were spread over both"
        assert len(up.seen) == 15
