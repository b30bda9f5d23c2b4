"""A small ticket-and-refund API in its own process: the stand-in for somebody else's service that the demo puts behind the gateway.

It has its own SQLite database, refuses every call without its own API key, keeps a record of what reached it (table `seen`), and can be told
to fail or stall on a separate control port. Run it with `python -m gateway.cli.demo.upstream --folder DIR --key-file FILE`; the first line it
prints is a JSON object with its ports: `api`, `flaky` (the same without a key, and it fails the first FLAKY_FAILURES times for each target),
`dead` (bound, but nothing listens) and `control`.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

FLAKY_FAILURES = 2
STALL_S_MAX = 600.0
BODY_BYTES_MAX = 1_048_576

TABLES = """
create table tickets (id text primary key, title text not null, body text not null, priority text not null, status text not null);
create table comments (id integer primary key, ticket_id text not null, text text not null);
create table refunds (id text primary key, ticket_id text not null, amount real not null, currency text not null, reason text not null);
create table seen (id integer primary key, port text not null, method text not null, path text not null, headers text not null);
"""
TICKETS = [
    ("T-1001", "Charged twice for one order", "Order 88 was charged two times.", "high", "open"),
    ("T-1002", "Parcel arrived damaged", "The box was wet.", "normal", "open"),
    ("T-1003", "Cannot log in", "The reset mail never comes.", "normal", "open"),
    ("T-1004", "Where is my invoice?", "For October, please.", "low", "closed"),
]


class Store:
    """The service's own database. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript(TABLES)
        self.db.executemany("insert into tickets values (?, ?, ?, ?, ?)", TICKETS)

    def rows(self, query: str, *values: object) -> list[dict[str, object]]:
        return [dict(row) for row in self.db.execute(query, values)]

    def ticket(self, ticket_id: str) -> dict[str, object] | None:
        found = self.rows("select * from tickets where id = ?", ticket_id)
        if not found:
            return None
        return {**found[0], "comments": self.rows("select id, text from comments where ticket_id = ? order by id", ticket_id)}

    def next_id(self, table: str, prefix: str, first: int) -> str:
        return f"{prefix}-{first + len(self.rows(f'select id from {table}'))}"  # noqa: S608 - the table is one of ours

    def saw(self, port: str, scope: Scope) -> None:
        target = scope["raw_path"].decode("latin-1") + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
        headers = json.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]])
        self.db.execute("insert into seen (port, method, path, headers) values (?, ?, ?, ?)", (port, scope["method"], target, headers))


class Faults:
    """What the control port asked for: answer the next `fail` calls with 503, and wait `stall_s` seconds before each answer."""

    def __init__(self) -> None:
        self.fail = 0
        self.stall_s = 0.0
        self.tries: Counter[str] = Counter()

    def try_of(self, key: str) -> int:
        """Count one more try of this key; the first is 1."""
        self.tries[key] += 1
        return self.tries[key]


class Service:
    """The whole process as one ASGI application: the port a call came in on says which listener it is for."""

    def __init__(self, store: Store, api_key: str, ports: dict[str, int]) -> None:
        self.store, self.api_key, self.faults = store, api_key.encode(), Faults()
        self.names = {port: name for name, port in ports.items()}
        self.api: ASGIApp = Starlette(routes=api_routes(store, self.faults))
        self.control: ASGIApp = Starlette(routes=control_routes(store, self.faults))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        name = self.names.get(scope["server"][1], "api")
        if name == "control":
            await self.control(scope, receive, send)
            return
        self.store.saw(name, scope)
        answer = await self.refuse(name, scope)
        await (answer or self.api)(scope, receive, send)

    async def refuse(self, name: str, scope: Scope) -> Response | None:
        keys = [value for field, value in scope["headers"] if field == b"x-api-key"]
        if name == "api" and (len(keys) != 1 or not hmac.compare_digest(keys[0], self.api_key)):
            return JSONResponse({"error": "an API key is needed"}, 401)
        if self.faults.stall_s:
            await asyncio.sleep(self.faults.stall_s)
        if self.faults.fail > 0:
            self.faults.fail -= 1
            return JSONResponse({"error": "told to fail"}, 503)
        target = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        if name == "flaky" and self.faults.try_of(f"flaky {target}") <= FLAKY_FAILURES:
            return JSONResponse({"error": "a bad moment"}, 503)
        return None


def problem(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)


