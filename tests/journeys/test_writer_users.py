"""The log's writer, the gateway and a stranger as three users of the machine, as it is deployed where a gateway that is taken over must not be able to sign."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.record import parse_keys, verify_folder
from tests.journeys.place import client_of, records, token_of, write_place
from tests.journeys.process import command, process
from tests.simulators.upstreams import echo, upstream

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of other users")]
ROOT = Path(__file__).resolve().parents[2]
WRITER, GATEWAY, STRANGER = 65_534, 65_533, 65_532
"""Numbers of users and, each, of their group."""

CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); print(s.recv(1))"
OPEN = "import sys; open(sys.argv[1], sys.argv[2])"


def become(user: int, *groups: int, group: int | None = None) -> None:
    os.setgroups(groups)
    os.setgid(user if group is None else group)
    os.setuid(user)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="portreeve-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def python(place: Path) -> str:
    """A Python that every user can run: this one, or the system's with the packages of this one."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    made, of_system = place / "python", shutil.which(name, path="/usr/bin:/usr/local/bin")
    if of_system:
        (made / "bin").mkdir(parents=True)
        (made / "bin" / "python").symlink_to(of_system)
        (made / "pyvenv.cfg").write_text(f"home = {Path(of_system).parent}\n")
        packages = made / "lib" / name / "site-packages"
        packages.parent.mkdir(parents=True)
        packages.symlink_to(sysconfig.get_path("purelib"))
    for each in (sys.executable, str(made / "bin" / "python")):
        try:
            if not tried(each, partial(become, GATEWAY), "import gateway.app").returncode:
                return each
        except OSError:
            continue
    pytest.skip(f"there is no {name} here that other users can run")


def tried(python: str, before: Callable[[], None], code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """What becomes of a line of Python under another user."""
    words = [python, "-c", code, *map(str, words)]
    return subprocess.run(words, preexec_fn=before, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def owned(path: Path, user: int, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for each in (path, *path.rglob("*")):
        os.chown(each, user, user)
    path.chmod(mode)


async def test_a_gateway_of_another_user_has_its_log_written_and_can_neither_sign_nor_change_it(place, python):
    socket, keys = place / "run" / "log.sock", place / "writer-keys"
    async with upstream(echo) as up:
        write_place(place, up.port, log=f'socket = "{socket}"')
        token = token_of(place)
        os.chown(place / "notes.key", GATEWAY, GATEWAY)
        owned(place / "var", GATEWAY, 0o700)
        for path, mode in ((socket.parent, 0o755), (keys, 0o700), (place / "log", 0o700)):
            owned(path, WRITER, mode)
        words = ("log", "writer", "-C", place, "--keys", keys, "--allow-uid", GATEWAY, "--group", GATEWAY)
        async with command(*words, python=python, before=partial(become, WRITER, GATEWAY)) as (writer, _):
            found = socket.stat()
            assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (WRITER, GATEWAY, 0o660)
            async with process(place, python=python, before=partial(become, GATEWAY)) as (run, where):
                async with client_of(where["agents"], token) as client:
                    assert (await client.post("/tools/notes/notes", json={"text": "x"})).status_code == 200
                await asyncio.to_thread(others_stay_outside, python, socket, keys, place / "log")
                run.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(run.wait(), 30) == 0
            writer.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(writer.wait(), 30) == 0
            said = (await writer.stderr.read()).decode()
    assert f"of user {STRANGER} may not append" in said
    (opened,) = records(place, "worker.open")
    assert (opened["uid"], opened["pid"]) == (GATEWAY, run.pid)
    assert {record["w"] for record in records(place, "call")} == {opened["n"]}
    report = verify_folder(place / "log", keys=parse_keys((keys / "log.vkey").read_text()))
    assert (report.ok, report.unsigned) == (True, 0)
    assert not (place / "var" / "keys" / "log.key").exists()


def others_stay_outside(python: str, socket: Path, keys: Path, log: Path) -> None:
    for path, how in ((keys / "log.key", "r"), (keys / "log.vkey", "a"), (log / "log" / f"{0:020d}.jsonl", "r+"), (log / "checkpoint", "r+")):
        assert "PermissionError" in tried(python, partial(become, GATEWAY), OPEN, path, how).stderr, path
    assert "PermissionError" in tried(python, partial(become, STRANGER), CONNECT, socket).stderr
    let_in = tried(python, partial(become, STRANGER, group=GATEWAY), CONNECT, socket)
    assert let_in.stdout == "b''\n", "who is of the group may open the socket, and is sent away by the writer"
