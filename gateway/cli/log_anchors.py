"""What others hold of the log, for `portreeve log verify`: gathered before the log is read, judged after it, so that it can only have grown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_place import INCOMPLETE, KEY, TAMPERED, Where, stop
from gateway.cli.output import plural
from gateway.cli.progress import progress as show_progress
from gateway.fetch import Fetcher, FetchError
from gateway.record import (
    Anchors,
    Attested,
    BadHistory,
    BadNote,
    BadPolicy,
    BrokenLine,
    Claim,
    Report,
    WitnessPolicy,
    comparable_from,
    contradiction,
    history_claims,
    history_url,
    peer_claims,
    witness_claims,
)
from gateway.record.scraped import ANSWER_BYTES_MAX

DAY_S = 24 * 3600
PROMETHEUS_TIMEOUT_S = 60.0

PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus", metavar="URL", help="A Prometheus server that scrapes the gateway: every size and root it saw must fit.")
]
PrometheusDays = Annotated[int, typer.Option("--prometheus-days", metavar="N", min=1, max=3650, help="How far back its history is read.")]


PeerLogs = Annotated[
    list[Path] | None,
    typer.Option("--peer", metavar="DIR|FILE", help="The log of a gateway that has this one as a peer, or its records: what it saw must fit."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--witness-policy", metavar="FILE", help="TOML with quorum, within_s and keys: who must have cosigned the log, and when."),
]


@dataclass(frozen=True, slots=True)
class Others:
    """Whom `verify` is to ask."""

    prometheus: str | None
    prometheus_days: int
    peers: Sequence[Path]
    policy: Path | None


@dataclass(frozen=True, slots=True)
class Held:
    """What they hold. `told` is for the report."""

    claims: Sequence[Claim]
    told: str = ""


def held_by(where: Where, others: Others) -> Held:
    """Gather it, before the log is read. Ends the command when one has nothing, does not answer, or holds what the log has not signed."""
    found = _prometheus_claims(where, others.prometheus, others.prometheus_days)
    for peer in others.peers:
        found += _peer_claims(where, peer)
    if others.policy is None:
        return Held(found)
    attested, policy = _witnessed(where, others.policy)
    if len(attested.ages_s) < policy.quorum:
        stop(
            INCOMPLETE,
            f"{len(attested.ages_s)} of the {len(policy.keys)} witnesses cosigned the log in the last {policy.within_s} s, and {policy.quorum} must have",
        )
    told = f"; cosigned by {len(attested.ages_s)} of {len(policy.keys)} witnesses, last {attested.ages_s[0]} s ago"
    return Held([*found, *attested.claims], told)


def _peer_claims(where: Where, peer: Path) -> list[Claim]:
    origin = where.reader().origin
    try:
        found = peer_claims(peer, origin, where.keys)
    except BadNote as error:
        stop(KEY, f"{peer}: it holds a checkpoint of {origin} that the log has not signed: {error}")
    except BrokenLine as error:
        stop(INCOMPLETE, f"{peer}: {error}")
    if not found:
        stop(INCOMPLETE, f"{peer}: it has recorded nothing of {origin}")
    return found


def _witnessed(where: Where, path: Path) -> tuple[Attested, WitnessPolicy]:
    try:
        policy = WitnessPolicy.parse(path.read_bytes())
        reader = where.reader()
        own = [key for key in where.keys if key.name == reader.origin]  # a cosigned checkpoint of another log says nothing of this one
        return witness_claims(Anchors(reader.folder).notes(), policy, own, int(time.time())), policy
    except BadPolicy as error:
        raise typer.BadParameter(f"{path}: {error}") from error
    except BadNote as error:
        stop(KEY, f"a cosigned checkpoint: {error}")


def _prometheus_claims(where: Where, url: str | None, days: int) -> list[Claim]:
    """Every size and root that a Prometheus server has scraped of the log. Ends the command when it has none, or does not answer."""
    if url is None:
        return []
    origin = where.reader().origin
    try:
        found = asyncio.run(_scraped(url, origin, days))
    except (FetchError, BadHistory) as error:
        stop(INCOMPLETE, f"{url}: {error}")
    if not found:
        stop(INCOMPLETE, f"{url}: it has scraped nothing of {origin} in {plural(days, 'day')}")
    return found


async def _scraped(url: str, origin: str, days: int) -> list[Claim]:
    now = time.time()
    found: list[Claim] = []
    fetcher = Fetcher(timeout_s=PROMETHEUS_TIMEOUT_S)
    for day in range(days):
        query = history_url(url, origin, end_s=now - day * DAY_S, window_s=DAY_S)
        answer = await fetcher.get(query, bytes_max=ANSWER_BYTES_MAX)
        if answer.status != 200:
            raise BadHistory(f"it answers with {answer.status}")
        found += history_claims(answer.body, origin)
    return found


def judged(report: Report, where: Where, held: Held) -> Report:
    """The report on a log, after looking whether what others hold is true of it: also on one of which only something is missing that it tells of
    itself, by pruning or an accepted loss, because that is what somebody would say who had something to hide.
    """
    told_of_itself = report.exit_code == INCOMPLETE and report.first_bad is None and report.root
    if not held.claims or not (report.ok or told_of_itself):
        return report
    folder = where.reader().folder
    begins = comparable_from(folder)
    claims = [claim for claim in held.claims if claim.size >= begins]
    try:
        with show_progress("comparing with others", None) as progress:
            found = contradiction(folder, claims, progress)
    except OSError as error:
        return replace(report, exit_code=INCOMPLETE, message=f"a file cannot be read: {error.strerror} ({error.filename})")
    if found is not None:
        return replace(report, exit_code=TAMPERED, message=str(found), first_bad=None)
    told = f"{report.message}; {plural(len(claims), 'state')} that others have seen agree with it{held.told}"
    if len(claims) == len(held.claims):
        return replace(report, message=told)
    past = plural(len(held.claims) - len(claims), "older one")
    return replace(
        report, exit_code=INCOMPLETE, message=f"{told}; {past} cannot be compared: what was before {begins} was pruned with its leaf hashes"
    )
