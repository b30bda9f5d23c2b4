"""Becoming the one writer of a log: its folder, its lock, what is left there, and what has to be said before anything else is."""

from __future__ import annotations

import os

from gateway.call import Receipt
from gateway.canonical import loads
from gateway.config.model import LogSettings
from gateway.errors import Problem, Refusal
from gateway.record.disk import Disk
from gateway.record.folder import LogFolder, sync_folder
from gateway.record.line import FORMAT
from gateway.record.notary import Notary
from gateway.record.note import BadNote
from gateway.record.recovery import Standing, recover
from gateway.record.signer import NoteSigner
from gateway.record.writer import Writer


def open_writer(settings: LogSettings, key: NoteSigner, disk: Disk) -> tuple[int, Writer]:
    """Become the log's one writer: (the descriptor of its lock, the writer). Raises Problem as `open_log` does."""
    folder = LogFolder(settings.folder)
    try:
        folder.prepare(settings.origin)
        lock = folder.lock()
        try:
            return lock, _begun(folder, settings, key, disk)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise Problem(
            "log_unusable", f"the log's folder cannot be used: {error.strerror}", file=str(folder.path), remedy="let the gateway's user write there"
        ) from error


def _begun(folder: LogFolder, settings: LogSettings, key: NoteSigner, disk: Disk) -> Writer:
    try:
        standing = recover(folder, settings.origin, key.trusted(settings.origin))
    except BadNote as error:
        raise Problem("log_key", f"log.vkey cannot be read: {error}", file=str(folder.path), remedy="restore it from backup") from error
    key.publish(settings.origin)
    writer = Writer(folder, settings, standing, Notary(folder, settings.origin, key), disk)
    try:
        answer = _first_words(writer, folder, settings, key, standing)
        if not isinstance(answer, Refusal) and not writer.signed:
            _sign_first(writer, folder)
    except BaseException:
        writer.close()
        raise
    if isinstance(answer, Refusal):
        writer.close()
        raise Problem("log_full", f"the log cannot be begun: {answer.reason}", file=str(settings.folder), remedy="free space on its disk")
    if folder.gap.exists():
        folder.gap.unlink()
        sync_folder(folder.path)
    return writer


def _first_words(writer: Writer, folder: LogFolder, settings: LogSettings, key: NoteSigner, standing: Standing | None) -> Receipt | Refusal | None:
    """Write what has to be said before anything else is; gives the last answer. Raises OSError, Problem."""
    if standing is None:
        return writer.begin("log.open", {"format": FORMAT, "origin": settings.origin, "key": str(key.key(settings.origin))})
    answer: Receipt | Refusal | None = None
    if folder.gap.exists():  # a loss was accepted: it is told before anything else is
        answer = writer.begin("gap", loads(folder.gap.read_bytes()))
    elif not writer.signed:  # before anything is added: more than one record without a checkpoint is damage
        _sign_first(writer, folder)
    if standing.renews and key.next_key(settings.origin) == standing.renews[0]:  # the log has named a key, and a crash came in between
        writer.renew(keep=standing.renews[1])
    if (standing.open_calls or standing.torn) and not isinstance(answer, Refusal):
        answer = writer.begin("recover", {"status": "unknown", "calls": sorted(standing.open_calls), "torn": standing.torn})
    return answer


def _sign_first(writer: Writer, folder: LogFolder) -> None:
    """Raises Problem when there is no room: without a checkpoint nothing tells the log's records from anybody's, so nothing is added to it."""
    writer.sign(durable=True)
    if not writer.signed:
        raise Problem("log_full", "there is no room for the log's first checkpoint", file=str(folder.path), remedy="free space on its disk")
