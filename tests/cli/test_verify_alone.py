"""The verifier that stands alone says what `verify_folder` says, on sound logs and on broken ones, and needs nothing but Python."""

import ast
import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli import verify_alone
from gateway.cli.verify_alone import KEY, Wrong, is_signed, keys_in, verified
from gateway.record import Checkpoint, LogFolder, NoteSigner, parse_keys, verify_folder
from gateway.record.archiving import archive
from gateway.record.control import rotate_key
from gateway.record.packed import pack
from gateway.record.reader import lines_of
from tests.cli.test_log import run
from tests.record.test_pruning import pruned
from tests.record.test_verify import forge, hide_a_failure, rewrite
from tests.record.world import ORIGIN, files, keys, lines, opened, plain, root, small_log, twin
from tests.record.world import settings as world_settings

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "log" / "v1"
SOURCE = Path(verify_alone.__file__)

# RFC 8032 section 7.1, tests 1 to 3: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.fixture
async def log(tmp_path) -> Path:
    await small_log(tmp_path, calls=3)
    (tmp_path / "key").write_text(f"{keys(tmp_path)[0]}\n")
    return tmp_path


def alone(folder: Path, *, every: bool = True, key: bool = True) -> int:
    try:
        assert verified(folder / "log", keys_in(folder / "key") if key else None, every=every)
    except Wrong as wrong:
        return wrong.code
    return 0


def script(*words: object) -> subprocess.CompletedProcess[str]:
    """As an auditor runs it: no site packages, no environment, another place."""
    return subprocess.run([sys.executable, "-I", "-S", SOURCE, *map(str, words)], capture_output=True, text=True, cwd="/", check=False, timeout=60)


def test_it_verifies_the_golden_log_with_nothing_installed():
    done = script(VECTORS / "folder", "--key", VECTORS / "key", "--every")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok  15 records, root 81da530416d1b0556379879080e6375e25b31f9e265335092d92c98fcde44488")


def test_without_a_key_a_sound_chain_is_not_proven():
    assert script(VECTORS / "folder").returncode == 4
    done = script(VECTORS / "folder", "--chain")
    assert (done.returncode, "nobody has looked" in done.stdout) == (0, True)


def test_wrong_usage_and_no_log_are_told_apart(tmp_path):
    assert script().returncode == 2
    assert script(tmp_path, "--chain").returncode == 3
    assert script(VECTORS / "folder", "--key", tmp_path / "none").returncode == 4
    assert "RFC 8032" in script("--help").stdout


@pytest.mark.parametrize("name", ["origin", "checkpoint", "checkpoints", "log/00000000000000000000.jsonl"])
@pytest.mark.parametrize("endless", [False, True])
def test_it_ends_whatever_stands_in_the_place_of_a_file(tmp_path, name, endless):
    shutil.copytree(VECTORS / "folder", tmp_path / "log")
    path = tmp_path / "log" / name
    path.unlink()
    if endless:
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    done = script(tmp_path / "log", "--key", VECTORS / "key")
    assert (done.returncode, done.stderr, "not a file" in done.stdout) == (3, "", True)


def test_a_first_line_nested_beyond_reason_confirms_nothing(tmp_path):
    shutil.copytree(VECTORS / "folder", tmp_path / "log")
    for path in (tmp_path / "log" / "log").iterdir():
        path.unlink()
    (tmp_path / "log" / "log" / f"{5:020d}.jsonl").write_bytes(b"[" * 60_000 + b"\n")
    done = script(tmp_path / "log", "--key", VECTORS / "key")
    assert (done.returncode, done.stderr) == (3, "")


def test_the_command_prints_exactly_this_file():
    assert run("verifier").stdout == SOURCE.read_text()


