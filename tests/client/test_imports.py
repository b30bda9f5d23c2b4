"""What an agent's process loads with the client: nothing of the server."""

from __future__ import annotations

import subprocess
import sys

from tests.test_tidy import PACKAGE, imports

SERVER = ("starlette", "cedarpy", "uvicorn", "uvloop", "typer", "jsonschema_rs", "prometheus_client", "watchfiles", "yaml", "spiffe", "grpc")


def test_importing_the_client_loads_no_part_of_the_server():
    program = "import sys, gateway.client; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout.split())
    assert "httpx2" in loaded and not loaded & set(SERVER)


def test_the_client_rests_on_two_small_modules_of_the_gateway_alone():
    used = {name for path in (PACKAGE / "client").glob("*.py") for name, _, _ in imports(path) if name.startswith("gateway.")}
    assert {name for name in used if not name.startswith("gateway.client")} == {"gateway.errors", "gateway.secret"}
