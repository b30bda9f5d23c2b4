import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.record.note import BadNote, Checkpoint
from gateway.record.proof import BadProof, prove_inclusion
from gateway.record.signer import NoteSigner
from gateway.record.tlogproof import TlogProof, check_proof, read_hashes
from tests.record.test_tree import LEAVES, ROOTS, defined

ORIGIN = "example.com/log"
SIGNER = NoteSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEY = SIGNER.key(ORIGIN)
NOTE = SIGNER.sign(ORIGIN, Checkpoint(ORIGIN, 8, bytes.fromhex(ROOTS[7])).text)
PROOF = TlogProof(5, tuple(prove_inclusion(5, 8, lambda start, end: defined(LEAVES[start:end]))), NOTE, LEAVES[5])
RAW = bytes(PROOF)

# The form of the example of c2sp.org/tlog-proof, whose hashes are whole and whose signatures are not.
EXAMPLE = b"""c2sp.org/tlog-proof@v1
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

"""


def test_a_proof_is_written_in_the_form_of_the_specification():
    lines = RAW.decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", f"extra {base64.b64encode(LEAVES[5]).decode()}", "index 5"]
    assert [len(base64.b64decode(line)) for line in lines[3:6]] == [32, 32, 32]
    assert lines[6] == ""
    assert "\n".join(lines[7:]).encode() == NOTE
    assert bytes(PROOF.without_record()) == RAW.replace(lines[1].encode() + b"\n", b"")


def test_the_example_of_the_specification_reads_back_as_it_is():
    found = TlogProof.parse(EXAMPLE)
    assert (found.n, len(found.path), found.record) == (73894, 5, None)
    assert bytes(found) == EXAMPLE


def test_a_proof_needs_nothing_but_the_key():
    found = check_proof(RAW, [KEY])
    assert (found.n, found.record, found.checkpoint.size) == (5, LEAVES[5], 8)
    assert check_proof(bytes(PROOF.without_record()), [KEY], record=LEAVES[5]) == found


def test_the_record_is_not_believed_for_standing_in_the_proof():
    with pytest.raises(BadProof, match="signed root"):
        check_proof(bytes(TlogProof(5, PROOF.path, NOTE, LEAVES[4])), [KEY])
    with pytest.raises(BadProof, match="signed root"):
        check_proof(bytes(PROOF.without_record()), [KEY], record=LEAVES[4])
    with pytest.raises(BadProof, match="another record"):
        check_proof(RAW, [KEY], record=LEAVES[4])
    with pytest.raises(BadProof, match="without its record"):
        check_proof(bytes(PROOF.without_record()), [KEY])


def test_a_key_speaks_for_the_log_of_its_name_only():
    """The other log's owner, trusted for that log, signs a checkpoint of this one."""
    other = NoteSigner(Ed25519PrivateKey.generate())
    note = other.sign("example.com/other", Checkpoint(ORIGIN, 8, bytes.fromhex(ROOTS[7])).text)
    with pytest.raises(BadNote):
        check_proof(bytes(TlogProof(5, PROOF.path, note, LEAVES[5])), [KEY, other.key("example.com/other")])
    with pytest.raises(BadNote):
        check_proof(RAW, [])


def test_every_changed_byte_of_a_proof_is_found():
    for at in range(len(RAW)):
        for change in (0x01, 0x20, 0x80):
            broken = RAW[:at] + bytes([RAW[at] ^ change]) + RAW[at + 1 :]
            with pytest.raises((BadProof, BadNote)):
                check_proof(broken, [KEY])


def test_a_cut_proof_proves_nothing():
    for end in range(len(RAW)):
        with pytest.raises((BadProof, BadNote)):
            check_proof(RAW[:end], [KEY])


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"index 5", b"index 05"),
        (b"index 5", b"index +5"),
        (b"index 5", b"index \xd9\xa5"),
        (b"index 5", b"index 5 "),
        (b"index 5", b"index 99999999999999999999"),
        (b"index 5\n", b""),
        (b"@v1", b"@v2"),
        (b"extra ", b"extra  "),
        (b"\n\n", b"\n" + b"AAAA\n" + b"\n"),
        (b"index 5", b"index 5" + (b"\n" + base64.b64encode(bytes(32))) * 64),
        (b"index 5", b"index 5\r"),
    ],
)
def test_a_second_spelling_of_a_proof_is_none(was, becomes):
    assert was in RAW
    with pytest.raises((BadProof, BadNote)):
        check_proof(RAW.replace(was, becomes, 1), [KEY])


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=60).map(lambda raw: b"c2sp.org/tlog-proof@v1\nindex 5\n" + raw + b"\n\n" + NOTE)))
def test_bytes_from_anywhere_are_refused_and_nothing_else_happens(raw):
    with pytest.raises((BadProof, BadNote)):
        check_proof(raw, [KEY], record=LEAVES[5])


@given(at=st.integers(0, len(RAW)), cut=st.integers(0, 40), put=st.binary(max_size=40))
def test_a_proof_with_a_piece_replaced_is_refused(at, cut, put):
    changed = RAW[:at] + put + RAW[at + cut :]
    if changed != RAW:
        with pytest.raises((BadProof, BadNote)):
            check_proof(changed, [KEY])


def test_a_hash_has_one_spelling_and_a_proof_an_end():
    """Base64 of 32 bytes leaves two bits of the last digit unused, and decoders ignore them."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    line = base64.b64encode(PROOF.path[0]).decode()
    read = []
    for digit in digits:
        try:
            read += [found for found in read_hashes([line[:-2] + digit + "="]) if found == PROOF.path[0]]
        except BadProof:
            continue
    assert read == [PROOF.path[0]]
    assert len(read_hashes([line] * 63)) == 63
    with pytest.raises(BadProof, match="at most 63"):
        read_hashes([line] * 64)
