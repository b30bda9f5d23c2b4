import copy
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metrics import ROOT_PART_BITS, ROOT_PARTS
from gateway.record import scraped
from gateway.record.scraped import BadHistory, history_claims, history_url
from tests.record.test_proof import HASHES

ORIGIN = "gw.example/log"


def answer(scrapes: dict[float, tuple[int, bytes]], **labels: str) -> dict:
    """As the HTTP API of Prometheus 2 writes it."""
    rows = {"size": [[at, str(size)] for at, (size, _) in scrapes.items()]}
    for part in range(5):
        rows[str(part)] = [[at, str(int.from_bytes(root, "big") >> 52 * part & 2**52 - 1)] for at, (_, root) in scrapes.items()]
    target = {"origin": ORIGIN, "instance": "a:9090", "job": "gateway", **labels}
    size = {"metric": {"__name__": "portreeve_log_size", **target}, "values": rows.pop("size")}
    roots = [{"metric": {"__name__": "portreeve_log_root", "part": part, **target}, "values": values} for part, values in rows.items()]
    return {"status": "success", "data": {"resultType": "matrix", "result": [size, *roots]}}


TWO = answer({1_700_000_000.123: (7, HASHES[0]), 1_700_000_015.123: (9, b"\xff" * 32)})


def claims(value) -> list:
    return history_claims(json.dumps(value).encode(), ORIGIN)


def test_the_parts_of_a_root_are_those_that_the_gateway_shows():
    assert (scraped.PARTS, scraped.PART_BITS) == (ROOT_PARTS, ROOT_PART_BITS)


def test_each_scrape_of_each_target_is_a_claim():
    found = claims(TWO)
    assert [(c.size, c.root, c.by) for c in found] == [
        (7, HASHES[0], "Prometheus at 2023-11-14 22:13:20.123Z"),
        (9, b"\xff" * 32, "Prometheus at 2023-11-14 22:13:35.123Z"),
    ]
    both = copy.deepcopy(TWO)
    both["data"]["result"] += answer({1_700_000_000.123: (8, HASHES[1])}, instance="b:9090")["data"]["result"]
    assert {(c.size, c.root) for c in claims(both)} == {(7, HASHES[0]), (9, b"\xff" * 32), (8, HASHES[1])}
    assert claims(answer({})) == []


def test_the_query_names_the_log_and_nothing_else():
    url = urlsplit(history_url("http://prometheus:9090/base/", 'a"b\\c', end_s=1.5, window_s=60))
    assert (url.netloc, url.path) == ("prometheus:9090", "/base/api/v1/query")
    assert parse_qs(url.query) == {"query": ['{__name__=~"portreeve_log_size|portreeve_log_root",origin="a\\"b\\\\c"}[60s]'], "time": ["1.500"]}


@pytest.mark.parametrize("missing", range(6))
def test_a_scrape_that_lacks_a_sample_is_no_way_to_hide(missing):
    broken = copy.deepcopy(TWO)
    del broken["data"]["result"][missing]["values"][1]
    with pytest.raises(BadHistory, match="not whole"):
        claims(broken)


@pytest.mark.parametrize("sample", ["1.5", "NaN", "+Inf", "-1", "9007199254740993", "", "x", None, 7, "4503599627370496"])
def test_a_sample_that_is_no_part_of_a_root_is_refused(sample):
    broken = copy.deepcopy(TWO)
    broken["data"]["result"][1]["values"][0][1] = sample
    with pytest.raises(BadHistory):
        claims(broken)


def test_a_size_beyond_what_a_float_holds_and_a_root_beyond_256_bits_are_refused():
    for series in (0, 5):
        broken = copy.deepcopy(TWO)
        broken["data"]["result"][series]["values"][0][1] = "9007199254740994" if series == 0 else str(2**48)
        with pytest.raises(BadHistory):
            claims(broken)


def test_what_is_no_answer_or_of_another_log_is_refused():
    for broken in (
        {},
        [],
        None,
        {"status": "error"},
        {**TWO, "status": "error"},
        {"status": "success", "data": {"resultType": "vector", "result": []}},
    ):
        with pytest.raises(BadHistory):
            claims(broken)
    with pytest.raises(BadHistory, match="another log"):
        history_claims(json.dumps(TWO).encode(), "gw.example/other")
    for at in (1e18, -1e18, "soon", None):
        broken = copy.deepcopy(TWO)
        for series in broken["data"]["result"]:
            series["values"][0][0] = at
        with pytest.raises(BadHistory):
            claims(broken)


values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda v: st.lists(v, max_size=3), max_leaves=5)


@given(where=st.lists(st.integers(0, 5), max_size=6), put=values, raw=st.binary(max_size=60))
def test_an_answer_from_anywhere_is_refused_or_made_of_whole_claims(where, put, raw):
    with pytest.raises(BadHistory):
        history_claims(raw, ORIGIN)
    changed = copy.deepcopy(TWO)
    place: object = changed
    for step in where:
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        if not keys:
            break
        key = keys[step % len(keys)]
        if isinstance(place[key], dict | list) and step != where[-1]:
            place = place[key]
        else:
            place[key] = put
            break
    try:
        found = claims(changed)
    except BadHistory:
        return
    assert all(isinstance(c.size, int) and len(c.root) == 32 for c in found)
