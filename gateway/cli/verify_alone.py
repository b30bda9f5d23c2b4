"""Verifies a Portreeve decision log with nothing but Python's standard library. `portreeve log verifier` prints this file.

    python3 verify.py DIR --key FILE           chain, tree, every root on the list of checkpoints, the newest signature
    python3 verify.py DIR --key FILE --every   and every signature on the list (about 4 ms each)
    python3 verify.py DIR                      chain, tree and roots alone; what is sound is still not proven, and the exit code is 4
    python3 verify.py DIR --chain              the same, and the exit code is 0: for whoever knows that anybody could have written it

DIR is the log's folder, the one that holds `origin`. FILE holds verifier key lines, `name+id+base64` (c2sp.org/signed-note), and must have come to you
by another way than the log; a line `# sizes A-B` says which sizes the key after it may sign. Exit codes: 0 as it was signed, 1 tampered, 2 wrong usage, 3 something is missing, 4 a key or signature is missing or wrong.

What it checks (it does not look at the meaning of records, nor at the objects they name; `portreeve log verify` does):
- Each line of log/N.jsonl begins with {"n":N,"prev":"H","t": where N counts from 0 and H is the hash of the line before,
  SHA-256(0x00 || line); the first H is SHA-256(portreeve-log/v1, newline, origin, newline).
- The same hashes are the leaves of a Merkle tree (RFC 6962 section 2.1) whose root is what each checkpoint says for its size.
- A checkpoint is a signed note (c2sp.org/tlog-checkpoint): origin, size, root, and an Ed25519 signature (RFC 8032 section 5.1).
- Archived segments (log/N.jsonl.zst) are unpacked as they are read, by Python 3.14 or later; with an older one, `zstd -d DIR/log/*.jsonl.zst` first.
- A log whose oldest segments were pruned begins with a line that repeats the tree so far ("frontier"); a checkpoint must have its root. Exit code 3.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import hashlib
import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

zstd: Any = None
UNPACKING: tuple[type[Exception], ...] = ()
with contextlib.suppress(ImportError):  # before Python 3.14
    zstd = importlib.import_module("compression.zstd")
    UNPACKING = (EOFError, zstd.ZstdError)

OK, TAMPERED, MISSING, KEY = 0, 1, 3, 4
LINE_BYTES_MAX = 65_535
NAME = r"[^\s+\x00-\x1f\x7f]{1,255}"
NOTE = re.compile(rf"({NAME})\n(0|[1-9][0-9]{{0,18}})\n([A-Za-z0-9+/]{{43}}=)\n\n((?:— {NAME} [A-Za-z0-9+/]+=*\n)+)")
SIZES = re.compile(r"# sizes ([0-9]{1,19})-([0-9]{0,19})")
KEY_LINE = re.compile(rf"({NAME})\+([0-9a-f]{{8}})\+([A-Za-z0-9+/]{{44}})")

# Ed25519, RFC 8032 section 5.1: the curve -x^2 + y^2 = 1 + d x^2 y^2 over the integers modulo P; points as (X, Y, Z, T).
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


Key = tuple[bytes, int, int]  # the public key, the first and the last size that it may sign
Keys = dict[tuple[str, bytes], Key]  # by name and id


class Wrong(Exception):  # noqa: N818
    """The first thing that is wrong, with the exit code for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def add(a: Point, b: Point) -> Point:
    """RFC 8032 section 5.1.4."""
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(factor: int, point: Point) -> Point:
    found = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            found = add(found, point)
        point = add(point, point)
        factor >>= 1
    return found


