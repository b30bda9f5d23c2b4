"""What crosses the writer's socket: every message comes back as it was, and no bytes do harm."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Receipt
from gateway.errors import REFUSALS, Refusal
from gateway.record import frames
from gateway.record.frames import ACK, BATCH, BLOB, FRAME_BYTES_MAX, BadFrame, Frames, Sent, Side, Status

ORIGIN = "gw.example/test"
STATUS = Status("full", 2**63, 7, 4096, b"r" * 32)

sides = st.builds(Side, st.just(BLOB), st.binary(max_size=80), st.binary(max_size=300))
sents = st.builds(Sent, st.binary(max_size=300), st.lists(sides, max_size=3).map(tuple))
receipts = st.builds(Receipt, st.just(ORIGIN), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32).map(bytes.hex))
refusals = st.builds(
    Refusal, st.sampled_from(sorted(REFUSALS)), reason=st.text(min_size=1, max_size=50), retry_after_s=st.none() | st.integers(0, 3600)
)


def payload_of(data: bytes) -> bytes:
    ((_, payload),) = Frames().feed(data)
    return payload


def said(answer) -> tuple:
    return (answer.n, answer.leaf) if isinstance(answer, Receipt) else (answer.code, answer.reason, answer.retry_after_s)


@given(st.lists(sents, min_size=1, max_size=20))
def test_a_batch_comes_back_as_it_was_sent(entries):
    assert frames.read_batch(payload_of(frames.batch(entries))) == entries


@given(st.lists(receipts | refusals, max_size=30))
def test_answers_come_back_in_their_order(answers):
    status, found = frames.read_ack(payload_of(frames.ack(frames.status_bytes(STATUS), answers)), ORIGIN)
    assert status == STATUS
    assert list(map(said, found)) == list(map(said, answers))


def test_receipts_that_follow_each_other_take_a_leaf_each_and_one_head():
    answers = [Receipt(ORIGIN, n, "ab" * 32) for n in range(64)]
    one, many = (len(frames.ack(b"", answers[:count])) for count in (1, 64))
    assert many - one == 63 * 32


@given(st.lists(st.binary(max_size=200), max_size=10), st.integers(1, 64))
def test_a_stream_is_cut_at_the_same_places_however_it_arrives(payloads, step):
    stream = b"".join(frames.frame(kind, payload) for kind, payload in enumerate(payloads))
    cutter = Frames()
    found = [one for at in range(0, len(stream), step) for one in cutter.feed(stream[at : at + step])]
    assert found == list(enumerate(payloads))


def test_a_length_beyond_the_limit_is_refused_before_it_is_waited_for():
    with pytest.raises(BadFrame):
        list(Frames().feed(struct.pack(">IB", FRAME_BYTES_MAX + 1, BATCH)))
    assert list(Frames().feed(struct.pack(">IB", FRAME_BYTES_MAX, BATCH))) == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        struct.pack(">H", 0),
        struct.pack(">H", 1),
        struct.pack(">HBIB", 1, 1, 0, 0),  # a flag that nobody knows
        struct.pack(">HBIB", 1, 0, 65_536, 0) + b"x" * 65_536,
        struct.pack(">HBIB", 1, 0, 0, 65),
        struct.pack(">HBIB", 1, 0, 0, 0) + b"more",
        struct.pack(">HBIBBHI", 1, 0, 0, 1, 3, 0, 0),  # a side object of no known kind
        struct.pack(">HBIBBHI", 1, 0, 0, 1, 1, 300, 0) + b"n" * 300,
    ],
)
def test_a_batch_that_does_not_add_up_is_refused(payload):
    with pytest.raises(BadFrame):
        frames.read_batch(payload)


def test_whatever_is_changed_in_a_message_is_read_or_refused_and_never_crashes():
    chance = random.Random(11)
    entries = [Sent(b',"k":"call"}', (Side(BLOB, b"sha256:0", b"data"),)), Sent(b"x" * 40)] * 3
    answers = [Receipt(ORIGIN, 1, "00" * 32), Receipt(ORIGIN, 2, "11" * 32), Refusal("log_unavailable", reason="full")]
    messages = [frames.batch(entries), frames.ack(frames.status_bytes(STATUS), answers), frames.frame(frames.STATUS, frames.status_bytes(STATUS))]
    refused = 0
    for _ in range(20_000):
        data = bytearray(chance.choice(messages))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randrange(1, 9)]
                case 2:
                    data[at:at] = chance.randbytes(chance.randrange(1, 9))
                case _:
                    data[at : at + 4] = struct.pack(">I", chance.choice([0, 1, 2**31, 2**32 - 1]))
            data = data or bytearray(b"\0")
        try:
            for kind, payload in Frames().feed(bytes(data)):
                if kind == BATCH:
                    frames.read_batch(payload)
                elif kind == ACK:
                    frames.read_ack(payload, ORIGIN)
                else:
                    frames.read_status(payload)
        except BadFrame:
            refused += 1
    assert refused > 5_000
