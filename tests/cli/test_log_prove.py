"""Proofs on the command line: made from a log, checked without it, and what each attack on them says and exits with."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.record import Checkpoint, LogReader, NoteSigner
from gateway.record.tree import leaf_hash
from tests.cli.test_log import at, run
from tests.record.test_pruning import pruned
from tests.record.world import ORIGIN, files, keys, lines, opened, plain, small_log, twin


@pytest.fixture
async def place(tmp_path):
    await small_log(tmp_path / "a")
    (tmp_path / "a" / "key").write_text(f"{keys(tmp_path / 'a')[0]}\n")
    return tmp_path / "a"


def note_of(folder, size: int | None = None) -> bytes:
    """The newest checkpoint, or the one of this size."""
    if size is None:
        return (folder / "log" / "checkpoint").read_bytes()
    notes = (folder / "log" / "checkpoints").read_bytes().split(f"{ORIGIN}\n".encode())[1:]
    return next(ORIGIN.encode() + b"\n" + note for note in notes if note.startswith(b"%d\n" % size))


def sizes(folder) -> list[int]:
    notes = (folder / "log" / "checkpoints").read_bytes().split(f"{ORIGIN}\n".encode())[1:]
    return [int(note.partition(b"\n")[0]) for note in notes]


def receipt(folder, n: int) -> str:
    return f"{ORIGIN}#{n};{leaf_hash(lines(folder)[n]).hex()}"


def test_a_proof_is_made_from_the_log_and_checked_without_it(place, tmp_path):
    proof = tmp_path / "3.tlog-proof"
    assert run("prove", 3, *at(place), "--out", proof).exit_code == 0
    done = run("check-proof", proof, "--key", place / "key")
    assert (done.exit_code, done.stdout.split()[:3]) == (0, ["ok", "record", "3"])
    found = json.loads(run("check-proof", proof, "--key", place / "key", "--json").stdout)
    assert (found["n"], found["record"].encode(), found["size"]) == (3, lines(place)[3], len(lines(place)))
    assert run("prove", 3, *at(place)).stdout.encode() == proof.read_bytes()


def test_a_bare_proof_is_checked_with_the_record_beside_it(place, tmp_path):
    proof, record = tmp_path / "proof", tmp_path / "record"
    run("prove", 3, *at(place), "--bare", "--out", proof)
    assert b"extra" not in proof.read_bytes()
    assert run("check-proof", proof, "--key", place / "key").exit_code == 1
    record.write_text(run("show", 3, *at(place, key=False), "--json").stdout)
    assert run("check-proof", proof, "--key", place / "key", "--record", record).exit_code == 0
    record.write_text(run("show", 4, *at(place, key=False), "--json").stdout)
    done = run("check-proof", proof, "--key", place / "key", "--record", record)
    assert (done.exit_code, "nothing is proven" in done.stderr) == (1, True)


def test_a_proof_signed_by_somebody_else_exits_with_4(place, tmp_path):
    proof, other = tmp_path / "proof", tmp_path / "other"
    run("prove", 3, *at(place), "--out", proof)
    other.write_text(f"{NoteSigner(Ed25519PrivateKey.generate()).key(ORIGIN)}\n")
    assert run("check-proof", proof, "--key", other).exit_code == 4


def test_a_record_without_a_signature_is_not_proven(place):
    with pytest.raises(Exception, match="no checkpoint"):
        run("prove", 10_000, *at(place))


def test_a_changed_log_gives_no_proof(place):
    path = files(place)[0]
    path.write_bytes(path.read_bytes().replace(b"call-0", b"call-7"))
    done = run("prove", 1, *at(place))
    assert (done.exit_code, done.stdout) == (1, "")


def test_every_receipt_of_a_log_is_found_in_it(place):
    for n in range(len(lines(place))):
        assert run("check-receipt", receipt(place, n), *at(place)).exit_code == 0
    found = json.loads(run("check-receipt", f"portreeve-decision: {receipt(place, 2)}", *at(place), "--json").stdout)
    assert (found["ok"], found["n"]) == (True, 2)


async def test_a_receipt_finds_a_log_that_was_rewritten_with_its_own_key(place, tmp_path):
    """Whoever has the key and the disk can write another history, signed and sound; a receipt in an agent's hands does not go with it."""
    held = receipt(place, 2)
    other = tmp_path / "b"
    (other / "keys").mkdir(parents=True)
    for name in ("log.key", "log.vkey"):
        (other / "keys" / name).write_bytes((place / "keys" / name).read_bytes())
        (other / "keys" / name).chmod(0o600)
    await small_log(other, calls=6)
    (other / "key").write_bytes((place / "key").read_bytes())
    assert run("verify", *at(other)).exit_code == 0
    done = run("check-receipt", held, *at(other))
    assert (done.exit_code, "not the one the receipt was given for" in done.stderr) == (1, True)


