"""What a Prometheus server has scraped of a log: its size and root at every scrape, read back as claims.

A root stands there as five samples of one scrape (`gateway.metrics`). Raw samples are asked for, not values at steps: each scrape counts, and
no value is carried over from an earlier one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from gateway.canonical import Json, JsonError, loads_trusted
from gateway.record.claims import Claim

PARTS = 5
PART_BITS = 52
ANSWER_BYTES_MAX = 64 * 1024 * 1024
_NAMES = "portreeve_log_size|portreeve_log_root"
_EXACT = 2**53


class BadHistory(ValueError):  # noqa: N818
    """The answer is not what a Prometheus server says. The text says why, and quotes nothing of it."""


def history_url(base: str, origin: str, *, end_s: float, window_s: int) -> str:
    """The query for all samples of one log in the `window_s` seconds up to `end_s`."""
    name = origin.replace("\\", "\\\\").replace('"', '\\"')
    query = f'{{__name__=~"{_NAMES}",origin="{name}"}}[{window_s}s]'
    return f"{base.rstrip('/')}/api/v1/query?query={quote(query, safe='')}&time={end_s:.3f}"


def history_claims(raw: bytes, origin: str) -> list[Claim]:
    """Every scrape of an answer as a claim. Raises BadHistory for an answer, or a scrape in it, that does not add up.

    A scrape that holds only some of the samples is refused, too: leaving one out must not be a way to hide a contradiction.
    """
    try:
        scrapes = _scrapes(loads_trusted(raw), origin)
        return [_claim(samples, at) for (_, at), samples in scrapes.items()]
    except BadHistory:
        raise
    except (JsonError, KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError) as error:
        raise BadHistory("not an answer of a Prometheus server") from error


def _scrapes(answer: Json, origin: str) -> Mapping[tuple[frozenset[tuple[str, str]], float], dict[str, int]]:
    """The samples by target and time: what one scrape saw."""
    if answer["status"] != "success" or answer["data"]["resultType"] != "matrix":
        raise BadHistory("the query was not answered")
    found: dict[tuple[frozenset[tuple[str, str]], float], dict[str, int]] = defaultdict(dict)
    for series in answer["data"]["result"]:
        source, name = _source(series["metric"], origin)
        for at, value in series["values"]:
            found[source, float(at)][name] = _whole(value)
    return found


def _source(labels: Mapping[str, Json], origin: str) -> tuple[frozenset[tuple[str, str]], str]:
    """Which target a series is of, and what it holds: `size` or the number of a part."""
    if labels["origin"] != origin:
        raise BadHistory("the answer is of another log")
    target = frozenset((str(k), str(v)) for k, v in labels.items() if k not in {"__name__", "part"})
    return target, "size" if labels["__name__"] == "portreeve_log_size" else str(labels["part"])


def _whole(text: Json) -> int:
    value = float(text)
    if not isinstance(text, str) or not 0 <= value < _EXACT or value != int(value):
        raise BadHistory("a sample is not a whole number that a float holds exactly")
    return int(value)


def _claim(samples: Mapping[str, int], at: float) -> Claim:
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    names = [str(part) for part in range(PARTS)]
    if samples.keys() != {"size", *names}:
        raise BadHistory(f"the scrape of {when} is not whole")
    root = sum(samples[name] << PART_BITS * int(name) for name in names)
    if any(samples[name] >> PART_BITS for name in names):
        raise BadHistory(f"the scrape of {when} holds no root")
    return Claim(samples["size"], root.to_bytes(32, "big"), f"Prometheus at {when}")
