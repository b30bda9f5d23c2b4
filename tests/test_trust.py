"""What identity rests on is opened once, and what becomes of keys is counted and told."""

from __future__ import annotations

from pathlib import Path

from gateway.metrics import Metrics
from gateway.trust import Trust, teller


async def test_what_becomes_of_fetches_is_counted_and_only_changes_are_told(tmp_path: Path):
    metrics, lines = Metrics(), []
    told = teller(metrics.tokens, lines.append)
    for result, line in (("failed", "down"), ("failed", ""), ("ok", "up again")):
        told("ci", result, line)
    text = metrics.text().decode()
    assert lines == ["down", "up again"]
    assert 'portreeve_key_fetches_total{issuer="ci",result="failed"} 2.0' in text and 'result="ok"} 1.0' in text


async def test_it_is_opened_and_closed_without_leavings(tmp_path: Path):
    for _ in range(2):
        trust = Trust.open(tmp_path, lambda *_: None)
        assert await trust.once.take("a", 9e9) is (_ == 0)
        await trust.close()