def decoded(raw: bytes) -> Point | None:
    """RFC 8032 section 5.1.3. None for what is no point."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (not x and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def encoded(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE: Point = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
    1,
    46827403850823179245072216630277197565144205554125654976674165829533817101731,
)


def is_signed(public: bytes, text: bytes, signature: bytes) -> bool:
    """RFC 8032 section 5.1.7: R is what [S]B - [k]A encodes to."""
    point = decoded(public) if len(public) == 32 and len(signature) == 64 else None
    s = int.from_bytes(signature[32:], "little")
    if point is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    x, y, z, t = point
    return encoded(add(times(s, BASE), times(k, (P - x, y, z, P - t)))) == signature[:32]


def keys_in(path: Path) -> Keys:
    """Raises Wrong."""
    found: Keys = {}
    first, last = 0, sys.maxsize
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(KEY, f"{path} cannot be read: {error}") from error
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            sizes = SIZES.fullmatch(line.strip())
            first, last = (int(sizes[1]), int(sizes[2] or sys.maxsize)) if sizes else (first, last)
            continue
        match = KEY_LINE.fullmatch(line.strip())
        raw = base64.b64decode(match[3]) if match else b""
        if not match or raw[:1] != b"\x01" or hashlib.sha256(match[1].encode() + b"\n" + raw).hexdigest()[:8] != match[2]:
            raise Wrong(KEY, f"{path}: not an Ed25519 verifier key: {line[:80]!r}")
        found[match[1], bytes.fromhex(match[2])] = raw[1:], first, last
        first, last = 0, sys.maxsize
    return found


def opened(note: bytes, origin: str, keys: Keys | None, what: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint. With keys, one of them must have signed it, and none wrongly. Raises Wrong."""
    try:
        match = NOTE.fullmatch(note.decode("utf-8"))
        root = base64.b64decode(match[3]) if match else b""
    except (UnicodeDecodeError, binascii.Error):
        match = None
    if not match or base64.b64encode(root).decode() != match[3]:
        raise Wrong(KEY, f"{what} is malformed")
    text, good = match[0].partition("\n\n")[0].encode() + b"\n", 0
    for line in match[4].splitlines():
        _, name, signature = line.split(" ")
        try:
            raw = base64.b64decode(signature, validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) < 5 or base64.b64encode(raw).decode() != signature:
            raise Wrong(KEY, f"{what} has a malformed signature")
        if key := (keys or {}).get((name, raw[:4])):
            judge(key, text, raw[4:], int(match[2]), f"{what}: the signature by {name}")
            good += name == origin
    if keys is not None and not good:
        raise Wrong(KEY, f"{what}: no given key of {origin} has signed it")
    if match[1] != origin:
        raise Wrong(KEY, f"{what} is of another log, {match[1]}")
    return int(match[2]), root


def judge(key: Key, text: bytes, signature: bytes, size: int, what: str) -> None:
    """Raises Wrong for a signature that is not right, or of a size that is not the key's to sign."""
    public, first, last = key
    if not is_signed(public, text, signature):
        raise Wrong(KEY, f"{what} is wrong")
    if not first <= size <= last:
        raise Wrong(KEY, f"{what} is of size {size}, and this key may sign those from {first} to {last}")


