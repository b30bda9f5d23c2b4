"""The data keys under which arguments are sealed: one for each data subject, in `keys.db`, wrapped by a key that stands outside the log's folder.

To destroy a subject's key is to erase all that was sealed under it, in every copy of the log. `keys.db` holds no name: a subject is found by a
keyed digest. A destroyed key leaves its number behind, so that a reader can say "erased" and not "lost".
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import NoneType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gateway.config.model import LogSettings
from gateway.errors import Problem
from gateway.record.folder import KEYS_FILE, LogFolder, make_folder
from gateway.record.keyfile import create_once, read_private
from gateway.record.stored import descriptor_of

KEK_FILE = "payload.key"
KEY_BYTES = 32
NONCE_BYTES = 12
CACHED_MAX = 10_000
LOOK_INTERVAL_S = 1.0
"""A key that another process destroyed is not used for longer than this."""

_TABLE = """CREATE TABLE IF NOT EXISTS keys (
  id TEXT PRIMARY KEY, subject BLOB NOT NULL, wrapped BLOB, made_us INTEGER NOT NULL, destroyed_us INTEGER, told INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID"""
_INDEX = "CREATE INDEX IF NOT EXISTS keys_subject ON keys (subject)"


def keys_of(settings: LogSettings, keys: Path) -> Path:
    """Where a log's data keys are: in its folder or, where another user writes the log, beside the key that wraps them."""
    beside = keys / KEYS_FILE
    return beside if beside.exists() or (settings.folder.exists() and not os.access(settings.folder, os.W_OK)) else LogFolder(settings.folder).keys


class BadSeal(ValueError):  # noqa: N818
    """What is stored is not what was sealed under this key at this place."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """One data key, ready to use. Nothing of it can be printed."""

    id: str
    _aead: AESGCM = field(repr=False)
    _commit: bytes = field(repr=False)
    _digest: bytes = field(repr=False)

    @classmethod
    def of(cls, key_id: str, secret: bytes) -> DataKey:
        return cls(key_id, AESGCM(_derived(secret, b"seal")), _derived(secret, b"commit"), _derived(secret, b"hmac"))

    def seal(self, value: bytes, about: bytes) -> bytes:
        """AES-256-GCM, nonce first. `about` is authenticated with it: what was sealed for one place opens at no other."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, value, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Raises BadSeal."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError) as error:
            raise BadSeal("the payload is not what was sealed") from error

    def commitment(self, value: bytes, about: bytes) -> str:
        """What the chain keeps of a sealed value: it fixes the value, and tells nothing of it, not even that two are equal."""
        return hmac.new(self._commit, about + b"\n" + value, sha256).hexdigest()

    def digest(self, value: bytes, place: bytes) -> str:
        """What the log keeps of a value in `hmac` mode: equal for equal values of one subject at one place."""
        return hmac.new(self._digest, place + b"\n" + value, sha256).hexdigest()


