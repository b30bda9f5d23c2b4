"""What is counted of tokens: requests at the token endpoints, the keys of foreign issuers, and what is fetched for tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class TokenMetrics(Collector):
    """Part of `Metrics`. `ages` tells, at scrape time, how old the keys of each issuer are, in seconds; None where there are none.

    `ends` tells when the client certificate of each credential ends, in seconds since the epoch.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ages: Callable[[], Mapping[str, float | None]] = dict
        self.ends: Callable[[], Mapping[str, float]] = dict
        self._fetches = Counter("portreeve_key_fetches", "Fetches of the keys of foreign issuers", ["issuer", "result"], registry=registry)
        self._requests = Counter("portreeve_tokens", "Requests at the token endpoints", ["grant", "result"], registry=registry)
        self._credentials = Counter(
            "portreeve_credential_fetches", "Fetches of credentials that a service hands out", ["credential", "result"], registry=registry
        )
        self._ended = Counter(
            "portreeve_credential_revocations",
            "Tokens and leases that were ended at their service before their time",
            ["credential", "result"],
            registry=registry,
        )
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        ages = GaugeMetricFamily("portreeve_issuer_keys_age_seconds", "Seconds since the keys of a foreign issuer were fetched", labels=["issuer"])
        for issuer, age in self.ages().items():
            if age is not None:
                ages.add_metric([issuer], age)
        yield ages
        ends = GaugeMetricFamily(
            "portreeve_client_certificate_end_timestamp_seconds", "When the client certificate of a credential ends", labels=["credential"]
        )
        for credential, end_s in self.ends().items():
            ends.add_metric([credential], end_s)
        yield ends

    def fetched(self, issuer: str, result: str) -> None:
        """Count one fetch of an issuer's keys; `result` is ok or failed."""
        self._fetches.labels(issuer, result).inc()

    def credential_fetched(self, credential: str, result: str) -> None:
        """Count one fetch of a credential; the name is the deployment's, `result` is ok or failed."""
        self._credentials.labels(credential, result).inc()

    def credential_ended(self, credential: str, result: str) -> None:
        """Count one token or lease that was given back; the name is the deployment's, `result` is ok or failed."""
        self._ended.labels(credential, result).inc()

    def asked(self, grant: str, result: str) -> None:
        """Count one request. Both are from closed lists: a grant that is known or `unknown`; `issued`, `ok` or an error code."""
        self._requests.labels(grant, result).inc()
