"""A real Prometheus server as a witness that nobody asked to be one: what it scraped of the log, the log must still be."""

import asyncio
import shutil

import pytest

from gateway.record import LogReader, NoteSigner, open_log
from tests.cli.test_log import run
from tests.journeys.place import load, running, write_place
from tests.simulators.prometheus import prometheus, scraped
from tests.simulators.upstreams import echo, upstream

ORIGIN = "journey.test/log"


async def verify(folder, *options: object):
    """The command has an event loop of its own."""
    return await asyncio.to_thread(run, "verify", "-C", folder, *options)


@pytest.fixture
async def watched(tmp_path):
    """A gateway that served a few calls under the eyes of a Prometheus server, and stopped: (its folder, the server's URL)."""
    async with upstream(echo) as up:
        write_place(tmp_path / "gw", up.port)
        async with running(tmp_path / "gw") as place, prometheus(tmp_path / "prometheus", place.admin.removeprefix("http://")) as url:
            for _ in range(3):
                await place.client.get("/tools/notes/notes/7")
                await place.settled("result", 1)
                await scraped(url, f'portreeve_log_size{{origin="{ORIGIN}"}}', place.gateway.pipeline.log.size)
            await place.gateway.stop()
            yield tmp_path / "gw", url


async def test_a_log_agrees_with_every_scrape_of_it(watched):
    folder, url = watched
    done = await verify(folder, "--prometheus", url, "--prometheus-days", 1)
    assert (done.exit_code, "that others have seen agree with it" in done.stdout) == (0, True)


async def test_a_log_rewritten_with_its_own_key_is_found_by_what_was_scraped(watched):
    """The deepest attack: whoever has disk and key writes another history of the same length, sound and signed. Prometheus does not forget."""
    folder, url = watched
    settings = load(folder)
    length = sum(1 for _ in LogReader(settings.log.folder).records())
    shutil.rmtree(settings.log.folder)
    log = await open_log(settings.log, NoteSigner.open(settings.keys))
    for number in range(length):
        await log.append("result", {"call": 99, "id": f"made up {number}", "status": "ok", "http": 200})
    await log.close()
    assert (await verify(folder)).exit_code == 0
    done = await verify(folder, "--prometheus", url, "--prometheus-days", 1)
    assert (done.exit_code, "TAMPERED" in done.stdout, "Prometheus at" in done.stdout) == (1, True, True)


async def test_a_log_set_back_to_an_earlier_state_is_found_by_what_was_scraped(watched):
    folder, url = watched
    settings = load(folder)
    kept = list(LogReader(settings.log.folder).records())[:1]  # what nobody has signed yet may be all there is
    signer = NoteSigner.open(settings.keys)
    (segment,) = (settings.log.folder / "log").iterdir()
    segment.write_bytes(b"".join(record.line + b"\n" for record in kept))
    for name in ("checkpoint", "checkpoints"):
        (settings.log.folder / name).unlink()
    log = await open_log(settings.log, signer)
    await log.close()
    assert (await verify(folder)).exit_code == 0
    assert (await verify(folder, "--prometheus", url, "--prometheus-days", 1)).exit_code == 1


async def test_a_server_that_saw_nothing_or_does_not_answer_proves_nothing(watched):
    folder, url = watched
    gone = await verify(folder, "--prometheus", "http://127.0.0.1:1")
    other = await verify(folder, "--prometheus", f"{url}/nowhere", "--prometheus-days", 1)
    assert (gone.exit_code, other.exit_code) == (3, 3)
    settings = folder / "gateway.toml"
    settings.write_text(settings.read_text().replace(ORIGIN, "journey.test/other").replace('folder = "log"', 'folder = "other"'))
    log = await open_log(load(folder).log, NoteSigner.open(load(folder).keys))
    await log.close()
    done = await verify(folder, "--prometheus", url, "--prometheus-days", 1)
    assert (done.exit_code, "scraped nothing" in done.stderr) == (3, True)
