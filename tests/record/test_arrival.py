import socket

import pytest

from gateway.record.arrival import Batch, Worker, entry_of
from gateway.record.frames import PAYLOAD, Sent, Side
from gateway.record.line import rest_of
from gateway.record.payload import payload_line
from tests.record.world import plain, result

OWN = payload_line("call-1", "a" * 16, {"/x": b"sealed"})


def arrived(rest: bytes, *payload: bytes):
    with socket.socket(socket.AF_UNIX) as connection:
        worker = Worker(connection, 1, 2, 3, n=0, open_calls={1})
        return entry_of(Sent(rest, tuple(Side(PAYLOAD, b"", data) for data in payload)), worker, Batch([None], 1), 0)


def test_a_call_brings_its_own_payload():
    entry, why = arrived(rest_of("call", plain(1)), OWN)
    assert (entry.payload, why) == (OWN, "")
    assert arrived(rest_of("call", plain(1)))[1] == ""


@pytest.mark.parametrize(
    "payload",
    [
        [payload_line("call-2", "a" * 16, {"/x": b"sealed"})],
        [OWN[:-1]],
        [OWN, OWN],
        [b"{}\n" + OWN],
        [b"nonsense\n"],
        [b'{"id":"call-1","key":"k","s":null}\n'],
        [b"\n"],
    ],
    ids=["another's", "not a line", "two", "one before it", "nonsense", "an erased one", "an empty one"],
)
def test_a_payload_that_is_not_the_call_s_own_is_refused(payload):
    assert arrived(rest_of("call", plain(1)), *payload)[1] == "its payload is not that of its call"


def test_only_a_call_has_a_payload():
    assert arrived(rest_of("result", result(1, 1)), OWN)[1] == "its payload is not that of its call"
