"""What was fetched is kept for whom it was fetched, fetched once, fetched anew in time, and forgotten when it must be."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inject.kept import ENDING_AT_ONCE_MAX, ENTRIES_MAX, HOLD_OFF_S, HOLD_OFF_S_MAX, MARGIN_S, RENEW_INTERVAL_S, WAITING_MAX, Kept
from gateway.inject.source import Fetched, Need, Unreachable, Unreadable
from tests.inject.world import Counting, need

DOWN = Unreachable("it is down", "wait")


class Slow(Counting):
    """Answers when the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def fetch(self, need: Need) -> Fetched:
        found = await super().fetch(need)
        await self.gate.wait()
        return found


class Bench:
    def __init__(self, source: Counting | None = None) -> None:
        self.source = source or Counting()
        self.now = 1000.0
        self.told: list[str] = []
        self.ended: list[tuple[str, str, str]] = []
        self.lines: list[str] = []
        self.kept = Kept("c", self.source, self.hear, lambda *told: self.ended.append(told), lambda: self.now)

    def hear(self, name: str, result: str, line: str) -> None:
        self.told.append(f"{name} {result}")
        self.lines += [line] if line else []

    async def get(self, wanted: Need | None = None, **more) -> str:
        wanted = wanted or need()
        return (await self.kept.fetch(wanted, self.source.scope(wanted), **more)).secret.reveal()


async def test_what_is_good_is_not_fetched_again():
    bench = Bench()
    assert await bench.get() == await bench.get() == "a/None//#1"
    assert bench.told == ["c ok"]


async def test_two_hundred_first_calls_at_once_make_one_fetch():
    bench = Bench(Slow())
    calls = [asyncio.create_task(bench.get()) for _ in range(200)]
    await asyncio.sleep(0)
    bench.source.gate.set()
    assert set(await asyncio.gather(*calls)) == {"a/None//#1"}
    assert len(bench.source.fetched) == 1


