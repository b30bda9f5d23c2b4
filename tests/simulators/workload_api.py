"""A SPIFFE Workload API on a Unix socket, as the agent of a mesh serves it: JWT-SVIDs and the bundle that verifies them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from spiffe._proto import workload_pb2, workload_pb2_grpc

from tests.identify.foreigners import Foreigner
from tests.identify.forge import ABSENT

TRUST_DOMAIN = "example.org"


class WorkloadApi(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Vouches for one workload."""

    def __init__(self, spiffe_id: str) -> None:
        self.spiffe_id = spiffe_id
        self.authority = Foreigner()

    def bundle(self) -> bytes:
        key = {**self.authority.jwks()["keys"][0], "use": "jwt-svid"}
        return json.dumps({"keys": [key], "spiffe_sequence": 1, "spiffe_refresh_hint": 300}).encode()

    def FetchJWTSVID(self, request: Any, context: Any) -> Any:
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():  # against requests that a page could forge
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing")
        now = int(time.time())
        audience = list(request.audience)
        text = self.authority.token(sub=self.spiffe_id, aud=audience, iss=ABSENT, jti=ABSENT, iat=now, exp=now + 300)
        return workload_pb2.JWTSVIDResponse(svids=[workload_pb2.JWTSVID(spiffe_id=self.spiffe_id, svid=text)])

    def FetchJWTBundles(self, request: Any, context: Any) -> Iterator[Any]:
        yield workload_pb2.JWTBundlesResponse(bundles={f"spiffe://{TRUST_DOMAIN}": self.bundle()})


@contextlib.contextmanager
def workload_api(folder: Path, spiffe_id: str) -> Iterator[tuple[str, WorkloadApi]]:
    """Serve until the block ends. Gives the socket's address as SPIFFE_ENDPOINT_SOCKET has it."""
    api = WorkloadApi(spiffe_id)
    server = grpc.server(ThreadPoolExecutor(4))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)
    address = f"unix:{folder / 'api.sock'}"
    server.add_insecure_port(address)
    server.start()
    try:
        yield address, api
    finally:
        server.stop(0).wait()
