"""Looks at every part of a deployment without starting it, and without leaving anything behind: no log, no key, no connection to a tool."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from gateway.authorize import Bundle, load_bundle
from gateway.authorize.cases import read_cases
from gateway.cli.output import plural
from gateway.config.agreement import notices
from gateway.config.load import FILE, load
from gateway.config.model import Listener, Settings
from gateway.errors import Problem, Problems
from gateway.identify.transit import open_keys
from gateway.identities import Identities, load_identities
from gateway.inject import Credentials
from gateway.record import NoteSigner
from gateway.shadowing import Candidate, load_candidate
from gateway.tools.catalogue import Catalogue

ANSWER_TIMEOUT_S = 1.0
ANSWER_BYTES_MAX = 65_536

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Part:
    """What came of one part: `ok`, `failed`, or `skipped` because it rests on a part that failed. `detail` is for a person."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    detail: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """All parts in order, all problems, and what works but should be meant."""

    folder: Path
    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...] = ()


class _Findings:
    """Runs the parts one after the other and keeps what they said."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.problems: list[Problem] = []

    def look(self, name: str, part: Callable[[], tuple[str, _Value]]) -> _Value | None:
        """The part's value, None when it failed."""
        try:
            detail, value = part()
        except (Problem, Problems) as error:
            found = error.problems if isinstance(error, Problems) else (error,)
            self.problems += found
            self.parts.append(Part(name, "failed", plural(len(found), "problem")))
            return None
        self.parts.append(Part(name, "ok", detail))
        return value

    def skip(self, name: str, because: str) -> None:
        self.parts.append(Part(name, "skipped", f"not looked at: {because} failed"))


def inspect(folder: Path) -> Inspection:
    """Look at everything. Never raises Problems: they are in the answer."""
    findings = _Findings()
    settings = findings.look("settings", lambda: _settings(folder))
    if settings is None:
        return Inspection(folder, tuple(findings.parts), tuple(findings.problems))
    identities = findings.look("identities", lambda: _identities(settings))
    catalogue = findings.look("contracts", lambda: _contracts(settings))
    if identities is not None and catalogue is not None:
        bundle = findings.look("policies", lambda: _policies(settings, catalogue, identities))
        candidate = load_candidate(settings, catalogue, identities)
    else:
        bundle = candidate = None
        findings.skip("policies", "identities" if identities is None else "contracts")
    credentials = findings.look("credentials", lambda: _credentials(settings))
    findings.look("keys", lambda: _keys(settings))
    findings.look("log", lambda: _log(settings))
    findings.look("listeners", lambda: _listeners(settings))
    noted = list(catalogue.notes) if catalogue is not None else []
    noted += [_placed(warning, settings.policies) for warning in bundle.warnings] if bundle is not None else []
    noted += credentials.notices() if credentials is not None else []
    if candidate is not None and settings.candidate is not None:
        noted += [_placed(problem, settings.candidate) for problem in candidate.problems]
        findings.parts.append(_candidate(candidate))
    noted += [Problem(f.code, f.message, file=str(settings.folder / FILE), key=key, remedy=f.remedy) for key, f in notices(settings)]
    return Inspection(settings.folder, tuple(findings.parts), tuple(findings.problems), tuple(noted))


def _settings(folder: Path) -> tuple[str, Settings]:
    settings = load(folder)
    count = sum(path.suffix == ".toml" for path in settings.files)
    return f"{plural(len(settings.tools), 'tool')}, {plural(len(settings.credentials), 'credential')} in {plural(count, 'file')}", settings


def _identities(settings: Settings) -> tuple[str, Identities]:
    identities = load_identities(settings.identities)
    stopped = sum(agent.status != "active" for agent in identities.agents.values())
    detail = plural(len(identities.agents), "agent") + (f", {stopped} of them stopped" if stopped else "")
    return f"{detail}, {plural(len(identities.issuers), 'issuer')}", identities


def _contracts(settings: Settings) -> tuple[str, Catalogue]:
    catalogue = Catalogue.load(settings)
    without = [name for name, tool in catalogue.tools.items() if tool.contract is None]
    named = [o for o in catalogue.operations() if o.tool not in without and o.name != "unmapped"]
    detail = f"{plural(len(named), 'operation')} of {plural(len(catalogue.tools) - len(without), 'tool')}"
    return detail + (f"; no contract, so arguments are not seen: {', '.join(sorted(without))}" if without else ""), catalogue


