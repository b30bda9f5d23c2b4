import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.record.attested import BadPolicy, WitnessPolicy, peer_claims, witness_claims
from gateway.record.cosign import Cosigner
from gateway.record.line import BrokenLine
from gateway.record.note import BadNote
from tests.record.test_cosign import CHECKPOINT, COSIGNER, KEY, LOG, NOTE, NOW, ORIGIN
from tests.record.world import opened

OTHER = Cosigner("witness.example.com/w2", Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34))))
KEYS = [LOG.key(ORIGIN)]
POLICY = f'quorum = 2\nwithin_s = 3600\nkeys = ["{KEY}", "{OTHER.key}"]\n'


def noted(*at: tuple[Cosigner, int]) -> bytes:
    return NOTE + b"".join(cosigner.cosign(CHECKPOINT.text, at_s) for cosigner, at_s in at)


def test_a_policy_says_who_how_many_and_how_lately():
    found = WitnessPolicy.parse(POLICY.encode())
    assert (found.quorum, found.within_s, found.keys) == (2, 3600, (KEY, OTHER.key))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("quorum = 2", ""),
        ("quorum = 2", "quorum = 0"),
        ("quorum = 2", "quorum = 3"),
        ("quorum = 2", "quorum = true"),
        ("quorum = 2", "quorum = 1.0"),
        ("within_s = 3600", "within_s = 0"),
        ("within_s = 3600", "within_s = 3600\nmore = 1"),
        (str(OTHER.key), str(KEY)),
        (str(OTHER.key), str(Cosigner("witness.example.com/alias", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))).key)),
        (str(OTHER.key), str(LOG.key(ORIGIN))),
        ("keys = [", "keys = [7, "),
        ("keys", "quorum"),
        ("quorum", "\x00"),
    ],
)
def test_what_is_no_policy_is_refused(was, becomes):
    """One witness under two names would be a quorum of itself."""
    assert was in POLICY
    with pytest.raises(BadPolicy):
        WitnessPolicy.parse(POLICY.replace(was, becomes, 1).encode())


@given(st.binary(max_size=80))
def test_bytes_from_anywhere_are_no_policy(raw):
    with pytest.raises(BadPolicy):
        WitnessPolicy.parse(raw)


def test_only_witnesses_of_the_policy_count_and_only_within_their_time():
    policy = WitnessPolicy.parse(POLICY.encode())
    stranger = Cosigner("witness.example.com/w3", Ed25519PrivateKey.generate())

    def ages(*at) -> tuple[int, ...]:
        return witness_claims([noted(*at)], policy, KEYS, NOW + 100).ages_s

    assert ages((COSIGNER, NOW), (OTHER, NOW + 60)) == (40, 100)
    assert ages((COSIGNER, NOW), (COSIGNER, NOW - 50)) == (100,)
    assert ages((COSIGNER, NOW), (stranger, NOW)) == (100,)
    assert ages((COSIGNER, NOW - 3501), (OTHER, NOW - 3500)) == (3600,)
    assert ages((COSIGNER, NOW + 401), (OTHER, NOW + 400)) == (0,)
    assert witness_claims([], policy, KEYS, NOW).ages_s == ()


def test_what_was_cosigned_is_a_claim_even_when_it_is_old():
    policy = WitnessPolicy.parse(POLICY.encode())
    found = witness_claims([noted((COSIGNER, NOW - 10**7))], policy, KEYS, NOW)
    assert [(c.size, c.root) for c in found.claims] == [(CHECKPOINT.size, CHECKPOINT.root)]
    assert KEY.name in found.claims[0].by


def test_a_note_that_the_log_did_not_sign_or_a_wrong_cosignature_is_not_passed_over():
    policy = WitnessPolicy.parse(POLICY.encode())
    whole = noted((COSIGNER, NOW))
    for note in (whole[:-5], whole.replace(b"20852163", b"20852164"), b"", CHECKPOINT.text + b"\n" + COSIGNER.cosign(CHECKPOINT.text, NOW)):
        with pytest.raises(BadNote):
            witness_claims([note], policy, KEYS, NOW)


async def anchored(folder, *notes: bytes, origin: str = ORIGIN) -> None:
    async with opened(folder) as log:
        for note in notes:
            await log.append("anchor", {"peer": "a", "origin": origin, "size": 1, "root": "00", "note": note.decode()})


async def test_what_a_peer_recorded_is_taken_from_the_signed_checkpoint_not_from_its_words(tmp_path):
    await anchored(tmp_path, NOTE)
    found = peer_claims(tmp_path / "log", ORIGIN, KEYS)
    assert [(c.size, c.root) for c in found] == [(CHECKPOINT.size, CHECKPOINT.root)]
    records = tmp_path / "records"
    records.write_bytes(b"".join(path.read_bytes() for path in (tmp_path / "log" / "log").iterdir()))
    assert peer_claims(records, ORIGIN, KEYS) == found
    assert peer_claims(records, "gw.example/other", KEYS) == []


async def test_a_checkpoint_that_a_peer_made_up_is_not_believed(tmp_path):
    await anchored(tmp_path, NOTE.replace(b"20852163", b"20852164"))
    with pytest.raises(BadNote):
        peer_claims(tmp_path / "log", ORIGIN, KEYS)


@pytest.mark.parametrize("note", [None, 7, "", "\ud800"])
def test_an_anchor_without_a_checkpoint_and_a_line_without_a_record_are_refused(tmp_path, note):
    records = tmp_path / "records"
    line = {"n": 0, "prev": "", "t": 1, "k": "anchor", "origin": ORIGIN, "note": note}
    records.write_bytes(json.dumps(line).encode() + b"\n")
    with pytest.raises((BadNote, BrokenLine)):
        peer_claims(records, ORIGIN, KEYS)
    for raw in (b"nothing\n", b"{}\n", json.dumps(line).encode()):
        records.write_bytes(raw)
        with pytest.raises((BadNote, BrokenLine)):
            peer_claims(records, ORIGIN, KEYS)
