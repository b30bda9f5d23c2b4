"""Every metric of the gateway: its name, its labels, and their bounds.

Label values come from the deployment (tools, operations) or from closed lists in the code, never from a request: an attacker cannot make
series. Children are bound once and kept, because a label look-up costs more than the count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from gateway.halt_metrics import HaltMetrics
from gateway.token_metrics import TokenMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STEPS = ("identify", "gather", "bind", "authorize", "record", "inject", "forward")
"""In the order in which a call takes them."""
TOTAL = "total"
STEP_BUCKETS_S = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RELOAD_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
ReloadResult = Literal["ok", "unchanged", "failed"]
BREAKER_STATES = ("closed", "open", "half_open", "forced_open", "metrics_only")
LOG_STATES = ("ok", "full", "failed", "closed")
ROOT_PARTS = 5
ROOT_PART_BITS = 52
"""A sample is a float64, exact up to 53 bits: a root of 256 bits takes five."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """How the decision log stands: `size` durable records with this Merkle `root`, the first `signed` of them under a checkpoint."""

    state: str = "closed"
    origin: str = ""
    size: int = 0
    root: bytes = bytes(32)
    signed: int = 0


class _Live(Collector):
    """Gauges that are read when somebody scrapes, so that nothing has to keep them up to date."""

    def __init__(self) -> None:
        self.breakers: Callable[[], Mapping[str, str]] = dict
        self.log: Callable[[], LogHead] = LogHead
        self.in_flight: Callable[[], int] = int
        self.expired: Callable[[], int] = int

    def collect(self) -> Iterable[GaugeMetricFamily]:
        breakers = GaugeMetricFamily("portreeve_breaker_state", "1 for the state each tool's circuit breaker is in", labels=["tool", "state"])
        for tool, now in self.breakers().items():
            for state in BREAKER_STATES:
                breakers.add_metric([tool, state], float(state == now))
        yield breakers
        log = self.log()
        states = GaugeMetricFamily("portreeve_log_state", "1 for the state the decision log is in", labels=["state"])
        for state in LOG_STATES:
            states.add_metric([state], float(state == log.state))
        yield states
        yield GaugeMetricFamily("portreeve_calls_in_flight", "Calls that are being served now", value=self.in_flight())
        yield GaugeMetricFamily("portreeve_policies_expired", "Policies in force that are past their @expires day", value=self.expired())
        yield from _head(log)


def _head(log: LogHead) -> Iterable[GaugeMetricFamily]:
    """Size and root of the log, of one moment: whoever scrapes them holds a copy that the log must agree with for ever."""
    size = GaugeMetricFamily("portreeve_log_size", "Records in the decision log", labels=["origin"])
    size.add_metric([log.origin], log.size)
    signed = GaugeMetricFamily("portreeve_log_signed_size", "Records under the newest checkpoint", labels=["origin"])
    signed.add_metric([log.origin], log.signed)
    root = GaugeMetricFamily(
        "portreeve_log_root", "Merkle root of the log's records, in parts of 52 bits, the lowest first", labels=["origin", "part"]
    )
    whole = int.from_bytes(log.root, "big")
    for part in range(ROOT_PARTS):
        root.add_metric([log.origin, str(part)], whole >> part * ROOT_PART_BITS & (1 << ROOT_PART_BITS) - 1)
    yield from (size, signed, root)


class _Durations:
    """Counts durations in buckets: one list entry and a sum. The library's histogram child takes five times as long, eight times a call."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(STEP_BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(STEP_BUCKETS_S, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts as the exposition format wants them."""
        total, found = 0, []
        for bound, count in zip((*map(str, STEP_BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class _Steps(Collector):
    def __init__(self) -> None:
        self.durations = {step: _Durations() for step in (*STEPS, TOTAL)}

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily("portreeve_step_seconds", "Time in each step of a call", labels=["step"])
        for step, durations in self.durations.items():
            family.add_metric([step], durations.buckets(), durations.sum_s)
        yield family


class _Policies(Collector):
    """What the policies in force are, and which of their shadow policies would have decided otherwise. Only names of the bundle in force are shown."""

    def __init__(self) -> None:
        self.live: Mapping[str, str] = {}
        self.shadows: dict[str, tuple[str, int]] = {}

    def replace(self, live: Mapping[str, str], shadows: Mapping[str, str]) -> None:
        """`live` are the digests by label; `shadows` say what each shadow policy would do. Counts of policies that stay go on."""
        self.live = dict(live)
        before = self.shadows
        self.shadows = {name: (would, before[name][1] if before.get(name, ("", 0))[0] == would else 0) for name, would in shadows.items()}

    def flipped(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.shadows:  # a call may end under the policies that it began with
                would, count = self.shadows[name]
                self.shadows[name] = (would, count + 1)

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        info = GaugeMetricFamily("portreeve_policy_info", "1 for the policy bundle in force, by digest", labels=list(self.live))
        if self.live:
            info.add_metric(list(self.live.values()), 1)
        yield info
        flips = CounterMetricFamily(
            "portreeve_policy_shadow_flips", "Calls that a shadow policy would have decided otherwise", labels=["policy", "would"]
        )
        for name, (would, count) in self.shadows.items():
            flips.add_metric([name, would], count)
        yield flips


class _PolicyReloads:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._results = Counter("portreeve_policy_reload", "Times that policies were read, the first one included", ["result"], registry=registry)
        self._took = Histogram(
            "portreeve_policy_reload_seconds",
            "How long it took to read, compile, validate and test them",
            buckets=RELOAD_BUCKETS_S,
            registry=registry,
        )
        self._success = Gauge(
            "portreeve_policy_reload_success_timestamp_seconds", "When policies were last loaded without a fault", registry=registry
        )
        for result in get_args(ReloadResult):
            self._results.labels(result)

    def count(self, result: ReloadResult, *, at_s: float, took_s: float) -> None:
        """The deployment was read: other policies went live, they are the same, or they stay because something does not load."""
        self._results.labels(result).inc()
        self._took.observe(took_s)
        if result != "failed":
            self._success.set(at_s)


class Metrics:
    """The registry of one gateway. Nothing global: two gateways in one process do not share a count."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "portreeve_calls",
            "Calls of identified agents, by decision and by what came of them",
            ["tool", "operation", "decision", "outcome"],
            registry=self._registry,
        )
        self._refusals = Counter("portreeve_refusals", "Requests refused, by refusal code", ["code"], registry=self._registry)
        steps = _Steps()
        self._registry.register(steps)
        self._steps = [steps.durations[step].observe for step in STEPS]
        self._total = steps.durations[TOTAL].observe
        self.results_lost = Counter(
            "portreeve_results_lost", "Outcomes that could not be recorded; their calls read as unknown", registry=self._registry
        )
        self._reloads = Counter("portreeve_reloads", "Reloads of the deployment, by result", ["result"], registry=self._registry)
        self._reload_time = Gauge("portreeve_reload_timestamp_seconds", "When the state in force was loaded", registry=self._registry)
        self._policies = Gauge("portreeve_policies", "Policies in force", registry=self._registry)
        self._tools = Gauge("portreeve_tools", "Tools in the catalogue", registry=self._registry)
        self._agents = Gauge("portreeve_agents", "Agents registered", registry=self._registry)
        self._stale = Gauge("portreeve_reload_failing", "1 while files on disk do not load and the last good state is kept", registry=self._registry)
        self.echoes = Counter(
            "portreeve_secret_echoes", "Answers in which an upstream echoed its credential; it was redacted", registry=self._registry
        )
        self.candidate_evaluations = Counter(
            "portreeve_policy_candidate_evaluations", "Decided calls that the candidate policies decided, too", registry=self._registry
        )
        self.candidate_dropped = Counter(
            "portreeve_policy_candidate_dropped",
            "Decided calls that the candidate could not be asked about, or not recorded",
            registry=self._registry,
        )
        self._candidate_flips = Counter(
            "portreeve_policy_candidate_flips", "Decisions that the candidate would have made otherwise", ["from", "to"], registry=self._registry
        )
        self._candidate_failing = Gauge("portreeve_policy_candidate_failing", "1 while the candidate policies do not load", registry=self._registry)
        self._anchored = Gauge(
            "portreeve_anchor_timestamp_seconds",
            "When a witness last cosigned the log, or a peer's checkpoint was last looked at",
            ["kind", "name"],
            registry=self._registry,
        )
        self._anchor_failures = Counter(
            "portreeve_anchor_failures", "Turns with a witness or a peer that failed, by reason", ["kind", "name", "reason"], registry=self._registry
        )
        self.tokens, self.halts = TokenMetrics(self._registry), HaltMetrics(self._registry)
        self._bound: dict[tuple[str, str, str, str], Callable[[], None]] = {}
        self._bound_refusals: dict[str, Callable[[], None]] = {}
        Gauge("portreeve_workers", "Worker processes that serve calls", registry=self._registry).set(1)
        Counter("portreeve_worker_restarts", "Workers that ended by themselves and were started anew", registry=self._registry)
        self._live, self._policy = _Live(), _Policies()
        for collector in (self._live, self._policy):
            self._registry.register(collector)
        self.shadow_flipped = self._policy.flipped
        self.policies_replaced = self._policy.replace
        self.policies_reloaded = _PolicyReloads(self._registry).count
        for result in ("ok", "failed"):
            self._reloads.labels(result)

    def watch(
        self,
        *,
        breakers: Callable[[], Mapping[str, str]],
        log: Callable[[], LogHead],
        in_flight: Callable[[], int] = int,
        expired: Callable[[], int] = int,
    ) -> None:
        """Name where breaker states, the head of the log, calls in flight and expired policies are read at scrape time."""
        self._live.breakers, self._live.log, self._live.in_flight, self._live.expired = breakers, log, in_flight, expired

    def call(self, tool: str, operation: str, decision: str, outcome: str) -> None:
        """Count one call. The caller passes names from the catalogue only."""
        key = (tool, operation, decision, outcome)
        count = self._bound.get(key)
        if count is None:
            count = self._bound[key] = self._calls.labels(*key).inc
        count()

    def took(self, began_s: float, marks: list[float], ended_s: float) -> None:
        """Count the durations of a call's steps: when it began, when each step that it took ended, when the call ended."""
        before = began_s
        for observe, mark in zip(self._steps, marks, strict=False):  # a refused call has taken only the first few
            observe(mark - before)
            before = mark
        self._total(ended_s - began_s)

    def refused(self, code: str) -> None:
        """Count one refusal; `code` is one of errors.REFUSALS."""
        count = self._bound_refusals.get(code)
        if count is None:
            count = self._bound_refusals[code] = self._refusals.labels(code).inc
        count()

    def candidate_flipped(self, before: str, after: str) -> None:
        """The candidate decides a call otherwise. Both are verdicts: allow, deny, hold, error."""
        self._candidate_flips.labels(before, after).inc()

    def loaded(self, *, at_s: float, policies: int, tools: int, agents: int, candidate_failing: bool = False) -> None:
        """A state went live."""
        self._candidate_failing.set(candidate_failing)
        self._reloads.labels("ok").inc()
        self._reload_time.set(at_s)
        self._policies.set(policies)
        self._tools.set(tools)
        self._agents.set(agents)
        self._stale.set(0)

    def reload_failed(self) -> None:
        """What is on disk does not load; the last good state stays."""
        self._reloads.labels("failed").inc()
        self._stale.set(1)

    def anchored(self, kind: str, name: str, at_s: float) -> None:
        """A witness cosigned the log at this time, or a peer was looked at. Names are those of the deployment."""
        self._anchored.labels(kind, name).set(at_s)

    def anchor_failed(self, kind: str, name: str, reason: str) -> None:
        """A turn with a witness or a peer failed; `reason` is one of anchoring.REASONS."""
        self._anchor_failures.labels(kind, name, reason).inc()

    def text(self) -> bytes:
        """The exposition text (Prometheus text format 0.0.4)."""
        return generate_latest(self._registry)
