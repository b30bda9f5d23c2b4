"""A gateway whose signing key is in an OpenBao."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.errors import Problems
from tests.journeys.place import client_of, records, running, write_place
from tests.journeys.token_clients import Key, call, claims_of, client, post, token, write_agent
from tests.simulators.openbao import ROOT_TOKEN, bao
from tests.simulators.upstreams import echo, upstream

BOT = Key("bot-1")


def use_transit(folder: Path, url: str) -> None:
    settings = folder / "gateway.toml"
    text = f'[gateway]\ntransit = "{url}/v1/transit/keys/gw"\ntransit_token = "bao.token"\n'
    settings.write_text(settings.read_text().replace("[gateway]\n", text))
    (folder / "bao.token").write_text(ROOT_TOKEN)
    write_agent(folder, "bot", BOT.toml)


@pytest.mark.slow
async def test_tokens_are_signed_there_verified_here_and_refused_while_it_is_down(tmp_path: Path):
    form = {"grant_type": "client_credentials"}
    (tmp_path / "place").mkdir()
    folder = tmp_path / "place"
    async with upstream(echo) as up:
        with bao(tmp_path) as secure:
            secure.ask("sys/mounts/transit", {"type": "transit"})
            secure.ask("transit/keys/gw", {"type": "ecdsa-p256"})
            write_place(folder, up.port)
            use_transit(folder, secure.url)
            words = [sys.executable, "-m", "gateway", "token", "bot", "-C", str(folder)]
            minted = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=True)
            assert not list(load(folder).keys.glob("*.pem")), "no signing key on this machine"
            gateway = running(folder)
            place = await gateway.__aenter__()
            try:
                answer = await token(place, {**form, **client(BOT.assertion("bot"))})
                texts = [answer["access_token"], minted.stdout.strip()]
                assert [(await call(place, text)).status_code for text in texts] == [200, 200]
                secure.ask("transit/keys/gw/rotate", {})
                assert await place.gateway.reload()
                async with client_of(place.gateway.addresses["agents"], None) as http:
                    assert len((await http.get("/.well-known/jwks.json")).json()["keys"]) == 2
                assert [(await call(place, text)).status_code for text in texts] == [200, 200]
            except BaseException:
                await gateway.__aexit__(None, None, None)
                raise
        try:
            down = await post(place, "/oauth2/token", {**form, **client(BOT.assertion("bot"))})
            assert (down.status_code, down.json()["error"]) == (503, "temporarily_unavailable")
            assert [(await call(place, text)).status_code for text in texts] == [200, 200], "verifying needs nobody"
        finally:
            await gateway.__aexit__(None, None, None)
    assert claims_of(texts[0])["client_id"] == "bot"
    assert ROOT_TOKEN not in json.dumps(records(folder))


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ('transit = "https://bao.example/v1/transit/keys/gw"\n', "contradiction"),
        ('transit_token = "gateway.toml"\n', "contradiction"),
        ('transit = "https://bao.example/v1/transit/gw"\ntransit_token = "gateway.toml"\n', "bad_url"),
        ('transit = "http://bao.example/v1/transit/keys/gw"\ntransit_token = "gateway.toml"\n', "plain_http_credential"),
        ('transit = "https://bao.example/v1/transit/keys/gw"\ntransit_token = "gone"\n', "missing_file"),
    ],
)
def test_settings_that_do_not_make_a_signer_are_refused(tmp_path: Path, lines: str, code: str):
    write_place(tmp_path, 1)
    settings = tmp_path / "gateway.toml"
    settings.write_text(settings.read_text().replace("[gateway]\n", f"[gateway]\n{lines}"))
    with pytest.raises(Problems) as caught:
        load(tmp_path)
    assert [problem.code for problem in caught.value.problems] == [code]
