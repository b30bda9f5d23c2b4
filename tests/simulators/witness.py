"""A real witness on a port of its own, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config.model import WitnessSettings
from gateway.doors.server import serve
from gateway.doors.witness import WITNESS_LIMITS, witness_app
from gateway.record import Cosigner, NoteKey, Witness

COSIGNER = Cosigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))


@contextlib.asynccontextmanager
async def witnessing(folder: Path, logs: Mapping[str, Sequence[NoteKey]], cosigner: Cosigner = COSIGNER) -> AsyncIterator[WitnessSettings]:
    """Gives what a gateway that uses it has in its settings."""
    with contextlib.closing(Witness(folder, cosigner, logs)) as witness:
        server = await serve(witness_app(witness, lambda _: None), ("127.0.0.1", 0), WITNESS_LIMITS, on_refusal=lambda *_: None)
        try:
            yield WitnessSettings("w1", f"http://127.0.0.1:{server.port}", str(cosigner.key), timeout_s=5.0)
        finally:
            await server.stop(0)