def _policies(settings: Settings, catalogue: Catalogue, identities: Identities) -> tuple[str, Bundle]:
    """Policies name their files from the folder above them; here they are placed where the reader stands."""
    today = datetime.now(UTC).date()
    try:
        bundle = load_bundle(settings.policies, catalogue.operations(), settings.tools.values(), identities, today=today)
    except Problems as found:
        raise Problems([_placed(problem, settings.policies) for problem in found.problems]) from found
    passed = plural(len(read_cases(settings.policies)), "case")
    return f"{plural(bundle.policy_count, 'rule')}, {passed} passed", bundle


def _placed(problem: Problem, policies: Path) -> Problem:
    return problem.moved(str(policies.parent / problem.file) if problem.file else "")


def _candidate(candidate: Candidate) -> Part:
    """Policies that decide nothing yet cannot fail a deployment; what is wrong with them is a notice."""
    if candidate.bundle is None:
        return Part(
            "candidate", "skipped", f"does not load ({plural(len(candidate.problems), 'problem')}); the policies in force do not depend on it"
        )
    return Part("candidate", "ok", f"{plural(candidate.bundle.policy_count, 'rule')}, tried beside those in force")


def _credentials(settings: Settings) -> tuple[str, Credentials]:
    credentials = Credentials.load(settings)
    problems = credentials.check()
    if problems:
        raise Problems(problems)
    return f"{plural(len(settings.credentials), 'credential')} readable", credentials


def _keys(settings: Settings) -> tuple[str, None]:
    """Open what is there; what is not is made at the first start, so only its folder must allow that."""
    if (settings.keys / "active.pem").exists():
        open_keys(settings)
    if (settings.keys / "log.key").exists():
        NoteSigner.open(settings.keys)
    elif not (settings.keys / "active.pem").exists():
        _require_writable(settings.keys, "gateway.keys")
        return "made at the first start", None
    return "readable by the gateway alone", None


def _log(settings: Settings) -> tuple[str, None]:
    folder = settings.log.folder
    if settings.log.socket is not None:
        return f"written by the process that listens at {settings.log.socket}{'' if settings.log.socket.is_socket() else ' (nothing does now)'}", None
    there = _require_writable(folder, "log.folder")
    free = shutil.disk_usage(there).free
    wanted = settings.log.low_water_bytes + settings.log.reserve_bytes
    if free < wanted:
        message = f"has {free:,} bytes free, and calls stop below {wanted:,}"
        raise Problem("disk_low", message, file=str(folder), key="log.folder", remedy="free some space, or move the log to a larger disk")
    return f"writable, {free / 2**30:,.1f} GiB free", None


def _require_writable(folder: Path, key: str) -> Path:
    """The folder, or the nearest one above it that exists, having written and removed a file there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        remedy = "let the gateway's account write there, or choose another folder"
        raise Problem("not_writable", f"cannot be written: {error.strerror}", file=str(there), key=key, remedy=remedy) from error
    return there


def _listeners(settings: Settings) -> tuple[str, None]:
    both = {"agents": settings.agents, "admin": settings.admin}
    taken = {name: error for name, listener in both.items() if (error := _bind_error(listener))}
    shown = " and ".join(f"{listener.host}:{listener.port}" for listener in both.values())
    if not taken:
        return f"{shown} are free", None
    if _is_served_here(settings):
        return f"{shown} are served by this deployment's gateway, which is running", None
    raise Problems(list(_taken(both, taken, settings)))


def _taken(both: dict[str, Listener], taken: dict[str, OSError], settings: Settings) -> Iterator[Problem]:
    for name, error in taken.items():
        message = f"cannot listen on {both[name].host}:{both[name].port}: {error.strerror}"
        remedy = "stop what listens there, or choose another address"
        yield Problem("address_in_use", message, file=str(settings.folder / FILE), key=f"listen.{name}.address", remedy=remedy)


def _bind_error(listener: Listener) -> OSError | None:
    try:
        kind, _, _, _, where = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: connections that just ended are no obstacle
            trial.bind(where)
    except OSError as error:
        return error
    return None


def _is_served_here(settings: Settings) -> bool:
    """Whether the admin listener answers for this deployment's log: then the gateway is running, and the addresses are rightly taken."""
    connection = http.client.HTTPConnection(settings.admin.host, settings.admin.port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read(ANSWER_BYTES_MAX))
        return bool(answer["log"]["origin"] == settings.log.origin)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()
