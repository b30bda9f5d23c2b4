"""A log written by format v1 stays valid for ever. The second reader below knows the format, and nothing of our code."""

import base64
import contextlib
import hashlib
import hmac
import json
import sqlite3
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.canonical import loads_trusted
from gateway.record import LogReader, parse_keys, verify_folder
from gateway.record.line import line_of, rest_of

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "log" / "v1"
FOLDER = GOLDEN / "folder"
SEALED = GOLDEN.parent / "v1-sealed"
SIZE = 15
ROOT = "81da530416d1b0556379879080e6375e25b31f9e265335092d92c98fcde44488"


def stored() -> list[bytes]:
    return [line for path in sorted((FOLDER / "log").iterdir()) for line in path.read_bytes().split(b"\n")[:-1]]


def test_the_golden_log_verifies():
    report = verify_folder(FOLDER, keys=parse_keys((GOLDEN / "key").read_text()))
    assert report.ok, report
    assert (report.size, report.root, report.signed, report.segments, report.objects) == (SIZE, ROOT, SIZE, 3, 3)


def test_a_reader_that_knows_only_the_format_comes_to_the_same_root():
    origin = (FOLDER / "origin").read_text().strip()
    prev = hashlib.sha256(f"portreeve-log/v1\n{origin}\n".encode()).digest()
    leaves = []
    for n, line in enumerate(stored()):
        record = json.loads(line)
        assert list(record)[:4] == ["n", "prev", "t", "k"]
        assert (record["n"], record["prev"]) == (n, prev.hex())
        prev = hashlib.sha256(b"\x00" + line).digest()
        leaves.append(prev)

    def root(hashes):
        if len(hashes) == 1:
            return hashes[0]
        k = 1 << (len(hashes) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + root(hashes[:k]) + root(hashes[k:])).digest()

    assert root(leaves).hex() == ROOT
    text, _, signature = (FOLDER / "checkpoint").read_bytes().rpartition(b"\n\n")
    assert text.decode().split("\n") == [origin, str(SIZE), base64.b64encode(root(leaves)).decode()]
    public = base64.b64decode((GOLDEN / "key").read_text().strip().split("+", 2)[2])[1:]
    Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature.split(b" ")[2])[4:], text + b"\n")


def test_the_writer_still_writes_those_bytes():
    for line in stored():
        members = loads_trusted(line)
        n, prev, t, kind = (members.pop(name) for name in ("n", "prev", "t", "k"))
        assert line_of(n, bytes.fromhex(prev), t, rest_of(kind, members)) == line


def test_a_reader_that_knows_only_the_format_opens_what_is_sealed():
    def derived(secret: bytes, purpose: bytes) -> bytes:
        return HKDFExpand(SHA256(), 32, purpose).derive(secret)

    def opened(secret: bytes, data: bytes, about: bytes) -> bytes:
        return AESGCM(secret).decrypt(data[:12], data[12:], about)

    folder = SEALED / "folder"
    origin = (folder / "origin").read_text().strip()
    wrapping = derived(bytes.fromhex((SEALED / "payload.key.hex").read_text()), b"wrap")
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'keys.db'}?mode=ro&immutable=1", uri=True)) as db:
        about = b"portreeve-log/v1 data key\n%b\n%b\n%b"
        keys = {
            key: opened(wrapping, wrapped, about % (origin.encode(), key.encode(), subject))
            for key, subject, wrapped in db.execute("SELECT id, subject, wrapped FROM keys")
        }
    rows = {row["id"]: row for path in (folder / "payload").iterdir() for row in map(json.loads, path.read_text().splitlines())}
    calls = [json.loads(line) for line in next((folder / "log").iterdir()).read_text().splitlines() if '"k":"call"' in line]
    values = []
    for call in calls:
        for pointer in call["authz"]["redacted"]:
            marker = call["authz"]
            for part in pointer[1:].split("/"):
                marker = marker[int(part)] if isinstance(marker, list) else marker[part]
            secret = keys[marker["$seal"]]
            place = f"{origin}\n{call['id']}\n{pointer}".encode()
            value = opened(derived(secret, b"seal"), base64.b64decode(rows[call["id"]]["s"][pointer]), place)
            assert hmac.new(derived(secret, b"commit"), place + b"\n" + value, hashlib.sha256).hexdigest() == marker["c"]
            values.append(value)
    assert values == [b'{"__extn":{"arg":"1.0","fn":"decimal"}}', b"null", b'"078"', b'"/by/078"'] * 3


def test_the_golden_sealed_log_verifies_and_its_decisions_come_back(tmp_path):
    assert verify_folder(SEALED / "folder", keys=parse_keys((SEALED / "key").read_text())).ok
    key = tmp_path / "payload.key"
    key.touch(0o600)
    key.write_text((SEALED / "payload.key.hex").read_text())
    reader = LogReader(SEALED / "folder", tmp_path)
    decisions = [reader.decision(record) for record in reader.records() if record.kind == "call"]
    assert [(found["ctx"]["input"]["ssn"], found["ctx"]["request"]["path"]) for found in decisions] == [("078", "/by/078")] * 3
