"""Step five: the decision log. Write with `reach_log`, read with `LogReader`, judge with `verify_folder`."""

from gateway.record.line import BrokenLine, Record
from gateway.record.log import OUTCOMES, Log, open_log
from gateway.record.note import BadNote, Checkpoint, NoteKey, parse_keys
from gateway.record.objects import ObjectBroken, ObjectMissing
from gateway.record.reader import LogReader
from gateway.record.remote import connect_log, reach_log
from gateway.record.signer import PUBLIC_FILE, NoteSigner
from gateway.record.verify import Level, Report, verify_folder
from gateway.record.writer import OPEN_CALLS_MAX

__all__ = [
    "BadNote",
    "BrokenLine",
    "Checkpoint",
    "Level",
    "Log",
    "LogReader",
    "NoteKey",
    "NoteSigner",
    "OPEN_CALLS_MAX",
    "OUTCOMES",
    "ObjectBroken",
    "ObjectMissing",
    "PUBLIC_FILE",
    "Record",
    "Report",
    "connect_log",
    "open_log",
    "parse_keys",
    "reach_log",
    "verify_folder",
]
