"""When an agent's registration holds."""

from __future__ import annotations

from datetime import date

import pytest

from gateway.identities import Agent, Identities, Revoked
from gateway.identities.model import Status, end_of


def test_a_registration_holds_through_its_last_day_in_utc():
    agent = Agent("bot", "team:a", "", "active", expires=date(2027, 3, 31))
    end = 1_806_537_600  # 2027-04-01T00:00:00Z
    assert agent.expires_at == end
    assert agent.unusable_because(end - 0.001) == ""
    assert agent.unusable_because(end) == "expired after 2027-03-31"


def test_a_registration_without_a_last_day_does_not_lapse():
    agent = Agent("bot", "team:a", "", "active")
    assert agent.expires_at is None and agent.unusable_because(9e12) == ""


@pytest.mark.parametrize("status", ["suspended", "retired"])
def test_an_agent_that_is_not_active_is_not_usable(status: Status):
    assert Agent("bot", "team:a", "", status).unusable_because(0) == f"is {status}"


def test_the_next_registration_to_lapse_is_the_earliest_that_has_not():
    days = (date(2026, 1, 31), date(2026, 1, 30), None)
    agents = {str(day): Agent(str(day), "o", "d", "active", expires=day) for day in days}
    found = Identities(agents, {}, Revoked(), "sha256:0")
    assert found.next_end(0) == end_of(date(2026, 1, 30))
    assert found.next_end(end_of(date(2026, 1, 30)) - 0.5) == end_of(date(2026, 1, 30))
    assert found.next_end(end_of(date(2026, 1, 30))) == end_of(date(2026, 1, 31))
    assert found.next_end(end_of(date(2026, 1, 31))) is None
