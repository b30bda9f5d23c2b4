"""A log written by format v1 stays valid for ever. The second reader below knows the format, and nothing of our code."""

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.canonical import loads_trusted
from gateway.record import parse_keys, verify_folder
from gateway.record.line import line_of, rest_of

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "log" / "v1"
FOLDER = GOLDEN / "folder"
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