class Tree:
    """The roots of the full subtrees of the lines so far, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.hashes: list[bytes] = []

    def push(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + self.hashes.pop() + leaf).digest()
            size >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        root = self.hashes[-1]
        for left in self.hashes[-2::-1]:
            root = hashlib.sha256(b"\x01" + left + root).digest()
        return root


def listed(path: Path, origin: str, keys: Keys | None, latest: bytes) -> list[tuple[int, bytes]]:
    """Every checkpoint of the list, in order. Raises Wrong when sizes fall, or the newest one is not on it."""
    found: list[tuple[int, bytes]] = []
    met = False
    with path.open("rb") as stream:
        while note := b"".join(stream.readline(1_024) for _ in range(5)):
            found.append(opened(note, origin, keys, f"checkpoint {len(found)} of the list"))
            met = met or note == latest
            if len(found) > 1 and found[-1][0] < found[-2][0]:
                raise Wrong(TAMPERED, "the list of checkpoints goes back in size")
    if not met:
        raise Wrong(TAMPERED, "the newest checkpoint is not on the list of checkpoints")
    return found


def walked(folder: Path, origin: str, roots: dict[int, set[bytes]]) -> tuple[Tree, int]:
    """Read every line; also gives the number of the first. Raises Wrong for the first that does not follow, and for a root that is not the one of a checkpoint."""
    tree, signed = Tree(), max(roots)
    prev = hashlib.sha256(f"portreeve-log/v1\n{origin}\n".encode()).digest()
    segments = segments_of(folder / "log")
    gone = int(segments[0].name[:20]) if segments else 0
    if gone:
        prev = begin(tree, segments[0], roots)
    meet(tree, roots)
    for path in segments:
        if int(path.name[:20]) != tree.size:
            code = MISSING if int(path.name[:20]) > tree.size else TAMPERED
            raise Wrong(code, f"{path.name} does not follow: the log so far has {tree.size} records")
        for line in lines_of(path):
            if not line.endswith(b"\n"):
                behind = len(line) <= LINE_BYTES_MAX and path == segments[-1] and tree.size >= signed
                raise Wrong(MISSING if behind else TAMPERED, f"record {tree.size} in {path.name} has no end")
            if not line.startswith(b'{"n":%d,"prev":"%b","t":' % (tree.size, prev.hex().encode())):
                raise Wrong(TAMPERED, f"record {tree.size} in {path.name} does not follow from the record before")
            prev = hashlib.sha256(b"\x00" + line[:-1]).digest()
            tree.push(prev)
            meet(tree, roots)
    if tree.size < signed:
        raise Wrong(TAMPERED, f"{signed} records were signed, the log ends after {tree.size}")
    return tree, gone


def segments_of(folder: Path) -> list[Path]:
    """Every segment in order, of two forms of one the plain one. Raises Wrong when there are packed ones that this Python cannot unpack."""
    plain = {path for path in folder.iterdir() if re.fullmatch(r"[0-9]{20}\.jsonl", path.name)}
    packed = {path for path in folder.iterdir() if re.fullmatch(r"[0-9]{20}\.jsonl\.zst", path.name) and path.with_suffix("") not in plain}
    if packed and zstd is None:
        command = f"zstd -d {shlex.quote(str(folder))}/*.jsonl.zst"
        why = f"segments that are archived, and so packed: {len(packed)}. Python before 3.14 cannot read them"
        raise Wrong(MISSING, f"{why}. Unpack them (the packed ones stay where they are), and run this again: {command}")
    return sorted(plain | packed)


def lines_of(path: Path) -> Iterator[bytes]:
    """Each line of a segment with its end, unpacked; of one that is too long, as much as shows it. Raises Wrong where it does not unpack."""
    try:
        with zstd.open(path, "rb") if zstd is not None and path.suffix == ".zst" else path.open("rb") as stream:
            while line := stream.readline(LINE_BYTES_MAX + 1):
                yield line
    except UNPACKING as error:
        raise Wrong(TAMPERED, f"{path.name} does not unpack: {error}") from error


def begin(tree: Tree, path: Path, roots: dict[int, set[bytes]]) -> bytes:
    """Take the tree of what is not here from the line that the log now begins with; the hash of the last line. Raises Wrong."""
    tree.size = int(path.name[:20])
    try:
        head = json.loads(next(lines_of(path), b""))
        tree.hashes, prev = [bytes.fromhex(one) for one in head["frontier"]], bytes.fromhex(head["prev"])
    except (ValueError, KeyError, TypeError, RecursionError):
        prev = b""
    if not prev or tree.size not in roots or len(tree.hashes) != tree.size.bit_count():
        raise Wrong(MISSING, f"the records before {tree.size} are missing, and no checkpoint confirms what the rest goes on from")
    return prev


def meet(tree: Tree, roots: dict[int, set[bytes]]) -> None:
    if tree.size in roots and roots[tree.size] != {tree.root()}:
        raise Wrong(TAMPERED, f"the first {tree.size} records are not the ones that were signed")


def verified(folder: Path, keys: Keys | None, *, every: bool = False) -> str:
    """What can be said of the log. Raises Wrong."""
    try:
        for path in (folder / "origin", folder / "checkpoint", folder / "checkpoints", *(folder / "log").glob("*.jsonl*")):
            if path.exists() and not path.is_file():
                raise Wrong(MISSING, f"{path} is not a file: reading it might never end")
        origin = (folder / "origin").read_bytes().decode("utf-8")
        if not re.fullmatch(NAME + r"\n", origin):
            raise Wrong(MISSING, f"{folder / 'origin'} holds no origin")
        origin = origin[:-1]
        note = (folder / "checkpoint").read_bytes()
        latest = opened(note, origin, keys, "the newest checkpoint")
        roots: dict[int, set[bytes]] = {}
        for size, root in [*listed(folder / "checkpoints", origin, keys if every else None, note), latest]:
            roots.setdefault(size, set()).add(root)
        tree, gone = walked(folder, origin, roots)
    except UnicodeDecodeError as error:
        raise Wrong(MISSING, f"{folder / 'origin'} holds no origin") from error
    except OSError as error:
        raise Wrong(MISSING, f"{error.filename} cannot be read: {error.strerror}") from error
    who = f"the first {latest[0]} of them signed by a key of {origin}" if keys is not None else "by whom it was signed, nobody has looked"
    said = f"{tree.size} records, root {tree.root().hex()}; {who}"
    if not gone:
        return said
    raise Wrong(MISSING, f"records 0 to {gone - 1} are not here; the rest goes on from a root of theirs, and is sound: {said}")


def main() -> int:
    text = (__doc__ or "").partition("\n\n")
    options = argparse.ArgumentParser(prog="verify.py", description=text[0], epilog=text[2], formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", metavar="DIR", type=Path)
    options.add_argument("--key", metavar="FILE", type=Path)
    options.add_argument("--every", action="store_true", help="every signature on the list, not only the newest")
    options.add_argument("--chain", action="store_true", help="a sound log is enough, whoever wrote it")
    given = options.parse_args()
    try:
        found = verified(given.folder, keys_in(given.key) if given.key else None, every=given.every)
    except Wrong as wrong:
        print({TAMPERED: "TAMPERED", MISSING: "INCOMPLETE", KEY: "NOT PROVEN"}[wrong.code] + f"  {wrong}")
        return wrong.code
    if given.key is None and not given.chain:
        print(f"NOT PROVEN  the chain is sound, and nothing says whose it is (--key FILE): {found}")
        return KEY
    print(f"ok  {found}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