def test_it_imports_nothing_but_the_standard_library():
    tree = ast.parse(SOURCE.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize(("public", "text", "signature"), RFC_8032)
def test_signatures_of_the_rfc_are_good_and_changed_ones_are_not(public, text, signature):
    key, message, sound = map(bytes.fromhex, (public, text, signature))
    assert is_signed(key, message, sound)
    assert not is_signed(key, message + b"x", sound)
    assert not is_signed(key, message, sound[:-1])
    assert not is_signed(key[:-1], message, sound)
    assert not is_signed(b"\xff" * 32, message, sound)
    larger = int.from_bytes(sound[32:], "little") + verify_alone.ORDER
    assert not is_signed(key, message, sound[:32] + larger.to_bytes(32, "little"))  # a second signature from the first (section 8.4)


@settings(max_examples=30, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), text=st.binary(max_size=80), at=st.integers(0, 95), change=st.integers(0, 255))
def test_signatures_are_judged_as_by_openssl(seed, text, at, change):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    both = bytearray(private.public_key().public_bytes_raw() + private.sign(text))
    both[at] ^= change
    key, signature = bytes(both[:32]), bytes(both[32:])
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
        expected = True
    except (InvalidSignature, ValueError):
        expected = False
    assert is_signed(key, text, signature) == expected
    assert expected or change


def agree(folder: Path, *, every: bool = True) -> bool:
    report = verify_folder(folder / "log", keys=keys(folder), level="root")
    code = alone(folder, every=every)
    assert (code == 0) == report.ok, report
    return report.ok


@pytest.mark.slow
@pytest.mark.parametrize("name", ["00000000000000000000.jsonl", "00000000000000000004.jsonl", "00000000000000000008.jsonl", "origin"])
def test_every_changed_byte_of_records_is_found_by_both(log, name):
    path = log / "log" / ("log" if name.endswith(".jsonl") else "") / name
    sound = path.read_bytes()
    for at in range(len(sound)):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :])
        assert alone(log, key=False) != 0, at
    for at in range(0, len(sound), 40):
        path.write_bytes(sound[:at])
        assert not agree(log, every=False)
        path.write_bytes(sound[:at] + b"x" + sound[at:])
        assert not agree(log, every=False)
    path.write_bytes(sound)
    assert agree(log)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["checkpoint", "checkpoints"])
def test_changed_checkpoints_are_found_by_both(log, name):
    path = log / "log" / name
    sound = path.read_bytes()
    for at in range(0, len(sound), 3 if name == "checkpoint" else 11):
        for changed in (sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :], sound[:at]):
            path.write_bytes(changed)
            assert not agree(log), at
    path.write_bytes(sound + b"\n")
    assert not agree(log)


def test_records_deleted_doubled_or_moved_are_found_by_both(log):
    sound = lines(log)
    for i in range(len(sound)):
        for changed in (sound[:i] + sound[i + 1 :], [*sound[: i + 1], sound[i], *sound[i + 1 :]], [sound[i], *sound], [*sound[:i], b"", *sound[i:]]):
            rewrite(log, list(changed))
            assert not agree(log, every=False)


def test_whole_rewrites_missing_segments_and_foreign_keys_are_found_by_both(log):
    for path in files(log):
        sound = path.read_bytes()
        path.unlink()
        assert not agree(log)
        path.write_bytes(sound)
    forge(log, hide_a_failure)
    assert not agree(log)
    assert alone(log, key=False) == 1  # the list of checkpoints still says what the roots were
    (log / "key").write_text(f"{keys(log / 'nobody')[0]}\n")
    assert alone(log) == KEY


@pytest.mark.parametrize("text", ["", "#x\n", "x\n", "name+00000000+" + "A" * 44, "name+deadbeef+AQ==", "\xff"])
def test_a_file_of_no_good_keys_proves_nothing(log, text):
    (log / "key").write_bytes(text.encode("latin-1"))
    assert alone(log) == KEY


@pytest.mark.parametrize("packed", [False, True])
async def test_a_pruned_log_is_incomplete_and_its_rest_is_judged(log, packed):
    cut = LogFolder(log / "log").segment_list()[1][0]
    await pruned(log, cut, packed=packed)
    for path in (log / "log" / "log").glob("*.zst"):
        path.with_suffix("").write_bytes(b"".join(data + b"\n" for _, data, _ in lines_of(path)))
    with pytest.raises(Wrong, match=f"records 0 to {cut - 1} are not here; .* and is sound: ") as found:
        verified(log / "log", keys_in(log / "key"), every=True)
    assert (found.value.code, verify_folder(log / "log", keys=keys(log), level="root").exit_code) == (3, 3)
    first = LogFolder(log / "log").segment_list()[0][1]
    sound = first.read_bytes()
    for at in range(0, len(sound), 7):
        first.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(Wrong) as found:
            verified(log / "log", None)
        assert "is sound" not in str(found.value), at


