import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.record.cosign import Cosigner, WitnessKey, cosignatures
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_checkpoint, signature_line
from gateway.record.signer import NoteSigner

ORIGIN = "example.com/behind-the-sofa"
LOG = NoteSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
COSIGNER = Cosigner("witness.example.com/w1", PRIVATE)
KEY = COSIGNER.key
CHECKPOINT = Checkpoint(ORIGIN, 20852163, b"\x07" * 32)
NOTE = LOG.sign(ORIGIN, CHECKPOINT.text)
NOW = 1_679_315_147

# The example of c2sp.org/tlog-cosignature: its form and its time are whole, its keys are not given.
EXAMPLE = "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="


def test_a_cosignature_has_the_form_of_the_specification():
    line = COSIGNER.cosign(CHECKPOINT.text, NOW)
    example, ours = base64.b64decode(EXAMPLE), base64.b64decode(line.split()[2])
    assert len(example) == len(ours) == 4 + 8 + 64
    assert example[4:12] == ours[4:12] == NOW.to_bytes(8, "big")
    signed = b"cosignature/v1\ntime 1679315147\n" + CHECKPOINT.text
    PRIVATE.public_key().verify(ours[12:], signed)
    assert line.startswith(f"— {KEY.name} ".encode())
    assert line.endswith(b"\n")


def test_cosignatures_are_told_with_their_newest_time_and_strangers_are_let_be():
    other = Cosigner("witness.example.com/w2", Ed25519PrivateKey.generate())
    twin = Cosigner(KEY.name, Ed25519PrivateKey.generate())
    lines = b"".join(COSIGNER.cosign(CHECKPOINT.text, at) for at in (NOW, NOW + 60, NOW - 60)) + other.cosign(CHECKPOINT.text, NOW)
    note = NOTE + lines + twin.cosign(CHECKPOINT.text, NOW + 999)
    assert cosignatures(note, [KEY]) == {KEY: NOW + 60}
    assert cosignatures(note, [KEY, other.key]) == {KEY: NOW + 60, other.key: NOW}
    assert cosignatures(NOTE, [KEY]) == {}
    assert cosignatures(note, []) == {}
    assert open_checkpoint(note, [LOG.key(ORIGIN)]).size == CHECKPOINT.size


def test_a_known_witness_s_wrong_cosignature_spoils_the_note():
    line = COSIGNER.cosign(CHECKPOINT.text, NOW)
    raw = base64.b64decode(line.split()[2])
    for at in range(4, len(raw)):
        broken = signature_line(KEY.name, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(BadNote, match="wrong"):
            cosignatures(NOTE + broken, [KEY])
    with pytest.raises(BadNote):
        cosignatures(LOG.sign(ORIGIN, Checkpoint(ORIGIN, 5, b"\x07" * 32).text) + line, [KEY])


def test_a_cosignature_without_a_time_is_wrong():
    signed = PRIVATE.sign(b"cosignature/v1\ntime 0\n" + CHECKPOINT.text)
    with pytest.raises(BadNote):
        cosignatures(NOTE + signature_line(KEY.name, KEY.id + bytes(8) + signed), [KEY])


def test_a_witness_s_key_is_no_log_s_key_and_the_other_way_round():
    assert WitnessKey.parse(str(KEY)) == KEY
    assert KEY.id != NoteKey(KEY.name, KEY.public).id
    for kind, text in ((WitnessKey, str(LOG.key(ORIGIN))), (NoteKey, str(KEY)), (WitnessKey, str(KEY)[:-1]), (WitnessKey, "")):
        with pytest.raises(BadNote):
            kind.parse(text)
    with pytest.raises(BadNote):
        open_checkpoint(CHECKPOINT.text + b"\n" + COSIGNER.cosign(CHECKPOINT.text, NOW), [NoteKey(KEY.name, KEY.public)])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n", "x" * 256])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(BadNote):
        Cosigner(name, PRIVATE)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=90).map(lambda raw: NOTE + signature_line(KEY.name, KEY.id + raw))))
def test_bytes_from_anywhere_are_nobody_s_cosignature(raw):
    try:
        assert cosignatures(raw, [KEY]) == {}
    except BadNote:
        return
