"""Step five: the decision log. Write with `reach_log`, read with `LogReader`, judge with `verify_folder`."""

from gateway.record.anchors import Anchors, conflicting_size, cosigned, submission
from gateway.record.attested import Attested, BadPolicy, WitnessPolicy, peer_claims, witness_claims
from gateway.record.calls import Call, Query, scan_calls
from gateway.record.claims import Claim, Contradiction, comparable_from, contradiction
from gateway.record.control import Control, append_record
from gateway.record.cosign import Cosigner, WitnessKey, cosignatures
from gateway.record.folder import LogFolder
from gateway.record.index import CallIndex, IndexUnusable, count_calls, find_calls
from gateway.record.keyring import Keyring
from gateway.record.line import BrokenLine, Record, record_of
from gateway.record.log import OUTCOMES, Log, open_log
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_own_checkpoint, parse_keys
from gateway.record.objects import ObjectBroken, ObjectMissing
from gateway.record.proof import BadProof, check_consistency
from gateway.record.prover import NotAsSigned, Prover, ReceiptText
from gateway.record.reader import LogReader
from gateway.record.remote import connect_log, reach_log
from gateway.record.report import Level, Report
from gateway.record.scraped import BadHistory, history_claims, history_url
from gateway.record.seals import WITHHELD, Redactor, Why, Withheld
from gateway.record.signer import PUBLIC_FILE, NoteSigner, private_key
from gateway.record.tlogproof import check_proof, read_hashes
from gateway.record.verify import Question, verify_folder, verify_log
from gateway.record.witness import REQUEST_BYTES_MAX, Witness
from gateway.record.writer import OPEN_CALLS_MAX

__all__ = [
    "Anchors",
    "Attested",
    "BadHistory",
    "BadNote",
    "BadPolicy",
    "BadProof",
    "BrokenLine",
    "Call",
    "CallIndex",
    "Checkpoint",
    "Claim",
    "Contradiction",
    "Control",
    "Cosigner",
    "IndexUnusable",
    "Keyring",
    "Level",
    "Log",
    "LogFolder",
    "LogReader",
    "NotAsSigned",
    "NoteKey",
    "NoteSigner",
    "OPEN_CALLS_MAX",
    "OUTCOMES",
    "ObjectBroken",
    "ObjectMissing",
    "PUBLIC_FILE",
    "Prover",
    "Query",
    "Question",
    "REQUEST_BYTES_MAX",
    "ReceiptText",
    "Record",
    "Redactor",
    "Report",
    "WITHHELD",
    "Why",
    "Withheld",
    "Witness",
    "WitnessKey",
    "WitnessPolicy",
    "append_record",
    "check_consistency",
    "check_proof",
    "conflicting_size",
    "connect_log",
    "comparable_from",
    "contradiction",
    "cosignatures",
    "cosigned",
    "count_calls",
    "find_calls",
    "history_claims",
    "history_url",
    "open_log",
    "open_own_checkpoint",
    "parse_keys",
    "peer_claims",
    "private_key",
    "reach_log",
    "read_hashes",
    "record_of",
    "scan_calls",
    "submission",
    "verify_folder",
    "verify_log",
    "witness_claims",
]