async def test_a_caller_that_leaves_does_not_take_the_others_fetch_along():
    bench = Bench(Slow())
    first, second = asyncio.create_task(bench.get()), asyncio.create_task(bench.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    bench.source.gate.set()
    assert await second == "a/None//#1"


NAMES = st.sampled_from(["a", "b", "a/b", "a\n", "None"])
WHO = st.tuples(NAMES, st.none() | NAMES, st.lists(NAMES, max_size=2).map(tuple), NAMES, NAMES)


@given(st.lists(WHO, min_size=2, max_size=12))
def test_no_two_agents_users_chains_issuers_or_scopes_ever_share_what_was_fetched(callers):
    async def run() -> None:
        bench = Bench()
        got: dict[int, tuple] = {}
        for agent, user, actors, issuer, scope in callers:
            wanted = need(agent, user, actors=actors, issuer=issuer, arguments={"scope": scope})
            found = await bench.kept.fetch(wanted, scope)
            caller = (agent, user or "", actors, issuer, wanted.identity.subject, scope)
            assert got.setdefault(id(found.secret), caller) == caller
            for_whom = bench.source.fetched[int(found.version) - 1]
            assert (for_whom.identity, for_whom.arguments) == (wanted.identity, wanted.arguments)

    asyncio.run(run())


async def test_it_is_fetched_anew_at_four_fifths_of_its_life_while_the_old_one_still_serves():
    bench = Bench(Slow())
    bench.source.gate.set()
    await bench.get()
    bench.now += 79
    assert await bench.get() == "a/None//#1" and len(bench.source.fetched) == 1
    bench.source.gate.clear()
    bench.now += 2
    assert await bench.get() == "a/None//#1"
    await asyncio.sleep(0)
    assert await bench.get() == "a/None//#1" and len(bench.source.fetched) == 2
    bench.source.gate.set()
    await bench.kept.close()
    assert bench.told == ["c ok", "c ok"]


async def test_nothing_is_used_in_the_last_seconds_of_its_life():
    bench = Bench()
    await bench.get()
    bench.now += 100 - MARGIN_S
    assert await bench.get() == "a/None//#2"


async def test_while_the_service_is_down_what_is_still_good_serves_and_then_nothing_does():
    bench = Bench()
    await bench.get()
    bench.source.fails = DOWN
    bench.now += 85
    assert await bench.get() == "a/None//#1"
    await asyncio.sleep(0)
    bench.now += 20
    with pytest.raises(Unreachable):
        await bench.get()


async def test_a_service_that_fails_is_left_alone_longer_each_time_and_for_everybody():
    bench = Bench()
    bench.source.fails = DOWN
    for asked, wait_s in enumerate((HOLD_OFF_S, 2 * HOLD_OFF_S, 4 * HOLD_OFF_S), 1):
        with pytest.raises(Unreachable, match="it is down"):
            await bench.get()
        bench.now += wait_s - 0.01
        for agent in ("a", "b"):
            with pytest.raises(Unreachable):
                await bench.get(need(agent))
        assert len(bench.source.fetched) == asked
        bench.now += 0.02
    for _ in range(10):
        with pytest.raises(Unreachable):
            await bench.get()
        bench.now += HOLD_OFF_S_MAX + 0.01
    bench.source.fails = None
    assert await bench.get() == f"a/None//#{len(bench.source.fetched)}"


async def test_why_it_cannot_be_had_is_told_once_and_what_agents_cause_no_more_than_once_a_minute():
    bench = Bench()
    for reason, seconds in (("it is down", 0), ("it is down", 31), ("it answers 500", 1), ("it answers 500", 59), ("no such repository", 1)):
        bench.now += seconds
        bench.source.fails = Unreadable(reason, "look at it")
        with pytest.raises(Unreadable):
            await bench.get(need(f"a{bench.now}"))
    assert bench.lines == ["credential c cannot be had: it is down; look at it", "credential c cannot be had: it answers 500; look at it"]
    bench.source.fails = None
    await bench.get()
    await bench.get(need("b"))
    assert bench.lines[2:] == ["credential c can be had again"]


async def test_what_one_agent_may_not_have_is_no_trouble_for_another():
    bench = Bench()
    bench.source.fails = Unreadable("not this one", "ask")
    with pytest.raises(Unreadable, match="not this one"):
        await bench.get(need("a"))
    bench.source.fails = None
    assert await bench.get(need("b")) == "b/None//#2"
    with pytest.raises(Unreadable, match="not this one"):
        await bench.get(need("a"))


async def test_more_calls_than_may_wait_are_refused_at_once():
    bench = Bench(Slow())
    calls = [asyncio.create_task(bench.get()) for _ in range(WAITING_MAX + 1)]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(Unreachable, match="wait for it already"):
        done.pop().result()
    bench.source.gate.set()
    await asyncio.wait(calls)
    assert sum(call.exception() is None for call in calls) == WAITING_MAX


async def test_a_call_waits_no_longer_than_its_own_deadline():
    bench = Bench(Slow())
    with pytest.raises(Unreachable, match="deadline"):
        await bench.get(deadline_s=asyncio.get_running_loop().time())
    bench.source.gate.set()
    await bench.kept.close()


async def test_what_a_tool_would_not_take_is_fetched_once_more_but_not_for_every_call():
    bench = Bench()
    first = await bench.kept.fetch(need(), "")
    assert bench.kept.drop(need(), "", first.secret)
    second = await bench.kept.fetch(need(), "")
    assert second.secret is not first.secret
    assert bench.kept.drop(need(), "", first.secret), "another call has fetched already: that one will do"
    assert not bench.kept.drop(need(), "", second.secret)
    assert (await bench.kept.fetch(need(), "")).secret is second.secret
    bench.now += RENEW_INTERVAL_S
    assert bench.kept.drop(need(), "", second.secret)


async def test_what_was_fetched_for_an_agent_or_user_that_is_stopped_is_forgotten_and_given_back():
    bench = Bench(Counting(leases=True))
    for who in (need("a"), need("b", actors=("a",)), need("b"), need("c", "u")):
        await bench.get(who)
    assert bench.kept.revoke("agent", "a") == 2
    assert bench.kept.revoke("user", "u") == 1
    assert bench.kept.revoke("tool", "b") == 0
    assert await bench.get(need("b")) == "b/None//#3"
    assert await bench.get(need("a")) == "a/None//#5"
    await bench.kept.close()
    assert sorted(bench.source.given_back) == ["lease-1", "lease-2", "lease-3", "lease-4", "lease-5"]


async def test_a_lease_is_asked_for_more_time_at_two_thirds_of_its_life_and_replaced_where_it_gets_none():
    bench = Bench(Counting(leases=True))
    await bench.get()
    bench.now += 70
    assert await bench.get() == "a/None//#1"
    await settle(bench)
    bench.now += 50
    assert await bench.get() == "a/None//#1" and bench.source.renewed == ["lease-1"]
    bench.source.renews = False
    bench.now += 20
    await bench.get()
    await settle(bench)
    assert await bench.get() == "a/None//#2"
    assert bench.source.given_back == [], "calls may still be using it"


async def settle(bench: Bench) -> None:
    while bench.kept._tasks:
        await asyncio.wait(bench.kept._tasks)


async def test_what_arrives_for_an_agent_that_was_stopped_meanwhile_is_given_back_at_once():
    source = Slow()
    source.leases = True
    bench = Bench(source)
    call = asyncio.create_task(bench.get())
    await asyncio.sleep(0)
    bench.kept.revoke("agent", "a")
    source.gate.set()
    await call
    await settle(bench)
    assert source.given_back == ["lease-1"]


class SlowForOne(Slow):
    """Answers when the gate is opened, for the agent `a`."""

    async def fetch(self, need: Need) -> Fetched:
        return await (super() if need.identity.agent == "a" else super(Slow, self)).fetch(need)


async def test_room_is_made_of_what_is_idle_and_what_arrives_later_is_still_kept():
    bench = Bench(SlowForOne())
    bench.source.leases = True
    call = asyncio.create_task(bench.get())
    await asyncio.sleep(0)
    for number in range(ENTRIES_MAX):
        await bench.get(need(f"other-{number}"))
    bench.source.gate.set()
    first = await call
    await settle(bench)
    assert await bench.get() == first
    assert len(bench.source.given_back) == 1, "of who came second"


async def test_what_was_replaced_and_still_counts_is_given_back_with_what_replaced_it():
    bench = Bench(Counting(leases=True, renews=False))
    await bench.get()
    bench.now += 70
    await bench.get()
    await settle(bench)
    assert await bench.get() == "a/None//#2"
    bench.kept.revoke("agent", "a")
    await settle(bench)
    assert sorted(bench.source.given_back) == ["lease-1", "lease-2"]


async def test_what_was_replaced_long_ago_has_ended_by_itself_and_is_not_given_back():
    bench = Bench(Counting(leases=True, renews=False))
    await bench.get()
    bench.now += 70
    await bench.get()
    await settle(bench)
    bench.now += 31
    bench.kept.revoke("agent", "a")
    await settle(bench)
    assert bench.source.given_back == ["lease-2"]


async def test_few_are_given_back_at_once_and_nobody_waits_for_them():
    bench = Bench(Counting(leases=True))
    bench.source.ending = asyncio.Event()
    for number in range(3 * ENDING_AT_ONCE_MAX):
        await bench.get(need("a", str(number)))
    assert bench.kept.revoke("agent", "a") == 3 * ENDING_AT_ONCE_MAX
    assert bench.source.at_once == 0, "revoking only begins it"
    await asyncio.sleep(0)
    bench.source.ending.set()
    await settle(bench)
    assert bench.source.at_once_max == ENDING_AT_ONCE_MAX and len(bench.source.given_back) == 3 * ENDING_AT_ONCE_MAX


async def test_what_cannot_be_given_back_is_counted_each_time_and_told_once():
    bench = Bench(Counting(leases=True, ends=DOWN))
    for _ in range(2):
        for agent in ("a", "b"):
            await bench.get(need(agent))
            bench.kept.revoke("agent", agent)
        await settle(bench)
        bench.source.ends = None
    assert [(name, result, bool(line)) for name, result, line in bench.ended] == [
        ("c", "failed", True),
        ("c", "failed", False),
        ("c", "ok", True),
        ("c", "ok", False),
    ]
    assert "counts until it ends by itself: it is down" in bench.ended[0][2]
    assert bench.told == ["c ok"] * 4, "a fetch is another matter"


async def test_the_end_waits_for_a_service_that_hangs_only_so_long():
    bench = Bench(Counting(leases=True))
    bench.source.ending = asyncio.Event()
    for number in range(ENDING_AT_ONCE_MAX + 1):
        await bench.get(need("a", str(number)))
    async with asyncio.timeout(5):
        await bench.kept.close(within_s=0.0)
    assert [result for _, result, _ in bench.ended] == ["failed"] * (ENDING_AT_ONCE_MAX + 1)


async def test_after_its_end_nothing_is_fetched():
    bench = Bench()
    await bench.kept.close()
    with pytest.raises(Unreachable, match="replaced"):
        await bench.get()
    assert bench.source.fetched == []
