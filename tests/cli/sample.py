"""The sample deployment, copied, and a decision log written for it by its own policies."""

from __future__ import annotations

import shutil
from pathlib import Path

from typer.testing import CliRunner

from gateway.authorize.cases import ask, case_of
from gateway.canonical import Json
from gateway.cli.policy import app
from gateway.cli.policy_deployment import Deployment
from gateway.record import NoteSigner, open_log
from gateway.record.bodies import authz_body

ROOT = Path(__file__).resolve().parents[2]


def copy_sample(folder: Path) -> Path:
    for name in ("policies", "identities", "tools"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "gateway.toml", folder)
    return folder


def call_of(operation: str, arguments: dict[str, Json], agent: str = "support-bot", **more: Json) -> dict[str, Json]:
    tool, _, name = operation.partition("/")
    return {"agent": agent, "tool": tool, "operation": name, "arguments": arguments, **more}


async def write_log(folder: Path, calls: list[dict[str, Json]]) -> None:
    """Decide each call by the folder's policies and record it: numbers 1, 2, 3 ... after the log's own first record."""
    deployment = Deployment.read(folder)
    bundle = deployment.bundle()
    log = await open_log(deployment.settings.log, NoteSigner.open(deployment.settings.keys))
    try:
        for call in calls:
            verdict = ask(bundle, case_of(call))
            assert not isinstance(verdict, str), verdict
            await log.append(
                "call", {"code": "", "authz": authz_body(verdict.basis)}, blobs=(verdict.basis.policies, verdict.basis.schema, verdict.basis.entities)
            )
    finally:
        await log.close()


def run(*words: object):
    """One `portreeve policy` command. What it raises is raised, but for its exit."""
    done = CliRunner().invoke(app, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done