@pytest.fixture
async def archived(log) -> Path:
    archive(LogFolder(log / "log"))
    assert [path.suffix for path in files(log)].count(".zst") > 1
    return log


@pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd here: the command that is told cannot be run")
@pytest.mark.skipif(verify_alone.zstd is not None, reason="this Python unpacks zstd by itself")
def test_an_archived_log_is_unpacked_with_the_very_command_that_it_tells(archived):
    place = archived.rename(archived.with_name("a place"))
    done = script(place / "log", "--key", place / "key")
    assert (done.returncode, done.stdout[:10]) == (3, "INCOMPLETE")
    command = done.stdout.strip().rpartition(": ")[2]
    assert command == f"zstd -d '{place}/log/log'/*.jsonl.zst"
    subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, timeout=60)
    assert script(place / "log", "--key", place / "key", "--every").returncode == 0


@pytest.fixture
def newer(tmp_path) -> Callable[[Path], tuple[int, str]]:
    """The script as a Python with `compression.zstd` runs it: this one, with the published backport of that module where it has none."""
    place = tmp_path / "newer"
    if verify_alone.zstd is None:
        (place / "compression").mkdir(parents=True)
        (place / "compression" / "zstd.py").write_text("from backports.zstd import *\n")

    def run_newer(folder: Path) -> tuple[int, str]:
        words = [sys.executable, SOURCE, folder / "log", "--key", folder / "key", "--every"]
        done = subprocess.run(words, capture_output=True, text=True, env={"PYTHONPATH": str(place)}, check=False, timeout=60)
        assert not done.stderr
        return done.returncode, done.stdout

    return run_newer


async def test_a_python_with_zstd_reads_an_archived_log_as_it_is(log, newer):
    before = verified(log / "log", keys_in(log / "key"))
    archive(LogFolder(log / "log"))
    assert newer(log) == (0, f"ok  {before}\n")
    cut = LogFolder(log / "log").segment_list()[1][0]
    await pruned(log, cut)
    code, said = newer(log)
    assert (code, f"records 0 to {cut - 1} are not here" in said, "and is sound" in said) == (3, True, True)


@pytest.mark.parametrize("damage", ["flipped", "cut short", "other bytes"])
def test_an_archived_segment_that_is_not_the_one_that_was_packed_is_found(archived, newer, damage):
    path = files(archived)[0]
    sound = path.read_bytes()
    data = b"".join(line + b"\n" for _, line, _ in lines_of(path))
    other = b"".join(pack(iter([data.replace(b"call-0", b"call-7")])))
    path.write_bytes({"flipped": sound[:200] + bytes([sound[200] ^ 1]) + sound[201:], "cut short": sound[:-40], "other bytes": other}[damage])
    assert newer(archived)[0] == 1


async def test_a_key_that_was_renewed_signs_no_more(log):
    """Whoever has stolen the old key signs the log on with it; the file of keys says until where it may."""
    stolen = twin(log / "keys", log / "stolen")
    receipt, _ = await asyncio.to_thread(rotate_key, world_settings(log), log / "keys", "stolen", keep=False)
    (log / "key").write_text((log / "keys" / "log.vkey").read_text())
    assert agree_with(log)
    async with opened(log) as running:
        await running.append("call", plain(9))
    assert agree_with(log)
    note = NoteSigner.open(stolen).sign(ORIGIN, Checkpoint(ORIGIN, len(lines(log)), root(log, len(lines(log)))).text)
    assert receipt.n + 1 < len(lines(log))
    (log / "log" / "checkpoint").write_bytes(note)
    with (log / "log" / "checkpoints").open("ab") as stream:
        stream.write(note)
    assert not agree_with(log)
    assert alone(log) == KEY


def agree_with(folder: Path) -> bool:
    """Both, with the file of keys."""
    report = verify_folder(folder / "log", keys=parse_keys((folder / "key").read_text()), level="root")
    assert (alone(folder) == 0) == report.ok, report
    return report.ok
