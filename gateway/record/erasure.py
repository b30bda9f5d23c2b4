"""Erases a data subject: destroys the keys of all that was sealed for it, says so in the log, then overwrites what was sealed.

In this order a stop at any point leaves nothing untrue: what the log calls erased is erased, and a second run finishes what a first one began.
The chain and every proof stay as they are, because they are over commitments, which without the key tell nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gateway.call import Receipt
from gateway.config.model import LogSettings
from gateway.errors import Problem
from gateway.record.control import append_record
from gateway.record.folder import LogFolder
from gateway.record.keyring import Keyring, keys_of
from gateway.record.payload import count_rows, erase_rows

SUBJECT = re.compile(r"(?:user|agent):[^\x00-\x1f\x7f]{1,512}")


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did. `receipt` is None when there was nothing to erase, and so nothing to record."""

    subject: str
    keys: int
    calls: int
    receipt: Receipt | None


def check_subject(subject: str) -> None:
    """Raises Problem."""
    if not SUBJECT.fullmatch(subject):
        raise Problem("log_subject", "this names no data subject", remedy="write user:ID or agent:ID, as `who` of the records has it")


def look(settings: LogSettings, keys: Path, subject: str) -> tuple[int, int]:
    """What an erasure would take: keys, and calls with arguments sealed under them. Raises Problem."""
    check_subject(subject)
    database = keys_of(settings, keys)
    if not database.exists():
        return 0, 0
    keyring = Keyring.open(database, settings.origin, keys)
    try:
        numbers = keyring.numbers(subject)
    finally:
        keyring.close()
    return len(numbers), count_rows(LogFolder(settings.folder), frozenset(numbers))


def erase(settings: LogSettings, keys: Path, subject: str, why: str) -> Erased:
    """Erase; returns when it is durable and recorded. Raises Problem, also while the log is under a legal hold; OSError."""
    check_subject(subject)
    folder = LogFolder(settings.folder)
    folder.refuse_under_hold("erase")
    database = keys_of(settings, keys)
    if not database.exists():
        return Erased(subject, 0, 0, None)
    keyring = Keyring.open(database, settings.origin, keys)
    try:
        numbers = keyring.numbers(subject)
        if not numbers:
            return Erased(subject, 0, 0, None)
        calls = count_rows(folder, frozenset(numbers))
        keyring.destroy(subject)
        body = {"subject": subject, "keys": numbers, "calls": calls, "why": why}
        receipt = append_record(settings, keys, "erase", body)
        erase_rows(folder, frozenset(numbers))
        keyring.told(numbers)
    finally:
        keyring.close()
    return Erased(subject, len(numbers), calls, receipt)