async def members(request: Request, *names: str) -> dict[str, object] | None:
    """Return the body's members when it is a JSON object that has all these names, else None."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) and set(names) <= set(value) else None


def api_routes(store: Store, faults: Faults) -> list[Route]:
    return [*ticket_routes(store), *refund_routes(store), *other_routes(store, faults)]


def ticket_routes(store: Store) -> list[Route]:
    async def list_tickets(request: Request) -> Response:
        status, limit = request.query_params.get("status"), request.query_params.get("limit", "50")
        if not limit.isascii() or not limit.isdigit():
            return problem(400, "limit is a number")
        query = "select * from tickets where ?1 is null or status = ?1 order by id desc limit ?2"
        return JSONResponse({"tickets": store.rows(query, status, min(int(limit), 1_000))})

    async def create_ticket(request: Request) -> Response:
        given = await members(request, "title", "body")
        if given is None:
            return problem(400, "a ticket has a title and a body")
        ticket_id = store.next_id("tickets", "T", 1_001)
        values = [str(given[name]) for name in ("title", "body")]
        store.rows("insert into tickets values (?, ?, ?, ?, 'open')", ticket_id, *values, str(given.get("priority", "normal")))
        return JSONResponse(store.ticket(ticket_id), 201)

    async def read_ticket(request: Request) -> Response:
        found = store.ticket(request.path_params["ticket_id"])
        return JSONResponse(found) if found else problem(404, "no such ticket")

    async def comment(request: Request) -> Response:
        ticket_id = request.path_params["ticket_id"]
        given = await members(request, "text")
        if given is None or not store.ticket(ticket_id):
            return problem(400 if given is None else 404, "a comment has a text, and a ticket")
        store.rows("insert into comments (ticket_id, text) values (?, ?)", ticket_id, str(given["text"]))
        return JSONResponse(store.ticket(ticket_id), 201)

    async def delete_ticket(request: Request) -> Response:
        store.rows("delete from tickets where id = ?", request.path_params["ticket_id"])
        return Response(status_code=204)

    return [
        Route("/tickets", list_tickets, methods=["GET"]),
        Route("/tickets", create_ticket, methods=["POST"]),
        Route("/tickets/{ticket_id}", read_ticket, methods=["GET"]),
        Route("/tickets/{ticket_id}", delete_ticket, methods=["DELETE"]),
        Route("/tickets/{ticket_id}/comments", comment, methods=["POST"]),
    ]


def refund_routes(store: Store) -> list[Route]:
    async def create_refund(request: Request) -> Response:
        given = await members(request, "ticket_id", "amount", "currency")
        if given is None or not isinstance(given["amount"], int | float):
            return problem(400, "a refund has a ticket_id, an amount and a currency")
        refund_id = store.next_id("refunds", "R", 1)
        values = [str(given.get(name, "")) for name in ("currency", "reason")]
        store.rows("insert into refunds values (?, ?, ?, ?, ?)", refund_id, str(given["ticket_id"]), given["amount"], *values)
        return JSONResponse({"id": refund_id, **given}, 201)

    async def read_refund(request: Request) -> Response:
        found = store.rows("select * from refunds where id = ?", request.path_params["refund_id"])
        return JSONResponse(found[0]) if found else problem(404, "no such refund")

    return [Route("/refunds", create_refund, methods=["POST"]), Route("/refunds/{refund_id}", read_refund, methods=["GET"])]


def other_routes(store: Store, faults: Faults) -> list[Route]:
    async def export(_: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            yield "id,status,priority\n"
            for row in store.rows("select * from tickets order by id"):
                yield f"{row['id']},{row['status']},{row['priority']}\n"

        return StreamingResponse(lines(), media_type="text/csv")

    async def flaky(request: Request) -> Response:
        key, times = request.query_params.get("key", ""), request.query_params.get("times", str(FLAKY_FAILURES))
        seen = faults.try_of(f"key {key}")
        if times.isascii() and times.isdigit() and seen <= int(times):
            return problem(503, "a bad moment")
        return JSONResponse({"tries": seen})

    return [Route("/export", export, methods=["GET"]), Route("/flaky", flaky, methods=["GET"])]


def control_routes(store: Store, faults: Faults) -> list[Route]:
    async def control(request: Request) -> Response:
        given = await members(request) or {}
        fail, stall_s = given.get("fail", faults.fail), given.get("stall_s", faults.stall_s)
        if not isinstance(fail, int) or not isinstance(stall_s, int | float) or not 0 <= stall_s <= STALL_S_MAX:
            return problem(400, "fail is a count and stall_s a number of seconds")
        faults.fail, faults.stall_s = fail, float(stall_s)
        if given.get("reset"):
            faults.tries.clear()
        return JSONResponse({"fail": faults.fail, "stall_s": faults.stall_s})

    async def seen(_: Request) -> Response:
        return JSONResponse([{**row, "headers": json.loads(str(row["headers"]))} for row in store.rows("select * from seen order by id")])

    return [Route("/control", control, methods=["POST"]), Route("/seen", seen, methods=["GET"])]


def listener(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(description="A ticket-and-refund API to put behind the gateway.")
    parser.add_argument("--folder", type=Path, required=True, help="where the database is created")
    parser.add_argument("--key-file", type=Path, required=True, help="file with the API key that callers must present as X-Api-Key")
    parser.add_argument("--port", type=int, default=0, help="of the API; flaky, dead and control follow it. 0: any free ports")
    asked = parser.parse_args()
    wanted = [asked.port + n if asked.port else 0 for n in range(4)]
    dead = listener(wanted[2])  # bound for as long as the process runs, so nobody else can answer there
    sockets = {"api": listener(wanted[0]), "flaky": listener(wanted[1]), "control": listener(wanted[3])}
    ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    service = Service(Store(asked.folder / "upstream.sqlite"), asked.key_file.read_text().strip(), ports)
    for sock in sockets.values():
        sock.listen(128)  # from here on a connection waits instead of being refused
    print(json.dumps({**ports, "dead": dead.getsockname()[1]}), flush=True)
    config = uvicorn.Config(service, lifespan="off", log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=list(sockets.values()))


if __name__ == "__main__":
    main()
