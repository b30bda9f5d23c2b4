"""The witness against the public vectors of its protocol, against real logs, and against what its enemies would send."""

import base64
import hashlib
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.record.cosign import Cosigner, cosignatures
from gateway.record.note import Checkpoint, NoteKey, open_checkpoint
from gateway.record.proof import prove_consistency
from gateway.record.signer import NoteSigner
from gateway.record.tree import EMPTY_ROOT
from gateway.record.witness import Witness
from tests.record.test_proof import root

ORIGIN = "gw.example/log"
SIGNER = NoteSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
COSIGNER = Cosigner("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
NOW = 1_700_000_000

# Requests that other witnesses of this protocol are tested with: a checkpoint of the Go checksum database, and a log of five Sigsum leaves.
SUMDB_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB = """old 0

go.sum database tree
35225469
vt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=

— sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=
""".encode()
SIGSUM_ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SIGSUM_KEY = NoteKey(SIGSUM_ORIGIN, bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"))
LEAVES = ["KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
SIGSUM_1 = (
    "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=",
)
SIGSUM_3 = (
    "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=",
    "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=",
)


def sigsum(old: int, proof: list[str], size: int, signed: tuple[str, str]) -> bytes:
    return "\n".join([f"old {old}", *proof, "", SIGSUM_ORIGIN, str(size), signed[0], "", f"— {SIGSUM_ORIGIN} {signed[1]}", ""]).encode()


def note_of(size: int, top: bytes | None = None, signer: NoteSigner = SIGNER) -> bytes:
    return signer.sign(ORIGIN, Checkpoint(ORIGIN, size, root(0, size) if top is None else top).text)


def request(old: int, size: int, *, note: bytes | None = None, proof: list[bytes] | None = None) -> bytes:
    hashes = prove_consistency(old, size, root) if proof is None else proof
    return b"\n".join([b"old %d" % old, *map(base64_of, hashes)]) + b"\n\n" + (note_of(size) if note is None else note)


def base64_of(raw: bytes) -> bytes:
    return base64.b64encode(raw)


@pytest.fixture
def witness(tmp_path):
    logs = {ORIGIN: (SIGNER.key(ORIGIN),), "go.sum database tree": (NoteKey.parse(SUMDB_KEY),), SIGSUM_ORIGIN: (SIGSUM_KEY,)}
    found = Witness(tmp_path, COSIGNER, logs)
    yield found
    found.close()


def seen(witness, origin: str = ORIGIN) -> bytes | None:
    return witness.latest(hashlib.sha256(origin.encode()).hexdigest())


def test_the_checkpoint_of_the_go_checksum_database_is_cosigned(witness):
    """Its origin has spaces and is not its key's name."""
    assert witness.add(SUMDB, NOW).status == 200
    assert seen(witness, "go.sum database tree") is not None


def test_the_public_vectors_of_a_sigsum_log_are_answered_as_other_witnesses_answer_them(witness):
    forged = (SIGSUM_3[0], SIGSUM_3[1].replace("go=", "gx="))
    unknown = sigsum(1, LEAVES, 3, SIGSUM_3).replace(b"e562", b"e563")
    requests = [
        (sigsum(0, [], 1, SIGSUM_1), 200),
        (sigsum(1, LEAVES, 3, (SIGSUM_3[0], SIGSUM_1[1])), 403),
        (sigsum(1, LEAVES, 3, forged), 400),
        (unknown, 404),
        (sigsum(1, [], 3, SIGSUM_3), 422),
        (sigsum(1, [LEAVES[0], LEAVES[1].replace("AAA=", "BAA=")], 3, SIGSUM_3), 422),
        (sigsum(1, LEAVES, 3, SIGSUM_3), 200),
        (sigsum(1, LEAVES, 3, SIGSUM_3), 409),
    ]
    assert [witness.add(body, NOW).status for body, _ in requests] == [status for _, status in requests]


def test_what_goes_on_is_cosigned_and_a_client_can_check_it(witness):
    at = 0
    for size in (1, 2, 5, 5, 64, 130):
        answer = witness.add(request(at, size), NOW + size)
        at = size
        assert answer.status == 200
        assert cosignatures(note_of(size) + answer.body, [COSIGNER.key]) == {COSIGNER.key: NOW + size}
        assert open_checkpoint(seen(witness), [SIGNER.key(ORIGIN)]).size == size


def test_whoever_does_not_know_the_size_is_told(witness):
    witness.add(request(0, 5), NOW)
    answer = witness.add(request(0, 9), NOW)
    assert (answer.status, answer.body, answer.type) == (409, b"5\n", "text/x.tlog.size")
    assert witness.add(request(5, 9), NOW).status == 200


def test_a_second_history_is_not_cosigned_and_two_roots_of_one_size_are_kept(witness, tmp_path):
    """The attack: one key, two histories, each shown to somebody else."""
    witness.add(request(0, 5), NOW)
    fork = note_of(5, b"\x07" * 32)
    assert witness.add(request(5, 5, note=fork), NOW).status == 422
    (evidence,) = (tmp_path / "evidence").iterdir()
    assert fork in evidence.read_bytes()
    assert witness.add(request(5, 9, note=note_of(9, b"\x08" * 32)), NOW).status == 422
    assert witness.add(request(5, 9, note=note_of(9, b"\x08" * 32), proof=[]), NOW).status == 422
    assert witness.add(request(5, 4, proof=[]), NOW).status == 400
    assert witness.add(request(4, 4, proof=[]), NOW).status == 409
    assert open_checkpoint(seen(witness), [SIGNER.key(ORIGIN)]).size == 5


def test_an_empty_log_has_one_root_and_needs_no_proof(witness):
    assert witness.add(request(0, 0, note=note_of(0, b"\x07" * 32)), NOW).status == 422
    assert witness.add(request(0, 0, note=note_of(0, EMPTY_ROOT)), NOW).status == 200
    assert witness.add(request(0, 5, proof=[b"\x07" * 32]), NOW).status == 422
    assert witness.add(request(0, 5), NOW).status == 200


def test_what_no_key_of_the_log_has_signed_is_not_cosigned(witness):
    stranger = NoteSigner(Ed25519PrivateKey.generate())
    assert witness.add(request(0, 5, note=note_of(5, signer=stranger)), NOW).status == 403
    both = note_of(5) + note_of(5, signer=stranger).rpartition(b"\n\n")[2]
    assert witness.add(request(0, 5, note=both), NOW).status == 200
    assert stranger.key(ORIGIN).id.hex() not in seen(witness).hex()


def test_a_forged_cosignature_in_the_request_does_not_poison_what_is_kept(witness):
    forged = f"— {COSIGNER.key.name} ".encode() + base64_of(COSIGNER.key.id + bytes(72)) + b"\n"
    assert witness.add(request(0, 5, note=note_of(5) + forged), NOW).status == 200
    assert witness.add(request(5, 9), NOW).status == 200


def test_a_restart_forgets_nothing_and_two_processes_are_not_one_witness(tmp_path):
    logs = {ORIGIN: (SIGNER.key(ORIGIN),)}
    first = Witness(tmp_path, COSIGNER, logs)
    first.add(request(0, 5), NOW)
    with pytest.raises(Problem, match="another process"):
        Witness(tmp_path, COSIGNER, logs)
    first.close()
    second = Witness(tmp_path, COSIGNER, logs)
    assert second.add(request(0, 9), NOW).status == 409
    assert second.add(request(5, 5, note=note_of(5, b"\x07" * 32)), NOW).status == 422
    second.close()


def test_a_witness_whose_memory_was_changed_cosigns_nothing(tmp_path):
    witness = Witness(tmp_path, COSIGNER, {ORIGIN: (SIGNER.key(ORIGIN),)})
    witness.add(request(0, 5), NOW)
    (kept,) = (tmp_path / "logs").iterdir()
    whole = kept.read_bytes()
    for broken in (b"", whole[:-5], note_of(4), note_of(7, b"\x07" * 32) + whole.splitlines(keepends=True)[-1]):
        kept.write_bytes(broken)
        with pytest.raises(Problem, match="cannot be read"):
            witness.add(request(5, 9), NOW)
    witness.close()


def test_of_two_requests_at_once_one_is_told_that_it_came_late(witness):
    """Cosigning the smaller one after the larger one would set the witness back."""
    answers: list[int] = []
    barrier = threading.Barrier(8)

    def ask(size: int) -> None:
        barrier.wait()
        answers.append(witness.add(request(0, size), NOW).status)

    threads = [threading.Thread(target=ask, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7


def test_nothing_is_cosigned_that_is_not_on_the_disk(witness, tmp_path):
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").write_bytes(b"")
    with pytest.raises(OSError):
        witness.add(request(0, 5), NOW)


@pytest.mark.parametrize(
    ("was", "becomes", "status"),
    [
        (b"old 0", b"old 00", 400),
        (b"old 0", b"old -1", 400),
        (b"old 0", b"old", 400),
        (b"old 0", b"OLD 0", 400),
        (b"old 0\n", b"old 0\r\n", 400),
        (b"\n5\n", b"\n05\n", 403),
        (b"old 0\n", b"old 0\n" + b"\n".join([base64_of(bytes(32))] * 64) + b"\n", 400),
        (b"old 0\n", b"old 0\n" + base64_of(bytes(31)) + b"\n", 400),
        ("— ".encode(), b"- ", 400),
        (b"old 0", b"old 99999999999999999999", 400),
        (ORIGIN.encode(), b"", 404),
        (b"gw.example", b"gw.\xff", 404),
    ],
)
def test_a_request_has_one_form(witness, was, becomes, status):
    body = request(0, 5)
    assert was in body
    assert witness.add(body.replace(was, becomes, 1), NOW).status == status
    assert seen(witness) is None


@pytest.mark.parametrize(("more", "status"), [("an extension\n", 200), ("\x01\n", 400), ("\n", 400)])
def test_a_checkpoint_of_another_maker_may_have_further_lines(witness, more, status):
    text = Checkpoint(ORIGIN, 5, root(0, 5)).text + more.encode()
    answer = witness.add(request(0, 5, note=SIGNER.sign(ORIGIN, text)), NOW)
    assert answer.status == status
    if status == 200:
        assert cosignatures(SIGNER.sign(ORIGIN, text) + answer.body, [COSIGNER.key])
        assert witness.add(request(5, 9), NOW).status == 200


def test_a_root_has_one_spelling(witness):
    """Base64 of 32 bytes leaves two bits of the last digit unused: two texts, both signed, would be one checkpoint."""
    text = Checkpoint(ORIGIN, 5, root(0, 5)).text
    digit = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = text[:-3] + digit[digit.index(text[-3]) + 1 :][:1] + b"=\n"
    assert witness.add(request(0, 5, note=SIGNER.sign(ORIGIN, other)), NOW).status == 400


@given(at=st.integers(0, 400), cut=st.integers(0, 60), put=st.binary(max_size=60), raw=st.binary(max_size=200))
def test_a_request_from_anywhere_is_answered_and_cosigned_only_if_it_is_the_logs(tmp_path_factory, at, cut, put, raw):
    witness = Witness(tmp_path_factory.mktemp("w"), COSIGNER, {ORIGIN: (SIGNER.key(ORIGIN),)})
    assert 400 <= witness.add(raw, NOW).status < 500
    body = request(0, 5)
    changed = body[:at] + put + body[at + cut :]
    answer = witness.add(changed, NOW)
    if answer.status == 200:
        assert open_checkpoint(seen(witness), [SIGNER.key(ORIGIN)]).text in body
    witness.close()
