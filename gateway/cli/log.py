"""`portreeve log`: what the decision log says, and whether it can be believed."""

from __future__ import annotations

from gateway.cli.json_errors import JsonErrors
from gateway.cli.later import Later, group


def _asked(name: str, at: str, text: str) -> Later:
    return Later(name, at, text, kind=JsonErrors)


COMMANDS = (
    _asked("verify", "gateway.cli.log_verify:verify", "Is every record as it was written, and is none missing?"),
    _asked("replay", "gateway.cli.log_replay:replay", "Decide every recorded call again, from the log alone."),
    Later("writer", "gateway.cli.log_writer:writer", "Write the log for workers that connect to a Unix socket."),
    _asked("prove", "gateway.cli.log_prove:prove", "Write the proof that a record is in the log, signed."),
    _asked("check-receipt", "gateway.cli.log_prove:check_receipt", "Does the log hold what an agent's receipt says?"),
    _asked("consistency", "gateway.cli.log_prove:consistency", "Does one state of the log go on from the other?"),
    _asked("erase", "gateway.cli.log_erase:erase", "Destroy the keys of a subject's sealed arguments."),
    _asked("archive", "gateway.cli.log_archive:archive", "Pack the segments that are complete (zstd)."),
    _asked("prune", "gateway.cli.log_archive:prune", "Take away the oldest segments, with a record of it."),
    _asked("recover", "gateway.cli.log_recover:recover", "Say what is wrong with a damaged log, and what is lost."),
    _asked("tail", "gateway.cli.log_tail:tail", "Print the newest records, a line each."),
    _asked("query", "gateway.cli.log_query:query", "Find calls, the newest first."),
    _asked("verifier", "gateway.cli.log_verify:verifier", "Print a verifier in one file of plain Python."),
    _asked("export", "gateway.cli.log_export:export", "Export records: OCSF, OTLP, CloudEvents, CSV, lines, tiles."),
    _asked("open", "gateway.cli.log_query:open_calls", "List allowed calls of which nobody knows what came."),
    _asked("check-proof", "gateway.cli.log_prove:check_proof_file", "Check the proof of a record, without the log."),
    _asked("show", "gateway.cli.log_show:show", "Print one record, and whether it is as it was signed."),
    _asked("explain", "gateway.cli.log_show:explain", "Tell the story of one decision."),
    _asked("checkpoint", "gateway.cli.log_show:checkpoint", "Print the newest checkpoint, a signed note."),
    Later("index", "gateway.cli.log_query:index", "The index by which calls are found."),
    Later("keys", "gateway.cli.log_keys:app", "The keys that sign the log."),
    Later("witness", "gateway.cli.log_witness:app", "Witness other logs, or have this one witnessed."),
)

app = group(COMMANDS, help="Verify, read, explain and replay the decision log.")
