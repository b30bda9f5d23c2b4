"""Records what goes into force, before it does, with everything that it is made of: the log alone says what a decision was made by."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.call import Blob
from gateway.record import Log
from gateway.state import State
from gateway.tools.catalogue import Catalogue


async def announce(log: Log, state: State, before: State | None = None) -> None:
    """Write a `contract.load` for each contract that `before` did not have, then `policy.load`. Raises Refusal; then nothing may go into force.

    One record a contract, because each may be large. The candidate is kept as well: `shadow` records name it.
    """
    known = _contracts(before.catalogue) if before else {}
    for tool, contract in _contracts(state.catalogue).items():
        if known.get(tool) != contract:
            await log.append("contract.load", {"tool": tool, "contract": contract.digest}, blobs=(contract,))
    candidate = state.candidate.bundle if state.candidate else None
    blobs = (state.bundle.policies, state.bundle.schema, state.stored, state.catalogue.index, *((candidate.policies,) if candidate else ()))
    await log.append("policy.load", {"state": state.digest, **state.parts}, blobs=blobs)


def _contracts(catalogue: Catalogue) -> Mapping[str, Blob]:
    return {name: tool.contract for name, tool in catalogue.tools.items() if tool.contract is not None}
