"""Witnesses and peers, real ones on loopback: what they hold of a log, and how each way to cheat them fails."""

import asyncio
import contextlib
import json

import pytest

from gateway.anchoring import REASONS, AnchorFailed, Anchoring, look_at, submit
from gateway.config.model import PeerSettings, WitnessSettings
from gateway.fetch import Fetcher
from gateway.metrics import Metrics
from gateway.record import Anchors, Checkpoint, LogFolder, LogReader, NoteSigner, Prover, WitnessKey, cosignatures
from tests.journeys.place import load, running, write_place
from tests.record.world import ORIGIN, files, keys, lines, opened, plain, small_log, twin
from tests.simulators import upstreams
from tests.simulators.upstreams import answer, raw, upstream
from tests.simulators.witness import COSIGNER, witnessing


@contextlib.contextmanager
def proving(folder):
    with contextlib.closing(Prover(LogReader(folder / "log"), keys(folder))) as prover:
        yield prover


async def submitted(folder, witness: WitnessSettings):
    with proving(folder) as prover:
        return await submit(Fetcher(timeout_s=witness.timeout_s), prover, Anchors(LogFolder(folder / "log")), witness)


async def failure(folder, witness: WitnessSettings) -> str:
    with pytest.raises(AnchorFailed) as found:
        await submitted(folder, witness)
    assert found.value.reason in REASONS
    return found.value.reason


async def grow(folder, count: int = 3) -> None:
    async with opened(folder) as log:
        for number in range(count):
            await log.append("call", plain(number))


async def test_each_checkpoint_is_cosigned_and_kept(tmp_path):
    await grow(tmp_path)
    async with witnessing(tmp_path / "w", {ORIGIN: keys(tmp_path)}) as witness:
        for _ in range(3):
            found = await submitted(tmp_path, witness)
            assert found.checkpoint.size == len(lines(tmp_path))
            (note,) = Anchors(LogFolder(tmp_path / "log")).notes()
            assert cosignatures(note, [WitnessKey.parse(witness.key)]) == {COSIGNER.key: found.at_s}
            await grow(tmp_path)


async def test_a_log_that_forgot_what_was_witnessed_learns_it_from_the_witness(tmp_path):
    await grow(tmp_path)
    async with witnessing(tmp_path / "w", {ORIGIN: keys(tmp_path)}) as witness:
        await submitted(tmp_path, witness)
        await grow(tmp_path)
        (tmp_path / "log" / "anchors" / "witness.w1").unlink()
        assert (await submitted(tmp_path, witness)).checkpoint.size == len(lines(tmp_path))


async def test_of_two_histories_of_one_key_the_witness_cosigns_one(tmp_path):
    """The attack that a signature alone does not stop: two real logs under one key, each sound by itself."""
    await grow(tmp_path / "a", 2)
    fork = twin(tmp_path / "a", tmp_path / "b")
    await grow(tmp_path / "a", 3)
    async with opened(fork) as log:
        for number in (7, 8, 9):
            await log.append("call", plain(number))
    async with witnessing(tmp_path / "w", {ORIGIN: keys(tmp_path / "a")}) as witness:
        await submitted(tmp_path / "a", witness)
        assert await failure(fork, witness) == "conflict"
        assert list((tmp_path / "w" / "evidence").iterdir()) != []
        await grow(fork, 5)
        assert await failure(fork, witness) == "conflict"
        assert (await submitted(tmp_path / "a", witness)).checkpoint.size == len(lines(tmp_path / "a"))


async def test_a_log_that_was_set_back_is_told_by_its_witness(tmp_path):
    await grow(tmp_path / "a")
    earlier = twin(tmp_path / "a", tmp_path / "b")
    await grow(tmp_path / "a")
    async with witnessing(tmp_path / "w", {ORIGIN: keys(tmp_path / "a")}) as witness:
        await submitted(tmp_path / "a", witness)
        assert await failure(earlier, witness) == "conflict"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (raw(answer(200, b"")), "invalid"),
        (raw(answer(200, "— witness.example/w1 AAAA\n".encode())), "invalid"),
        (raw(answer(404)), "refused"),
        (raw(answer(422)), "conflict"),
        (raw(answer(409, b"0\n")), "refused"),
        (raw(answer(409, b"999999\n")), "conflict"),
        (raw(answer(409, b"many\n")), "invalid"),
        (raw(answer(302, b"", "Location: http://127.0.0.1:1/")), "refused"),
        (raw(answer(200, bytes(100_000))), "unreachable"),
        (upstreams.stalls, "unreachable"),
        (upstreams.resets, "unreachable"),
    ],
)
async def test_whatever_a_witness_answers_is_a_failure_with_a_reason_and_nothing_is_kept(tmp_path, behaviour, reason):
    await grow(tmp_path)
    async with upstream(behaviour) as up:
        witness = WitnessSettings("w1", f"http://127.0.0.1:{up.port}", str(COSIGNER.key), timeout_s=0.5)
        assert await failure(tmp_path, witness) == reason
    assert Anchors(LogFolder(tmp_path / "log")).notes() == []


async def test_a_log_that_was_changed_is_not_submitted(tmp_path):
    await small_log(tmp_path)
    segment = files(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b"call-0", b"call-7"))
    async with witnessing(tmp_path / "w", {ORIGIN: keys(tmp_path)}) as witness:
        assert await failure(tmp_path, witness) == "unreadable"


