"""Records to export: usual ones, and ones in which every member is of a type that nobody expects."""

from hypothesis import strategies as st

from gateway.canonical import dumps_in_order
from gateway.record import Record, record_of

ORIGIN = "gw.example/a b?#ü"
WHO = {"agent": "billing", "sub": "agent:billing", "user": "alice", "run": "run-1"}
WHAT = {
    "tool": "tickets",
    "op": "refund",
    "method": "POST",
    "template": "/r/{id}",
    "path": "/r/1",
    "effect": "write",
    "door": "mcp",
    "peer": "10.1.2.3:555",
}
T = 1_795_251_922_122_857
PREV = "0" * 64


def record(n: int, kind: str, t: int = T, **body) -> Record:
    return record_of(dumps_in_order({"n": n, "prev": PREV, "t": t, "k": kind, **body}))


CALL = record(1, "call", id="c1", who=WHO, what=WHAT, authz={"decision": "allow", "reasons": ["small", "night"]}, code="")
DENIED = record(2, "call", id="c2", who=WHO | {"user": None}, what=WHAT, authz={"decision": "deny", "reasons": []}, code="denied")
RESULT = record(3, "result", call=1, id="c1", status="ok", http=201, ms=12, code="")
FAILED = record(4, "result", call=2, id="c2", status="timeout", http=None, ms=3, code="upstream_timeout")
OPENED = record(0, "log.open", format="portreeve-log/v1", origin=ORIGIN)
ALL = [OPENED, CALL, DENIED, RESULT, FAILED]

odd = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
parts = (
    st.dictionaries(st.sampled_from(["agent", "user", "run", "tool", "op", "method", "effect", "peer", "decision", "reasons"]), odd, max_size=5) | odd
)
bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "who", "what", "authz", "code", "call", "status", "http", "ms"), parts))
times = st.integers(-(2**63), 2**63 - 1) | st.just(T)
records = st.lists(
    st.builds(lambda kind, t, body: (kind, t, body), st.sampled_from(["call", "result", "recover", "x.y"]), times, bodies), max_size=5
).map(lambda found: [record(n, kind, t, **body) for n, (kind, t, body) in enumerate(found)])
