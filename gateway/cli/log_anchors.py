"""What others hold of the log, for `portreeve log verify`: gathered before the log is read, judged after it, so that it can only have grown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from gateway.cli.log_place import INCOMPLETE, TAMPERED, Where, stop
from gateway.cli.output import plural
from gateway.cli.progress import progress as show_progress
from gateway.forward.fetch import Fetcher, FetchFailed
from gateway.record import BadHistory, Claim, Report, contradiction, history_claims, history_url
from gateway.record.scraped import ANSWER_BYTES_MAX

DAY_S = 24 * 3600
PROMETHEUS_TIMEOUT_S = 60.0

PrometheusUrl = Annotated[
    str | None, typer.Option("--prometheus", metavar="URL", help="A Prometheus server that scrapes the gateway: every size and root it saw must fit.")
]
PrometheusDays = Annotated[int, typer.Option("--prometheus-days", metavar="N", min=1, max=3650, help="How far back its history is read.")]


def prometheus_claims(where: Where, url: str | None, days: int) -> list[Claim]:
    """Every size and root that a Prometheus server has scraped of the log. Ends the command when it has none, or does not answer."""
    if url is None:
        return []
    origin = where.reader().origin
    try:
        found = asyncio.run(_scraped(url, origin, days))
    except (FetchFailed, BadHistory) as error:
        stop(INCOMPLETE, f"{url}: {error}")
    if not found:
        stop(INCOMPLETE, f"{url}: it has scraped nothing of {origin} in {plural(days, 'day')}")
    return found


async def _scraped(url: str, origin: str, days: int) -> list[Claim]:
    now = time.time()
    found: list[Claim] = []
    async with Fetcher() as fetcher:
        for day in range(days):
            query = history_url(url, origin, end_s=now - day * DAY_S, window_s=DAY_S)
            answer = await fetcher.get(query, bytes_max=ANSWER_BYTES_MAX, timeout_s=PROMETHEUS_TIMEOUT_S)
            if answer.status != 200:
                raise BadHistory(f"it answers with {answer.status}")
            found += history_claims(answer.body, origin)
    return found


def judged(report: Report, where: Where, claims: Sequence[Claim]) -> Report:
    """The report on a log, after looking whether what others hold is true of it."""
    if not report.ok or not claims:
        return report
    with show_progress("comparing with others", None) as progress:
        found = contradiction(where.reader().folder, claims, progress)
    if found is not None:
        return replace(report, exit_code=TAMPERED, message=str(found), first_bad=None)
    return replace(report, message=f"{report.message}; {plural(len(claims), 'state')} that others have seen agree with it")