class Keyring:
    """The data keys of one log. Safe to use from several threads; several processes may use one database."""

    def __init__(self, database: Path, origin: str, wrapping: bytes | None, *, writes: bool) -> None:
        self._origin = origin
        self._wrapping = AESGCM(_derived(wrapping, b"wrap")) if wrapping else None
        self._naming = _derived(wrapping, b"name") if wrapping else b""
        self._lock = threading.Lock()
        self._cache: dict[bytes, DataKey] = {}
        self._found: dict[str, DataKey | None] = {}
        self._looked_at = time.monotonic()
        uri = f"{database.absolute().as_uri()}?mode={'rwc' if writes else 'ro'}"
        self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=5)
        if writes:
            database.chmod(0o600)
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA synchronous = EXTRA")  # FULL does not sync the folder: the journal may be back after a power cut, and undo
            self._db.execute(_TABLE)
            self._db.execute(_INDEX)
        self._version = self._data_version()

    @classmethod
    def open(cls, database: Path, origin: str, keys: Path) -> Keyring:
        """For whoever seals and erases; makes the wrapping key on first use. Raises Problem."""
        path = keys / KEK_FILE
        try:
            make_folder(keys)
            if not path.exists():
                if database.exists():
                    raise Problem("log_key", "keys.db is there and the key that unwraps it is not", file=str(path), remedy="restore it from backup")
                create_once(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")
            return cls(database, origin, _wrapping_key(path), writes=True)
        except (OSError, sqlite3.Error) as error:
            raise Problem(
                "log_key", f"the keys of sealed arguments cannot be used: {error}", file=str(database), remedy="let the gateway's user write there"
            ) from error

    @classmethod
    def for_reading(cls, folder: LogFolder, origin: str, keys: Path | None) -> Keyring | None:
        """For whoever reads: without the wrapping key it still knows which keys were destroyed. None when there is no database."""
        database = keys / KEYS_FILE if keys and (keys / KEYS_FILE).exists() else folder.keys
        path = keys / KEK_FILE if keys else None
        try:
            os.close(descriptor_of(database))  # SQLite would wait for whoever writes to a pipe
            found = cls(database, origin, _wrapping_key(path) if path and path.exists() else None, writes=False)
        except (OSError, sqlite3.Error):
            return None
        if not found._is_ours():
            found.close()
            return None
        return found

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def known(self, subject: str) -> DataKey | None:
        """The subject's key if it is in memory; looks at most once in a while whether another process has changed the database."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_INTERVAL_S:
            self.look()
        return self._cache.get(self._mark(subject))

    def look(self) -> None:
        """Forget what is in memory if another process has changed the database."""
        with self._lock:
            self._looked_at = time.monotonic()
            version = self._data_version()
            if version != self._version:
                self._version = version
                self._cache.clear()
                self._found.clear()

    def key_for(self, subject: str) -> DataKey:
        """The subject's key, made and durable if there was none. Blocks for the disk. Raises sqlite3.Error."""
        mark = self._mark(subject)
        with self._lock, self._writing():
            row = self._db.execute("SELECT id, wrapped FROM keys WHERE subject = ? AND wrapped IS NOT NULL", (mark,)).fetchone()
            if row is None:
                key_id, secret = secrets.token_hex(8), secrets.token_bytes(KEY_BYTES)
                made = (key_id, mark, self._wrap(secret, key_id, mark), time.time_ns() // 1000)
                self._db.execute("INSERT INTO keys (id, subject, wrapped, made_us) VALUES (?, ?, ?, ?)", made)
            else:
                key_id, secret = row[0], self._unwrap(row[1], row[0], mark)
        key = DataKey.of(key_id, secret)
        if len(self._cache) >= CACHED_MAX:
            self._cache.clear()
        self._cache[mark] = key
        return key

    def find(self, key_id: str) -> DataKey | None:
        """A key by its number, for reading. None when it was destroyed. Raises KeyError when it, or the key that unwraps it, is not at hand."""
        with self._lock:
            if key_id not in self._found:
                row = self._db.execute("SELECT subject, wrapped FROM keys WHERE id = ?", (key_id,)).fetchone()
                if row is None or not {type(part) for part in row} <= {bytes, NoneType} or (row[1] is not None and self._wrapping is None):
                    raise KeyError(key_id)
                self._found[key_id] = DataKey.of(key_id, self._unwrap(row[1], key_id, row[0])) if row[1] is not None else None
            return self._found[key_id]

    def numbers(self, subject: str) -> list[str]:
        """The subject's keys that are still there, or whose destruction the log has not been told yet."""
        with self._lock:
            rows = self._db.execute("SELECT id FROM keys WHERE subject = ? AND (wrapped IS NOT NULL OR told = 0) ORDER BY id", (self._mark(subject),))
            return [row[0] for row in rows]

    def destroy(self, subject: str) -> None:
        """Overwrite the subject's keys. When this returns, that is durable; what was sealed under them can never be opened again."""
        mark = self._mark(subject)
        with self._lock:
            with self._writing():
                self._db.execute(
                    "UPDATE keys SET wrapped = NULL, destroyed_us = ? WHERE subject = ? AND wrapped IS NOT NULL", (time.time_ns() // 1000, mark)
                )
            self._cache.pop(mark, None)
            self._found.clear()

    def told(self, numbers: list[str]) -> None:
        """The log says now that these were destroyed."""
        with self._lock, self._writing():
            self._db.executemany("UPDATE keys SET told = 1 WHERE id = ?", [(number,) for number in numbers])

    def _mark(self, subject: str) -> bytes:
        assert self._naming, "only a reader has no wrapping key"
        return hmac.new(self._naming, self._origin.encode() + b"\n" + subject.encode("utf-8", "surrogatepass"), sha256).digest()

    def _wrap(self, secret: bytes, key_id: str, mark: bytes) -> bytes:
        assert self._wrapping is not None
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, secret, self._about(key_id, mark))

    def _unwrap(self, wrapped: bytes, key_id: str, mark: bytes) -> bytes:
        assert self._wrapping is not None
        try:
            return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], self._about(key_id, mark))
        except (InvalidTag, ValueError) as error:
            raise Problem("log_key", f"the data key {key_id} does not unwrap", remedy=f"restore keys.db and {KEK_FILE} of the same time") from error

    def _about(self, key_id: str, mark: bytes) -> bytes:
        return b"portreeve-log/v1 data key\n" + self._origin.encode() + b"\n" + key_id.encode() + b"\n" + mark

    def _is_ours(self) -> bool:
        """Whether the database is of the one form that is made here: a log from elsewhere may hold any, with a view that never ends for a table."""
        try:
            made = self._db.execute("SELECT sql FROM sqlite_master WHERE name = 'keys' OR tbl_name = 'keys' AND type <> 'index'").fetchall()
        except sqlite3.Error:
            return False
        return made == [(_TABLE.replace("IF NOT EXISTS ", ""),)]

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _derived(secret: bytes, purpose: bytes) -> bytes:
    """A key for one purpose (HKDF-Expand, RFC 5869): no key is used for two."""
    return HKDFExpand(SHA256(), KEY_BYTES, purpose).derive(secret)


def _wrapping_key(path: Path) -> bytes:
    """Raises OSError, Problem."""
    text = read_private(path, "the key of the log's data keys")
    try:
        key = bytes.fromhex(text.decode().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Problem("log_key", "this is no key of 32 bytes", file=str(path), remedy="restore it from backup")
    return key
