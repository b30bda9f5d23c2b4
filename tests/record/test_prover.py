import shutil
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import Problem
from gateway.record import BadNote, Checkpoint, LogReader, NotAsSigned, NoteSigner, Prover, ReceiptText, check_consistency, check_proof
from gateway.record.tree import leaf_hash
from tests.record.test_leaves import long_log, roots
from tests.record.world import ORIGIN, files, keys, lines, opened, plain, small_log, twin


def prover_of(folder) -> Prover:
    return Prover(LogReader(folder / "log"), keys(folder))


async def test_every_record_of_a_log_is_proven_and_its_proof_holds_without_the_log(tmp_path):
    await small_log(tmp_path)
    stored = lines(tmp_path)
    prover = prover_of(tmp_path)
    for n, line in enumerate(stored):
        found = check_proof(bytes(prover.inclusion(n)), keys(tmp_path))
        assert (found.n, found.record, found.checkpoint.size) == (n, line, len(stored))
    prover.close()


async def test_a_proof_without_its_record_takes_at_most_1_kb(tmp_path):
    await long_log(tmp_path, 2_000)
    prover = prover_of(tmp_path)
    prover.inclusion(0)
    proof = bytes(prover.inclusion(1_000).without_record())
    assert len(proof) <= 1_024
    prover.close()


async def test_every_earlier_state_is_shown_to_be_the_beginning(tmp_path):
    await small_log(tmp_path)
    stored = lines(tmp_path)
    prover = prover_of(tmp_path)
    newest = prover.checkpoint()
    for size, root in enumerate(roots(stored)):
        prefix = prover.prefix(size, newest)
        assert (prefix.size, prefix.root) == (size, root)
        check_consistency(size, root, newest.size, newest.root, prefix.path)
    prover.close()


async def test_a_record_that_is_not_signed_is_not_proven(tmp_path):
    await small_log(tmp_path)
    count = len(lines(tmp_path))
    prover = prover_of(tmp_path)
    for n in (-1, count, count + 1_000):
        with pytest.raises(Problem, match="no checkpoint"):
            prover.inclusion(n)
        with pytest.raises(Problem, match="no checkpoint"):
            prover.record(n)
    prover.close()


async def test_a_log_that_was_changed_gives_no_proof(tmp_path):
    await small_log(tmp_path)
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"call-0", b"call-7"))
    prover = prover_of(tmp_path)
    for n in range(len(lines(tmp_path))):
        with pytest.raises(NotAsSigned):
            prover.inclusion(n)
    for size in (0, 1, prover.checkpoint().size):
        with pytest.raises(NotAsSigned):
            prover.prefix(size, prover.checkpoint())
    prover.close()


async def test_a_log_that_was_changed_after_it_was_indexed_gives_no_proof_of_the_change(tmp_path):
    """The index still has the old leaf, whose proof would hold: what is given out is the record."""
    await small_log(tmp_path)
    prover = prover_of(tmp_path)
    prover.inclusion(1)
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"call-0", b"call-7"))
    with pytest.raises(NotAsSigned):
        prover.inclusion(1)
    prover.close()


async def test_an_index_of_another_log_does_no_harm(tmp_path):
    await small_log(tmp_path / "a")
    await small_log(tmp_path / "b", calls=9)
    for name in ("a", "b"):
        prover = prover_of(tmp_path / name)
        prover.inclusion(0)
        prover.close()
    shutil.rmtree(tmp_path / "a" / "log" / "idx")
    shutil.copytree(tmp_path / "b" / "log" / "idx", tmp_path / "a" / "log" / "idx")
    prover = prover_of(tmp_path / "a")
    stored = lines(tmp_path / "a")
    assert prover.inclusion(3).record == stored[3]
    assert prover.prefix(2, prover.checkpoint()).root == roots(stored)[2]
    prover.close()


async def test_a_log_without_a_signature_that_counts_gives_no_proof(tmp_path):
    await small_log(tmp_path)
    for found in ((), keys(tmp_path, "gw.example/other")):
        prover = Prover(LogReader(tmp_path / "log"), found)
        with pytest.raises(BadNote):
            prover.inclusion(0)
        prover.close()
    copy = twin(tmp_path, tmp_path.with_name(tmp_path.name + "-copy"))
    (copy / "log" / "checkpoint").unlink()
    prover = prover_of(copy)
    with pytest.raises(BadNote, match="nothing is signed"):
        prover.inclusion(0)
    prover.close()


async def test_a_key_of_another_log_signs_no_checkpoint_of_this_one(tmp_path):
    await small_log(tmp_path)
    stranger = NoteSigner(Ed25519PrivateKey.generate())
    forged = Checkpoint(ORIGIN, 1, roots(lines(tmp_path))[1])
    (tmp_path / "log" / "checkpoint").write_bytes(stranger.sign("gw.example/other", forged.text))
    prover = Prover(LogReader(tmp_path / "log"), [*keys(tmp_path), stranger.key("gw.example/other")])
    with pytest.raises(BadNote):
        prover.inclusion(0)
    prover.close()


async def test_proofs_follow_a_log_that_is_being_written(tmp_path):
    async with opened(tmp_path, checkpoint_records=2, segment_bytes_max=1_000) as log:
        prover = prover_of(tmp_path)
        for number in range(40):
            receipt = await log.append("call", plain(number))
            deadline = time.monotonic() + 10
            while prover.checkpoint().size <= receipt.n - 2 and time.monotonic() < deadline:
                time.sleep(0.005)
            size = prover.checkpoint().size
            found = check_proof(bytes(prover.inclusion(size - 1)), keys(tmp_path))
            assert leaf_hash(found.record) == leaf_hash(prover.record(size - 1).line)
        prover.close()


def test_a_receipt_is_read_in_its_one_form():
    leaf = "ab" * 32
    assert ReceiptText.parse(f"{ORIGIN}#7;{leaf}") == ReceiptText(ORIGIN, 7, bytes.fromhex(leaf))
    assert ReceiptText.parse(f" portreeve-decision: {ORIGIN}#0;{leaf}\n") == ReceiptText(ORIGIN, 0, bytes.fromhex(leaf))
    for text in ("", ORIGIN, f"{ORIGIN}#07;{leaf}", f"{ORIGIN}#-1;{leaf}", f"{ORIGIN}#7;{leaf[:-1]}", f"{ORIGIN}#7;{leaf.upper()}", f"a b#7;{leaf}"):
        assert ReceiptText.parse(text) is None


async def test_an_index_that_was_changed_along_with_a_record_does_not_vouch_for_it(tmp_path):
    await small_log(tmp_path)
    prover_of(tmp_path).inclusion(0)
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"call-0", b"call-7"))
    index = tmp_path / "log" / "idx" / "hashes.0"
    index.write_bytes(b"".join(leaf_hash(line) for line in lines(tmp_path)))
    prover = prover_of(tmp_path)
    assert b"call-7" in lines(tmp_path)[1]
    for n in range(len(lines(tmp_path))):
        with pytest.raises(NotAsSigned):
            prover.record(n)
    prover.close()


async def test_an_index_whose_columns_disagree_gives_no_prefix_that_never_was(tmp_path):
    await long_log(tmp_path)
    stored = lines(tmp_path)
    prover = prover_of(tmp_path)
    newest = prover.checkpoint()
    prover.inclusion(0)
    index = tmp_path / "log" / "idx" / "hashes.0"
    forged = bytearray(index.read_bytes())
    forged[32 * 3] ^= 1  # the columns above still lead to the signed root
    index.write_bytes(bytes(forged))
    assert prover.prefix(4, newest).root == roots(stored)[4]
    prover.close()