def test_a_receipt_of_another_log_or_beyond_the_end_or_without_form_is_refused(place):
    assert run("check-receipt", receipt(place, 2).replace(ORIGIN, "gw.example/other"), *at(place)).exit_code == 1
    assert run("check-receipt", receipt(place, 2).replace("#2;", "#99;"), *at(place)).exit_code == 1
    assert run("check-receipt", receipt(place, 2)[:-1], *at(place)).exit_code == 2


def test_a_later_checkpoint_goes_on_from_an_earlier_one(place, tmp_path):
    old, new, proof = tmp_path / "old", tmp_path / "new", tmp_path / "proof"
    old.write_bytes(note_of(place, sizes(place)[1]))
    new.write_bytes(note_of(place))
    done = run("consistency", new, old, *at(place))
    assert (done.exit_code, "go on from" in done.stderr) == (0, True)
    assert all(len(base64.b64decode(line)) == 32 for line in done.stdout.splitlines())
    assert run("consistency", sizes(place)[1], len(lines(place)), *at(place)).stdout == done.stdout
    proof.write_text(done.stdout)
    assert run("consistency", old, new, "--proof", proof, "--key", place / "key").exit_code == 0
    proof.write_text(done.stdout + done.stdout.splitlines()[0] + "\n")
    assert run("consistency", old, new, "--proof", proof, "--key", place / "key").exit_code == 1


def test_two_signed_checkpoints_of_one_size_with_two_roots_are_kept_as_evidence(place, tmp_path):
    one, two, evidence = tmp_path / "one", tmp_path / "two", tmp_path / "fork"
    newest = LogReader(place / "log").checkpoint(keys(place))
    one.write_bytes(newest.note)
    two.write_bytes(NoteSigner.open(place / "keys").sign(ORIGIN, Checkpoint(ORIGIN, newest.size, b"\x07" * 32).text))
    done = run("consistency", one, two, *at(place), "--evidence", evidence)
    assert (done.exit_code, "FORK" in done.stderr) == (1, True)
    kept = evidence.read_bytes()
    assert one.read_bytes() in kept
    assert two.read_bytes() in kept


def test_a_checkpoint_of_another_history_is_found(place, tmp_path):
    seen = tmp_path / "seen"
    signer = NoteSigner.open(place / "keys")
    for size, root in ((2, b"\x07" * 32), (10_000, b"\x07" * 32)):
        seen.write_bytes(signer.sign(ORIGIN, Checkpoint(ORIGIN, size, root).text))
        assert run("consistency", seen, 3, *at(place)).exit_code == 1
    seen.write_bytes(NoteSigner(Ed25519PrivateKey.generate()).sign(ORIGIN, Checkpoint(ORIGIN, 2, b"\x07" * 32).text))
    assert run("consistency", seen, 3, *at(place)).exit_code == 4
    assert run("consistency", 3, 10_000, *at(place)).exit_code == 2


async def test_a_log_set_back_to_an_earlier_state_is_found_by_a_later_checkpoint(tmp_path):
    async with opened(tmp_path / "a") as log:
        await log.append("call", plain(1))
    earlier = twin(tmp_path / "a", tmp_path / "b")
    async with opened(tmp_path / "a") as log:
        await log.append("call", plain(2))
    (earlier / "key").write_text(f"{keys(earlier)[0]}\n")
    seen = tmp_path / "seen"
    seen.write_bytes(note_of(tmp_path / "a"))
    assert run("verify", *at(earlier)).exit_code == 0
    done = run("consistency", seen, 1, *at(earlier))
    assert (done.exit_code, "set back" in done.stderr) == (1, True)


async def test_what_was_pruned_is_missing_and_not_wrong_usage(tmp_path):
    folder = tmp_path / "b"
    await small_log(folder, calls=10)
    await pruned(folder, 12)
    (folder / "key").write_text(f"{keys(folder)[0]}\n")
    for words in (("prove", 0), ("check-receipt", f"{ORIGIN}#0;{'0' * 64}")):
        done = run(*words, *at(folder))
        assert (done.exit_code, "record 0 was pruned" in done.output) == (3, True)
