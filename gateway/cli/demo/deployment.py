"""The demo's deployment: the sample that everybody gets, moved to free ports and to the demo's upstream."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.init import write_sample

AGENTS_ADDRESS, ADMIN_ADDRESS = "127.0.0.1:8080", "127.0.0.1:9090"
UPSTREAMS = {"api": "127.0.0.1:9801", "flaky": "127.0.0.1:9802", "dead": "127.0.0.1:9803"}
KEY_FILE = "var/secrets/tickets.key"


def write_deployment(folder: Path, api_key: str, ports: Mapping[str, int]) -> None:
    """Write the sample into a new folder, with this upstream's ports and key. Raises Problems when the sample is not as it should be."""
    write_sample(folder)
    moves = {UPSTREAMS[name]: f"127.0.0.1:{ports[name]}" for name in UPSTREAMS}
    moves |= dict(zip((AGENTS_ADDRESS, ADMIN_ADDRESS), (f"127.0.0.1:{port}" for port in free_ports(2)), strict=True))
    settings = folder / "gateway.toml"
    text = settings.read_text()
    for old, new in moves.items():
        text = text.replace(old, new)
    settings.write_text(text)
    key = folder / KEY_FILE
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key.touch(0o600)
    key.write_text(api_key)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. They are held until all are known, so that no two are the same."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
