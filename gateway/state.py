"""One loaded deployment: what a call sees from its first step to its last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.authorize import Bundle
from gateway.call import Blob
from gateway.canonical import Json
from gateway.config.model import Settings
from gateway.identify import Identifier, SigningKeys
from gateway.inject import Credentials
from gateway.shadowing import Candidate
from gateway.tools.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class State:
    """One loaded deployment. Calls in flight keep theirs while the next one goes live. `parts` names what it is made of, for the log, which keeps
    the settings as `stored`.
    """

    settings: Settings
    catalogue: Catalogue
    identifier: Identifier
    bundle: Bundle
    credentials: Credentials
    keys: SigningKeys
    digest: str
    stored: Blob
    parts: Mapping[str, Json]
    agents: int
    candidate: Candidate | None = None
