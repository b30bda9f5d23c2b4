"""Takes out of a record what it may not hold in clear, and puts it back for a reader who has the keys.

In place of a value stands a marker: `{"$seal": key, "c": commitment}`, `{"$hmac": digest, "key": key}` or `{"$drop": type, "len": length}`. The member
`redacted` of `authz` lists the places of the markers, so an argument that looks like one is not taken for one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.call import Basis, Identity, Operation, ToolCall
from gateway.canonical import Json, dumps, loads_trusted
from gateway.config.model import LogSettings
from gateway.errors import Problem, Refusal
from gateway.logmode import REDACTED, LogMode, parts_of, pointer_of
from gateway.record.keyring import BadSeal, DataKey, Keyring, keys_of
from gateway.record.line import BrokenLine
from gateway.record.payload import PayloadReader, payload_line
from gateway.record.redaction import Place, places, rules_for, shown_path

Why = Literal["sealed", "erased", "lost", "dropped"]
"""Why inputs cannot be shown: no key is at hand, the key was destroyed, the payload is not there, or they were never kept."""


WITHHELD: dict[Why, str] = {
    "lost": "inputs lost: their payload is not in the log's folder",
    "dropped": "inputs withheld by redaction",
    "erased": "inputs erased",
    "sealed": "inputs sealed, and the keys of the deployment not at hand",
}
"""In the order in which they are told where there are several."""

MODES: dict[str, LogMode] = {"$seal": "seal", "$hmac": "hmac", "$drop": "drop"}
"""By the member that makes a marker."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A decision some of whose inputs cannot be had. In `authz`, as recorded but for what could be opened, markers stand in the place of those, and
    REDACTED lists them; `places` are the same, each with the mode in which it is held.
    """

    why: Why
    authz: Mapping[str, Json]
    places: Mapping[str, LogMode]

    def __str__(self) -> str:
        return f"{WITHHELD[self.why]}: {', '.join(f'{pointer} ({mode})' for pointer, mode in self.places.items())}"


def subject_of(identity: Identity) -> str:
    """Whose data a call's arguments are taken to be: the user's for whom the agent acts, else the agent's own."""
    return f"agent:{identity.agent}" if identity.user is None else f"user:{identity.user}"


class Redactor:
    """The writing side. `default` is for arguments of which neither contract nor policy speaks."""

    def __init__(self, keyring: Keyring, origin: str, default: LogMode) -> None:
        self._keyring = keyring
        self._origin = origin
        self._default = default

    @classmethod
    def open(cls, settings: LogSettings, keys: Path) -> Redactor:
        """For the log of a deployment whose keys are in the folder `keys`. Raises Problem."""
        return cls(Keyring.open(keys_of(settings, keys), settings.origin, keys), settings.origin, settings.arguments)

    def close(self) -> None:
        self._keyring.close()

    def look(self) -> None:
        """See now what another process has done to the keys, not in a second."""
        self._keyring.look()

    async def apply(self, body: dict[str, Json], call: ToolCall, identity: Identity, operation: Operation | None, basis: Basis | None) -> bytes:
        """Redact the body of a `call` record in place; returns the line of its payload, or nothing. Raises Refusal when there is no key.

        `operation` is None where the tool is unknown, `basis` where policy was not asked.
        """
        rules = rules_for(operation.log if operation else (), basis.obligations if basis else (), self._default)
        if rules is None:
            return b""
        template = operation.template if operation else ""
        body["what"]["path"] = shown_path(body["what"]["path"], template, rules)
        if basis is None:
            return b""
        context = loads_trusted(basis.context)
        found = places(context, len(basis.errors), rules, template)
        if not found:
            return b""
        authz = body["authz"] = {**body["authz"], "ctx": context, "errors": list(basis.errors), REDACTED: sorted(map(pointer_of, found))}
        key = None if set(found.values()) == {"drop"} else await self._key(subject_of(identity))
        return self._redact(authz, found, call.id, key)

    async def _key(self, subject: str) -> DataKey:
        try:
            known = self._keyring.known(subject)
            return known if known is not None else await asyncio.to_thread(self._keyring.key_for, subject)
        except (sqlite3.Error, Problem) as error:
            raise Refusal("log_unavailable", reason=f"there is no key to seal arguments under: {type(error).__name__}") from error

    def _redact(self, authz: dict[str, Json], found: Mapping[Place, LogMode], call_id: str, key: DataKey | None) -> bytes:
        sealed: dict[str, bytes] = {}
        for place, mode in found.items():
            holder, last = _holder(authz, place)
            pointer = pointer_of(place)
            value = dumps(holder[last])
            if mode == "drop":
                holder[last] = _kind_of(holder[last])
                continue
            assert key
            if mode == "hmac":
                holder[last] = {"$hmac": key.digest(value, pointer.encode()), "key": key.id}
                continue
            about = _about(self._origin, call_id, pointer)
            sealed[pointer] = key.seal(value, about)
            holder[last] = {"$seal": key.id, "c": key.commitment(value, about)}
        return payload_line(call_id, key.id, sealed) if sealed and key else b""


