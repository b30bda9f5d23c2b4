"""A small world of tools, operations and agents for policies to be about, and short ways to make bundles and calls in it."""

from __future__ import annotations

from pathlib import Path

from gateway.authorize import Bundle, decide, load_bundle
from gateway.authorize.bundle import describe
from gateway.authorize.engine import Uid, policy_json
from gateway.authorize.library import Library
from gateway.authorize.policy import Policy
from gateway.authorize.schema import agent_entities, tool_entities
from gateway.authorize.splitting import split
from gateway.call import Blob, Facts, Identity, Invocation, Operation, ToolCall
from gateway.canonical import dumps
from gateway.config.model import ToolSettings
from gateway.identities import Agent, Identities, Revoked

NOW_US = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z


def operation(name, properties=None, required=(), effect="read", *, tool="tickets", facts=None, method="GET", template=None):
    schema = {"type": "object", "properties": properties or {}, "required": list(required), "additionalProperties": False}
    return Operation(tool, name, method, template or f"/{name}", effect, schema, facts or {})


STRING, INTEGER, NUMBER, BOOLEAN = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
ADDRESS = {
    "type": "object",
    "properties": {"city": STRING, "floor": INTEGER},
    "required": ["city"],
    "additionalProperties": False,
}
REFUND = {"ticket_id": STRING, "amount": NUMBER, "currency": {"enum": ["EUR", "USD"]}, "reason": STRING}
OPERATIONS = (
    operation("list_tickets", {"status": STRING, "limit": INTEGER}),
    operation("get_ticket", {"ticket_id": STRING}, ["ticket_id"]),
    operation("create_refund", REFUND, list(REFUND), "write", method="POST"),
    operation("delete_ticket", {"ticket_id": STRING}, ["ticket_id"], "destructive", method="DELETE"),
    operation(
        "import_all",
        {
            "text": STRING,
            "count": INTEGER,
            "price": NUMBER,
            "sure": BOOLEAN,
            "at": {"type": "string", "format": "date-time"},
            "tags": {"type": "array", "items": STRING},
            "address": ADDRESS,
            "anything": {},
            "mixed": {"type": "array"},
        },
        ["text"],
        "idempotent_write",
        method="PUT",
    ),
    operation(
        "send",
        {"path": STRING, "url": STRING, "host": STRING, "to": {"type": "array", "items": STRING}, "from": STRING, "body": STRING},
        ["body"],
        "write",
        tool="mail",
        facts={"path": "path", "url": "url", "host": "host", "to": "email", "from": "email", "body": "size"},
        method="POST",
    ),
)
TOOLS = (
    ToolSettings("tickets", "http://127.0.0.1:1", contract=Path("tickets.yaml"), groups=("support",), risk="high"),
    ToolSettings("mail", "http://127.0.0.1:2", contract=Path("mail.yaml"), groups=("outside",)),
    ToolSettings("plain", "http://127.0.0.1:3", risk="low"),
)


def agent(name, groups=(), owner="team:support", **attributes):
    return Agent(id=name, owner=owner, description="", status="active", groups=tuple(groups), attributes=attributes)


AGENTS = (
    agent("support-bot", ["support"], env="prod", level=2, trusted=True, labels=["a", "b"]),
    agent("audit-bot", ["auditors"], env="prod"),
    agent("intern-bot", ["interns", "support"], owner="alice"),
)


def identities(agents=AGENTS):
    return Identities({a.id: a for a in agents}, {}, Revoked(), "sha256:0")


def load(folder: Path, text: str | None = None, **files: str) -> Bundle:
    """Write policies into a folder and load it in earnest."""
    folder.mkdir(exist_ok=True)
    if text is not None:
        (folder / "rules.cedar").write_text(text)
    for name, content in files.items():
        (folder / f"{name}.cedar").write_text(content)
    return load_bundle(folder, OPERATIONS, TOOLS, identities())


def quick(text: str, *, projected: bool = True, operations=OPERATIONS, agents=AGENTS, declared: str = "") -> Bundle:
    """A bundle without the checks of a load and without its subprocess."""
    plans, source = describe(Path("nowhere"), operations, TOOLS, identities(agents))
    source = type(source)(source.generated, declared)
    policies = [Policy.of(piece, policy_json(piece.text)) for piece in split("rules.cedar", text)]
    entities = {Uid("Agent", a.id): agent_entities(a) for a in agents}
    entities |= {Uid("Tool", t.name): tool_entities(t, [p for p in plans.values() if p.operation.tool == t.name]) for t in TOOLS}
    return Bundle(Blob.of(dumps({"files": [["rules.cedar", text]]})), Library(policies, source), plans, entities, projected=projected)


class NoBody:
    length = 0

    def chunks(self):
        raise AssertionError("never read")


def invocation(action, arguments=None, *, method=None, path=None, operations=None):
    tool, _, name = action.partition("/")
    found = next((o for o in operations or OPERATIONS if o.action == action), Operation(tool, name, "GET", "", "read"))
    call = ToolCall("1", "http", tool, method or found.method, path or found.template or "/", "", (), None, NoBody(), "")
    return Invocation(call, found, arguments or {}, "", None)


def identity(name="support-bot", **members):
    return Identity(name, "https://gw.example", f"agent:{name}", "jti", "kid", "aud", 0, **members)


def ask(bundle, action, arguments=None, agent="support-bot", *, facts=None, method=None, path=None, **who):
    return decide(bundle, invocation(action, arguments, method=method, path=path), identity(agent, **who), facts or Facts(NOW_US))


PERMIT_ALL = '@id("all") permit (principal, action, resource == Tool::"tickets");\n'
REFUND_OF = {"ticket_id": "T-1", "amount": 10, "currency": "EUR", "reason": "broken"}
