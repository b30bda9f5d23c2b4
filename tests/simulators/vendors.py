"""Stand-ins for vendors' HTTP APIs: just enough of GitHub, Slack, OpenAI and Anthropic for their own client libraries, on one loopback server.

Each refuses a call that does not carry the vendor's own token, and everything that arrives is kept in `seen`. A body that says "hold" is answered
once `released` is set, and one that says "break" never: its connection breaks.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs

VENDOR_TOKEN = "vendor-token-that-no-agent-knows"
HELD_S_MAX = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Vendors:
    """A server on a free port for the length of a `with` block."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.held = threading.Semaphore(0)
        self.released = threading.Event()
        seen, held, released = self.seen, self.held, self.released

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                call = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                seen.append(call)
                if b'"hold"' in body:
                    held.release()
                    released.wait(HELD_S_MAX)
                if b'"break"' in body:
                    self.close_connection = True
                    return
                status, value = self.judge(call)
                raw = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json; charset=utf-8")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def judge(self, call: Seen) -> tuple[int, object]:
                if VENDOR_TOKEN not in {call.headers.get("authorization", "").rpartition(" ")[2], call.headers.get("x-api-key")}:
                    return 401, {"message": "Bad credentials", "ok": False}
                return ROUTES.get((call.method, call.path.partition("?")[0]), lambda _: (404, {"message": "Not Found"}))(call)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def repository(_: Seen) -> tuple[int, object]:
    return 200, {"id": 1, "name": "gate", "full_name": "acme/gate", "private": True, "url": "https://vendor.invalid/repos/acme/gate"}


def open_issue(call: Seen) -> tuple[int, object]:
    return 201, {"id": 7, "number": 7, "title": json.loads(call.body)["title"], "state": "open"}


def post_message(call: Seen) -> tuple[int, object]:
    form = call.headers["content-type"].startswith("application/x-www-form-urlencoded")
    given = {name: values[0] for name, values in parse_qs(call.body.decode()).items()} if form else json.loads(call.body)
    return 200, {"ok": True, "channel": given["channel"], "ts": "1.2", "message": {"text": given["text"]}}


def complete(call: Seen) -> tuple[int, object]:
    """A model that says what it was asked in capitals, wishes for the first of its tools when it has any, and then says what that gave."""
    asked = json.loads(call.body)
    last = asked["messages"][-1]
    answer = {"role": "assistant", "content": last["content"] if last["role"] == "tool" else last["content"].upper()}
    if last["role"] == "user" and asked.get("tools"):
        amount, ticket = re.findall(r"\b\d+\b|T-\d+", last["content"])
        function = {
            "name": asked["tools"][0]["function"]["name"],
            "arguments": json.dumps({"ticket_id": ticket, "amount": int(amount), "reason": "asked for"}),
        }
        answer |= {"content": None, "tool_calls": [{"id": "t-1", "type": "function", "function": function}]}
    said = {"index": 0, "finish_reason": "tool_calls" if "tool_calls" in answer else "stop", "message": answer}
    return 200, {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [said]}


def message(call: Seen) -> tuple[int, object]:
    said = [{"type": "text", "text": json.loads(call.body)["messages"][0]["content"].upper()}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    return 200, {"id": "m-1", "type": "message", "role": "assistant", "model": "m", "content": said, "stop_reason": "end_turn", "usage": usage}


def tickets(_: Seen) -> tuple[int, object]:
    return 200, {"tickets": [{"id": "T-1001", "title": "Charged twice", "status": "open"}]}


def open_ticket(call: Seen) -> tuple[int, object]:
    return 201, {"ticket": "T-1002", **json.loads(call.body)}


ROUTES = {
    ("GET", "/tickets"): tickets,
    ("POST", "/tickets"): open_ticket,
    ("POST", "/openai/v1/chat/completions"): complete,
    ("POST", "/anthropic/v1/messages"): message,
    ("GET", "/github/repos/acme/gate"): repository,
    ("POST", "/github/repos/acme/gate/issues"): open_issue,
    ("POST", "/slack/api/chat.postMessage"): post_message,
}
