"""`portreeve log witness` as it is run: the witness in a process of its own, the submission by hand, and what each failure exits with."""

import asyncio
import contextlib
import json
import signal
import sys

import pytest

from gateway.record import NoteSigner, WitnessKey, open_log
from tests.cli.test_log import run
from tests.config.deployments import write
from tests.record.world import plain, settings, twin

ORIGIN = "test.example/log"


@contextlib.asynccontextmanager
async def witness(folder, logs):
    """Run `portreeve log witness serve`; gives what it says when it is ready."""
    command = [
        "-m",
        "gateway",
        "log",
        "witness",
        "serve",
        "--state",
        folder,
        "--name",
        "witness.example/w1",
        "--logs",
        logs,
        "--listen",
        "127.0.0.1:0",
    ]
    process = await asyncio.create_subprocess_exec(sys.executable, *map(str, command), "--json", stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            yield json.loads(await process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0


async def deployment(folder, url: str = "http://127.0.0.1:1", key: str = ""):
    write(folder)
    key = key or str(WitnessKey("witness.example/w1", bytes(32)))
    toml = folder / "gateway.toml"
    toml.write_text(f'{toml.read_text()}\n[witness.w1]\nurl = "{url}"\nkey = "{key}"\ntimeout_s = 5\n')
    await grow(folder, 2)
    return folder


async def grow(folder, count: int) -> None:
    log = await open_log(settings(folder / "var", origin=ORIGIN), NoteSigner.open(folder / "var" / "keys"))
    for number in range(count):
        await log.append("call", plain(number))
    await log.close()


def submit(folder, *names: str):
    return asyncio.to_thread(run, "witness", "submit", *names, "-C", folder)


async def test_a_log_is_witnessed_by_hand_and_its_fork_is_not(tmp_path):
    logs = tmp_path / "logs"
    signer = NoteSigner.open(tmp_path / "a" / "var" / "keys")
    logs.write_text(f"# logs that are witnessed\n{signer.key(ORIGIN)}\n{signer.key('gw.example/b')} an origin with spaces\n")
    async with witness(tmp_path / "w", logs) as ready:
        place = await deployment(tmp_path / "a", ready["url"], ready["key"])
        fork = twin(place, tmp_path / "b")
        await grow(place, 3)
        await grow(fork, 5)
        done = await submit(place)
        assert (done.exit_code, "w1 has cosigned" in done.stdout) == (0, True)
        done = await submit(fork, "w1")
        assert (done.exit_code, done.stdout.startswith("conflict  w1")) == (1, True)
    done = await submit(place)
    assert (done.exit_code, done.stdout.startswith("unreachable  w1")) == (3, True)


async def test_a_witness_that_nobody_has_named_is_not_asked(tmp_path):
    place = await deployment(tmp_path / "a")
    assert (await submit(place, "w2")).exit_code == 2
    write(tmp_path / "a")
    assert (await submit(place)).exit_code == 2


@pytest.mark.parametrize(
    ("change", "code"), [({"--name": "a b"}, 2), ({"--listen": "nowhere"}, 2), ({"--logs": "empty"}, 4), ({"--logs": "broken"}, 4)]
)
def test_a_witness_that_cannot_work_does_not_start(tmp_path, change, code):
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "broken").write_text("not a key\n")
    words = {"--state": tmp_path / "w", "--name": "witness.example/w1", "--logs": "empty", "--listen": "127.0.0.1:0"} | change
    words["--logs"] = tmp_path / words["--logs"]
    assert run("witness", "serve", *[word for pair in words.items() for word in pair]).exit_code == code
