"""The demo as a newcomer runs it: in a process of its own, from the first line to the last, leaving nothing behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gateway.cli.demo.agents import Answer
from gateway.cli.demo.command import _whole
from gateway.cli.demo.scenes import Play, nothing_arrived
from gateway.cli.demo.show import Line, Screen, as_expected
from gateway.cli.demo.stage import Stage, StageError, first_line, running

DEMO = [sys.executable, "-m", "gateway", "demo"]
SECONDS_MAX = 120
"""Far beyond what it takes: a hung demo must fail the test, a slow machine must not."""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def expect_nothing_left(shown: dict) -> None:
    assert set(shown["processes"]) == {"upstream", "gateway"}
    assert not [name for name, process in shown["processes"].items() if is_running(process)]
    assert not Path(shown["folder"]).exists()


@pytest.mark.slow
def test_every_step_comes_out_as_expected_and_nothing_is_left_behind():
    done = subprocess.run([*DEMO, "--json"], check=False, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["ok"]
    answers = [step["answer"].split()[-1] for step in shown["steps"] if step["kind"] == "refused"]
    assert answers[:4] == ["401", "denied", "denied", "invalid_token"]
    assert {"path_refused", "malformed_json", "circuit_open"} <= set(answers)
    expect_nothing_left(shown)


@pytest.mark.slow
def test_a_kept_demo_clears_up_when_it_is_told_to_end():
    with subprocess.Popen([*DEMO, "--keep", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        shown = json.loads(process.stdout.readline())
        assert all(is_running(child) for child in shown["processes"].values())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, errors
    assert errors == ""
    expect_nothing_left(shown)


@pytest.mark.slow
def test_a_person_reads_it_on_80_columns_without_colour_and_copies_its_commands():
    with subprocess.Popen(
        [*DEMO, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"}
    ) as process:
        assert process.stdout
        lines = []
        while not lines or not lines[-1].startswith("Its policies are in"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        commands = [line for line in lines if line.startswith(("TOKEN=", "curl ")) or " log tail " in line]
        done = subprocess.run(["sh", "-ec", "".join(commands)], capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS_MAX)
    table = "".join(lines).partition("Everything keeps running")[0]
    assert process.returncode == 0
    assert "all as expected" in table
    assert "\x1b" not in table
    assert max(map(len, table.splitlines())) <= 80
    if shutil.which("curl"):
        assert done.returncode == 0, done.stderr
        for found in ('"T-1003"', '"code":"denied"', '"ready":true', "tickets/create_refund"):
            assert found in done.stdout


def test_an_unexpected_answer_is_shown_as_such():
    play = Play(Stage(Path(), Path(), {}, "", "", {}), agents=None)
    line = play.refused("agent", "what it tried", Answer(200, {}, b"{}"), 403, "denied")
    assert line.differed == "200 , not 403 denied"
    assert not as_expected([line])


def test_a_refused_call_that_reached_the_service_is_not_as_expected():
    refused = Line("agent", "what it tried", "403 denied", "", "refused")
    assert nothing_arrived(refused, 0) == refused
    assert nothing_arrived(refused, 1).differed == "1 calls reached the service"


async def test_a_scene_that_breaks_off_is_a_line_that_was_not_expected(tmp_path):
    async def scene(play):
        yield Line("agent", "first", "200", "", "allowed")
        raise ConnectionRefusedError("nobody is there")

    (tmp_path / "gateway.log").write_text("the log's disk is full\n")
    play = Play(Stage(tmp_path, tmp_path, {}, "", "", {}), agents=None)
    lines = [line async for line in _whole("A title", scene, play)]
    assert [line.who for line in lines] == ["agent", "demo"]
    assert "nobody is there; the gateway said last: the log's disk is full" in lines[1].differed


def test_a_demo_that_showed_nothing_did_not_succeed():
    assert not as_expected([])


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_width_and_say_what_differed(width):
    console = Console(width=width, record=True, file=io.StringIO())
    screen = Screen(console, quiet=False)
    screen.head()
    screen.line(Line("support-bot", "POST /refunds " * 6, "403 upstream_unreachable", "because " * 30, "refused", "200, not 403"))
    text = console.export_text()
    assert "NOT AS EXPECTED: 200, not 403" in text
    assert max(map(len, text.splitlines())) <= width


async def test_a_process_that_does_not_start_is_reported_with_its_last_words(tmp_path):
    async with running(["-c", "import sys; sys.exit('no port is free')"], tmp_path / "upstream.log") as process:
        with pytest.raises(StageError, match="upstream did not start: no port is free"):
            await first_line(process, tmp_path / "upstream.log")
    assert not is_running(process.pid)