async def test_a_peer_s_checkpoints_are_recorded_when_they_change(tmp_path):
    signer = NoteSigner.open(tmp_path / "peer")
    notes = [signer.sign("peer.example/log", Checkpoint("peer.example/log", size, bytes([top]) * 32).text) for size, top in ((5, 1), (5, 1), (9, 2))]
    fetcher = Fetcher()
    async with opened(tmp_path) as log:
        anchors = Anchors(LogFolder(tmp_path / "log"))
        for note in notes:
            async with upstream(raw(answer(200, note))) as up:
                peer = PeerSettings("b", f"http://127.0.0.1:{up.port}/log/checkpoint", str(signer.key("peer.example/log")))
                await look_at(fetcher, log, anchors, peer)
    recorded = [json.loads(line) for line in lines(tmp_path) if b'"k":"anchor"' in line]
    assert [(r["peer"], r["origin"], r["size"], r["note"].encode()) for r in recorded] == [
        ("b", "peer.example/log", 5, notes[0]),
        ("b", "peer.example/log", 9, notes[2]),
    ]


@pytest.mark.parametrize("change", [(4, 1), (5, 7)])
async def test_a_peer_that_shows_another_history_is_told_and_both_are_recorded(tmp_path, change):
    signer = NoteSigner.open(tmp_path / "peer")
    fetcher = Fetcher()
    async with opened(tmp_path) as log:
        anchors = Anchors(LogFolder(tmp_path / "log"))
        for at, (size, top) in enumerate([(5, 1), change]):
            note = signer.sign("peer.example/log", Checkpoint("peer.example/log", size, bytes([top]) * 32).text)
            async with upstream(raw(answer(200, note))) as up:
                peer = PeerSettings("b", f"http://127.0.0.1:{up.port}/log/checkpoint", str(signer.key("peer.example/log")))
                if at == 0:
                    await look_at(fetcher, log, anchors, peer)
                    continue
                with pytest.raises(AnchorFailed) as found:
                    await look_at(fetcher, log, anchors, peer)
                assert found.value.reason == "conflict"
    assert sum(b'"k":"anchor"' in line for line in lines(tmp_path)) == 2


async def test_what_a_stranger_shows_as_a_peer_s_checkpoint_is_not_recorded(tmp_path):
    signer, stranger = NoteSigner.open(tmp_path / "peer"), NoteSigner.open(tmp_path / "stranger")
    text = Checkpoint("peer.example/log", 5, b"\x01" * 32).text
    fetcher = Fetcher()
    async with opened(tmp_path) as log:
        for shown, reason in ((answer(200, stranger.sign("peer.example/log", text)), "invalid"), (answer(503), "refused")):
            async with upstream(raw(shown)) as up:
                peer = PeerSettings("b", f"http://127.0.0.1:{up.port}", str(signer.key("peer.example/log")))
                with pytest.raises(AnchorFailed) as found:
                    await look_at(fetcher, log, Anchors(LogFolder(tmp_path / "log")), peer)
                assert found.value.reason == reason
    assert not any(b'"k":"anchor"' in line for line in lines(tmp_path))


async def test_a_running_gateway_is_witnessed_and_records_its_peer(tmp_path):
    """Through settings and the admin listeners, as it is deployed."""
    async with upstream(upstreams.echo) as up:
        write_place(tmp_path / "peer", up.port)
        write_place(tmp_path / "gw", up.port)
        toml = tmp_path / "gw" / "gateway.toml"
        toml.write_text(toml.read_text().replace('origin = "journey.test/log"', 'origin = "other.test/log"'))
        own = NoteSigner.open(load(tmp_path / "gw").keys).key("other.test/log")
        theirs = NoteSigner.open(load(tmp_path / "peer").keys).key("journey.test/log")
        async with running(tmp_path / "peer") as peer, witnessing(tmp_path / "w", {own.name: (own,)}) as witness:
            toml.write_text(
                toml.read_text()
                + f'[peer.first]\nurl = "{peer.admin}/log/checkpoint"\nkey = "{theirs}"\ninterval_s = 1\n'
                + f'[witness.w1]\nurl = "{witness.url}"\nkey = "{witness.key}"\ninterval_s = 1\n'
                + f'[witness.w2]\nurl = "{witness.url}/nowhere"\nkey = "{witness.key}"\ninterval_s = 1\n'
            )
            async with running(tmp_path / "gw") as place:
                anchor = (await place.settled("anchor", 1))[0]
                assert (anchor["peer"], anchor["origin"]) == ("first", "journey.test/log")
                wanted = (
                    'portreeve_anchor_timestamp_seconds{kind="witness",name="w1"} 1',
                    'portreeve_anchor_timestamp_seconds{kind="peer",name="first"} 1',
                    'portreeve_anchor_failures_total{kind="witness",name="w2",reason="refused"}',
                )
                async with asyncio.timeout(20):
                    while not all(line in place.gateway.pipeline.metrics.text().decode() for line in wanted):
                        await asyncio.sleep(0.05)
                assert any("witness w2" in said for said in place.said)
                assert await place.client.get("/tools/notes/notes/7")


async def test_without_witnesses_and_peers_there_is_nothing_to_do(tmp_path):
    write_place(tmp_path, 9)
    async with opened(tmp_path) as log:
        anchoring = Anchoring(load(tmp_path), log, Metrics(), lambda _: None)
        anchoring.start()
        await anchoring.stop()
    assert not (tmp_path / "log" / "anchors").exists()
