"""Metrics count what happened under bounded labels."""

import hashlib
import re

from gateway.metrics import BREAKER_STATES, LogHead, Metrics

ROOT = hashlib.sha256(b"a root").digest()


def test_calls_are_counted_by_tool_operation_decision_and_outcome():
    metrics = Metrics()
    metrics.call("tickets", "get_ticket", "allow", "ok")
    metrics.call("tickets", "get_ticket", "allow", "ok")
    assert 'portreeve_calls_total{decision="allow",operation="get_ticket",outcome="ok",tool="tickets"} 2.0' in metrics.text().decode()


def test_breakers_and_the_log_are_read_when_somebody_scrapes():
    metrics = Metrics()
    metrics.watch(breakers=lambda: {"dead": "open"}, log=lambda: LogHead("full", "gw.example/log", 12, ROOT, 9))
    text = metrics.text().decode()
    assert 'portreeve_breaker_state{state="open",tool="dead"} 1.0' in text
    assert text.count("portreeve_breaker_state{") == len(BREAKER_STATES)
    assert 'portreeve_log_state{state="full"} 1.0' in text
    assert 'portreeve_log_size{origin="gw.example/log"} 12.0' in text
    assert 'portreeve_log_signed_size{origin="gw.example/log"} 9.0' in text


def test_the_root_of_the_log_survives_its_way_through_floats():
    metrics = Metrics()
    for root in (ROOT, b"\xff" * 32, bytes(32)):
        metrics.watch(breakers=dict, log=lambda root=root: LogHead("ok", "gw.example/log", 12, root))
        parts = {
            int(m[1]): float(m[2]) for m in re.finditer(r'portreeve_log_root{origin="gw.example/log",part="(\d)"} (\S+)', metrics.text().decode())
        }
        assert sum(int(part) << 52 * at for at, part in parts.items()).to_bytes(32, "big") == root


def test_a_failed_reload_shows_until_a_good_one():
    metrics = Metrics()
    metrics.reload_failed()
    assert "portreeve_reload_failing 1.0" in metrics.text().decode()
    metrics.loaded(at_s=5.0, policies=9, tools=3, agents=2)
    text = metrics.text().decode()
    assert "portreeve_reload_failing 0.0" in text
    assert "portreeve_policies 9.0" in text
    assert 'portreeve_reloads_total{result="failed"} 1.0' in text


def test_reloads_of_policies_are_counted_timed_and_dated():
    metrics = Metrics()
    assert 'portreeve_policy_reload_total{result="failed"} 0.0' in metrics.text().decode()
    metrics.policies_reloaded("ok", at_s=5.0, took_s=0.2)
    metrics.policies_reloaded("failed", at_s=9.0, took_s=0.3)
    text = metrics.text().decode()
    assert 'portreeve_policy_reload_total{result="ok"} 1.0' in text
    assert 'portreeve_policy_reload_total{result="failed"} 1.0' in text
    assert "portreeve_policy_reload_success_timestamp_seconds 5.0" in text
    assert "portreeve_policy_reload_seconds_sum 0.5" in text


def test_flips_of_shadow_policies_are_counted_by_the_names_in_force_and_by_no_other():
    metrics = Metrics()
    metrics.policies_replaced({"policies": "sha256:1"}, {"stays": "deny", "goes": "allow"})
    metrics.shadow_flipped(["stays", "goes", "never-heard-of"])
    text = metrics.text().decode()
    assert 'portreeve_policy_info{policies="sha256:1"} 1.0' in text
    assert 'portreeve_policy_shadow_flips_total{policy="goes",would="allow"} 1.0' in text
    assert "never-heard-of" not in text
    metrics.policies_replaced({"policies": "sha256:2"}, {"stays": "deny", "comes": "deny"})
    metrics.shadow_flipped(["stays", "goes"])
    text = metrics.text().decode()
    assert 'portreeve_policy_shadow_flips_total{policy="stays",would="deny"} 2.0' in text
    assert 'portreeve_policy_shadow_flips_total{policy="comes",would="deny"} 0.0' in text
    assert "goes" not in text
    assert text.count("portreeve_policy_info{") == 1
    metrics.policies_replaced({"policies": "sha256:2"}, {"stays": "allow"})
    assert 'portreeve_policy_shadow_flips_total{policy="stays",would="allow"} 0.0' in metrics.text().decode()


def test_two_gateways_in_one_process_do_not_share_a_count():
    one, other = Metrics(), Metrics()
    one.refused("denied")
    assert 'code="denied"' in one.text().decode()
    assert 'code="denied"' not in other.text().decode()


def test_durations_fall_into_cumulative_buckets():
    metrics = Metrics()
    for seconds in (0.00005, 0.0003, 99.0):
        metrics.took(10.0, [11.0, 13.0, 13.0 + seconds], 120.0)
    text = metrics.text().decode()
    assert 'portreeve_step_seconds_bucket{le="5e-05",step="bind"} 1.0' in text
    assert 'portreeve_step_seconds_bucket{le="0.0005",step="bind"} 2.0' in text
    assert 'portreeve_step_seconds_bucket{le="+Inf",step="bind"} 3.0' in text
    assert 'portreeve_step_seconds_count{step="bind"} 3.0' in text
    assert 'portreeve_step_seconds_sum{step="gather"} 6.0' in text
    assert 'portreeve_step_seconds_count{step="forward"} 0.0' in text
    assert 'portreeve_step_seconds_sum{step="total"} 330.0' in text
