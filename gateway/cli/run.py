"""`portreeve run`: runs a command as an agent, with a token that stays fresh while the command lives and is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from gateway.cli.agent_tokens import KeyFile, Origin, Url, origin_of
from gateway.cli.identity import Minted, new_run, wish_of
from gateway.cli.options import Folder, ForUser, Scopes, Ttl
from gateway.errors import Problem, Problems

RENEW_AT = 0.8
"""Of a token's life, so that a call which just read the old one still has time."""

EXIT_NOT_FOUND = 127
EXIT_NOT_EXECUTABLE = 126

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class TokenFile:
    """A file, readable by its owner alone, that always holds one whole token."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "token"

    def write(self, text: str) -> None:
        """Replace the token at once: a reader sees the old one or the new one."""
        draft = self.path.with_suffix(".new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        draft.replace(self.path)


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD [ARGS]...", help="The command, after two hyphens.")],
    agent: Annotated[str, typer.Option("--as", metavar="AGENT", help="The agent it runs as.")],
    *,
    for_user: ForUser = None,
    ttl: Ttl = None,
    scope: Scopes = None,
    url: Url = "",
    key: KeyFile = None,
    folder: Folder = Path(),
) -> None:
    """Run a command as an agent and exit with its code.

    The command finds PORTREEVE_URL, PORTREEVE_RUN, PORTREEVE_TOOL_NAME_URL for each tool, PORTREEVE_TOKEN (the first token) and PORTREEVE_TOKEN_FILE:
    a file that holds a fresh token all the time the command runs, and is removed when it ends. A token that came from the gateway's token service is revoked then.
    gateway.client reads that file by itself; a program that takes a fixed token can use PORTREEVE_TOKEN while that lives.

    Example: portreeve run --as support-bot -- python agent.py
    """
    name = new_run()
    origin = origin_of(agent, wish_of(for_user, ttl, scope, run=name), folder, url, key)
    inherited = {given: value for given, value in origin.environment().items() if given != "PORTREEVE_KEY_FILE"}  # the command has its token
    with _relayed_signals() as relay, _ended(origin):
        first = origin.token()
        with tempfile.TemporaryDirectory(prefix="portreeve-") as private:  # made 0700
            file = TokenFile(Path(private))
            file.write(first.token.reveal())
            own = {**origin.variables(first.token), "PORTREEVE_TOKEN_FILE": str(file.path), "PORTREEVE_RUN": name, "PORTREEVE_AGENT": agent}
            with _renewed(file, origin.token, first.life_s * RENEW_AT):
                code = _execute(command, {**inherited, **own}, relay)
    raise typer.Exit(code)


@contextmanager
def _ended(origin: Origin) -> Iterator[None]:
    """Revoke the last token when the block ends. That it could not be is said: it ends by itself within minutes."""
    try:
        yield
    finally:
        try:
            origin.end()
        except Problem as problem:
            print(f"portreeve: the token was not revoked: {problem}", file=sys.stderr)


@contextmanager
def _renewed(file: TokenFile, fresh: Callable[[], Minted], every_s: float) -> Iterator[None]:
    """Keep the file's token fresh until the block ends. What goes wrong is said, and tried again next time: the old token still has life."""
    stopped = threading.Event()

    def renew() -> None:
        while not stopped.wait(every_s):
            try:
                file.write(fresh().token.reveal())
            except (Problem, Problems, OSError) as error:
                print(f"portreeve: the token was not renewed: {error}", file=sys.stderr)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


class _Relay:
    """Passes signals on to the command; those that come before it has started wait for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._waiting.append(number)
        else:
            self._process.send_signal(number)

    def start(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._waiting:
            process.send_signal(number)


@contextmanager
def _relayed_signals() -> Iterator[_Relay]:
    """Whoever stops us stops the command. From before the token file is made until it is gone, no signal ends us in between."""
    relay = _Relay()
    before = {number: signal.signal(number, relay) for number in _PASSED_ON}
    # A terminal sends Ctrl-C to the command, too; passing it on as well would interrupt its clean-up. (A handler, since SIG_IGN would be inherited.)
    before[signal.SIGINT] = signal.signal(signal.SIGINT, (lambda *_: None) if os.isatty(0) else relay)
    try:
        yield relay
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _execute(command: list[str], environment: dict[str, str], relay: _Relay) -> int:
    """The command's exit code as a shell gives it."""
    try:
        process = subprocess.Popen(command, env=environment)  # noqa: S603 - running the user's own command is the purpose
    except FileNotFoundError:
        print(f"portreeve: {command[0]}: command not found", file=sys.stderr)
        return EXIT_NOT_FOUND
    except PermissionError:
        print(f"portreeve: {command[0]}: not executable", file=sys.stderr)
        return EXIT_NOT_EXECUTABLE
    relay.start(process)
    code = process.wait()
    return code if code >= 0 else 128 - code