class Unsealer:
    """The reading side: gives recorded decisions back as they were made."""

    def __init__(self, keyring: Keyring | None, payloads: PayloadReader, origin: str) -> None:
        self._keyring = keyring
        self._payloads = payloads
        self._origin = origin

    def open(self, authz: Mapping[str, Json], call_id: str, first: int) -> Mapping[str, Json] | Withheld:
        """The decision in clear, or why it cannot be had. `first` names the segment. Raises BrokenLine where something was put in a value's place."""
        listed = authz.get(REDACTED)
        if listed is None:
            return authz
        clear: dict[str, Json] = loads_trusted(dumps({name: value for name, value in authz.items() if name != REDACTED}))
        row = self._payloads.find(first, call_id)
        withheld: dict[str, Why] = {}
        modes: dict[str, LogMode] = {}
        try:
            for pointer in listed:
                holder, last = _holder(clear, parts_of(pointer))
                mode = MODES[next(iter(holder[last].keys()))]
                found = self._value(holder[last], pointer, call_id, row[1] if row else {}) if mode == "seal" else "dropped"
                if isinstance(found, str):
                    withheld[pointer], modes[pointer] = found, mode
                else:
                    holder[last] = loads_trusted(found)
        except (BadSeal, AttributeError, KeyError, IndexError, TypeError, ValueError, StopIteration) as error:
            raise BrokenLine(f"the sealed inputs of call {call_id} are not those that were recorded") from error
        if not withheld:
            return clear
        return Withheld(next(why for why in WITHHELD if why in withheld.values()), {**clear, REDACTED: list(withheld)}, modes)

    def _value(self, marker: Mapping[str, Json], pointer: str, call_id: str, sealed: Mapping[str, str]) -> bytes | Why:
        """The canonical JSON of one value, or why it cannot be had. Raises what a wrong marker or payload raises."""
        try:
            key = self._keyring.find(marker["$seal"]) if self._keyring else None
        except KeyError:  # of the keyring: a marker without `$seal` did not come here
            return "sealed"
        if key is None:
            return "erased" if self._keyring else "sealed"
        if pointer not in sealed:
            return "lost"
        about = _about(self._origin, call_id, pointer)
        try:
            value = key.open(base64.b64decode(sealed[pointer], validate=True), about)
        except binascii.Error as error:
            raise BadSeal("the payload is no base64") from error
        if not hmac.compare_digest(key.commitment(value, about), marker["c"]):
            raise BadSeal("the payload is not what the chain is committed to")
        return value


def _about(origin: str, call_id: str, pointer: str) -> bytes:
    return f"{origin}\n{call_id}\n{pointer}".encode()


def _holder(value: Json, place: Place) -> tuple[Json, Json]:
    """The object or list in which a place is, and its name or number there."""
    for part in place[:-1]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value, int(place[-1]) if isinstance(value, list) else place[-1]


def _kind_of(value: Json) -> dict[str, Json]:
    """All that is kept of a dropped value. The length of a number says something of it, so it has none."""
    kinds = {str: "string", bool: "boolean", int: "number", float: "number", list: "list", dict: "record", type(None): "null"}
    if isinstance(value, dict) and "__extn" in value:
        return {"$drop": "number" if value["__extn"]["fn"] == "decimal" else "time"}
    return {"$drop": kinds[type(value)], **({"len": len(value)} if isinstance(value, str | list | dict) else {})}
