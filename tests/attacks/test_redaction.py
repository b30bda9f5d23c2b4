"""What a contract or a policy hides from the decision log is looked for in every file of it, in every spelling, after calls of every kind."""

import asyncio
import base64
import json
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.config.load import load
from gateway.record import LogReader, Withheld
from tests.journeys.place import client_of, records, running, token_of, verified, write_place
from tests.simulators.upstreams import echo, upstream

SSN = "078-05-1120/x"
CARD = "4000 0000 0000 0002"
NAME = 'Zoë "Quux" O\'Neill'
MAIL = "zoe.quux@hidden.example"
NUMBER = 7_654_321_987

OPERATIONS = """
[tool.people]
url = "http://127.0.0.1:{port}/people"
path_encoded_slash = true
[tool.people.operation.person]
method = "GET"
path = "/by-ssn/{{ssn}}/notes/{{note}}"
effect = "read"
log = {{ "/ssn" = "seal" }}
parameters = {{ note = {{ type = "string" }} }}
[tool.people.operation.save]
method = "POST"
path = "/people"
effect = "write"
facts = {{ mail = "email" }}
[tool.people.operation.save.body]
type = "object"
required = ["mail"]
[tool.people.operation.save.body.properties]
mail = {{ type = "string", x-portreeve-log = "seal" }}
number = {{ type = "integer", x-portreeve-log = "hmac" }}
open = {{ x-portreeve-log = "seal" }}
city = {{ type = "string" }}
person = {{ type = "object", properties = {{ name = {{ type = "string", x-portreeve-log = "seal" }}, size = {{ type = "integer" }} }} }}
cards = {{ type = "array", items = {{ type = "object", properties = {{ number = {{ type = "string", x-portreeve-log = "drop" }} }} }} }}
secret = {{ type = "string" }}
"""
RULES = """
@id("all") permit (principal in AgentGroup::"writers", action in Action::"people/*", resource);
@id("not-there") @redact("/city=drop")
forbid (principal, action == Action::"people/save", resource) when { context.input has city && context.input.city == "Atlantis" };
@id("sum") forbid (principal, action == Action::"people/save", resource)
when { context.input has number && context.input has city && context.input.city == "boom" && context.input.number * 9000000000000000000 > 1 };
"""


def forms(secret: str) -> list[bytes]:
    """The shapes in which a value could hide."""
    raw = secret.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode(), quote(secret).encode()]
    found += [json.dumps(secret)[1:-1].encode(), json.dumps(json.dumps(secret)[1:-1])[1:-1].encode(), raw[::-1]]
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + raw)
        part = coded[4 if shift else 0 : -4]
        found += [part, part.replace(b"+", b"-").replace(b"/", b"_")]
    return found


def leaks(folder, secrets) -> list[str]:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any(name.endswith(".jsonl") for name in files)
    return [f"{secret} as {form!r} in {name}" for secret in secrets for form in forms(secret) for name, content in files.items() if form in content]


def deploy(folder, port, *, log=""):
    write_place(folder, port, log=log)
    (folder / "gateway.toml").write_text((folder / "gateway.toml").read_text() + OPERATIONS.format(port=port))
    (folder / "policies" / "people.cedar").write_text(RULES)


async def play(folder, place) -> list[int]:
    """Calls that are allowed, denied, erred, refused by the contract, unmapped and unrepresentable. Returns their statuses."""
    who = quote(SSN, safe="")
    found = []
    async with client_of(place.gateway.addresses["agents"], token_of(folder)) as client:

        async def call(method, path, **more):
            found.append((await client.request(method, f"/tools/people{path}", **more)).status_code)

        whole = {
            "mail": MAIL,
            "number": NUMBER,
            "open": {"x": [NAME]},
            "person": {"name": NAME, "size": 3},
            "cards": [{"number": CARD}, {"number": CARD}],
        }
        await call("GET", f"/by-ssn/{who}/notes/plainly")
        await call("POST", "/people", json=whole)
        await call("POST", "/people", json={**whole, "city": "boom"})  # the error of the engine quotes an operand
        await call("GET", f"/by-ssn/{who}/notes/plainly?undeclared=1")
        await call("DELETE", f"/by-ssn/{who}/notes/plainly")
        await call("GET", f"/by-ssn/{who}")
        await call("POST", "/people", json={**whole, "mail": MAIL.replace("@", " at ")})  # no address: unrepresentable
        await call("POST", "/people", json={**whole, "wrong": NAME})
    return found


async def test_a_hidden_value_is_nowhere_in_the_log_whatever_became_of_the_call(tmp_path):
    async with upstream(echo) as up:
        deploy(tmp_path, up.port)
        async with running(tmp_path) as place:
            statuses = await play(tmp_path, place)
            await place.settled("result", 2)
    assert statuses == [200, 200, 403, 422, 403, 403, 403, 422]
    assert verified(tmp_path).ok
    assert leaks(tmp_path / "log", [SSN, CARD, NAME, MAIL, MAIL.split("@")[1], MAIL.split("@", maxsplit=1)[0], str(NUMBER)]) == []
    text = b"".join(path.read_bytes() for path in (tmp_path / "log" / "log").iterdir())
    assert b"/by-ssn/{ssn}/notes/plainly" in text, "what is not hidden is shown"


async def test_every_sealed_decision_is_recomputed_and_every_other_one_is_counted(tmp_path):
    async with upstream(echo) as up:
        deploy(tmp_path, up.port)
        async with running(tmp_path) as place:
            await play(tmp_path, place)
            await place.settled("result", 2)
    done = CliRunner().invoke(app, ["log", "replay", "-C", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["differ"] == found["missing"] == 0
    # Two calls hold digests and dropped values, and `sum` looks at one of them; the others are whole.
    assert (found["same"], found["withheld"], found["same_partly"]) == (4, {"dropped": 2}, {})
    first = found["withheld_inputs"][0]
    assert (first["why"], first["places"]["/ctx/input/number"], first["places"]["/ctx/raw/cards"]) == ("dropped", "hmac", "drop")
    without = CliRunner().invoke(app, ["log", "replay", "--log", str(tmp_path / "log"), "--json"])
    found = json.loads(without.stdout)
    assert (found["same_partly"], found["withheld"], found["differ"]) == ({"sealed": 3}, {"dropped": 2}, 0)


async def test_a_decision_is_made_again_without_what_is_withheld_where_no_policy_looks_at_it_and_else_named(tmp_path):
    async with upstream(echo) as up:
        deploy(tmp_path, up.port)
        async with running(tmp_path) as place:
            await place.client.post("/tools/people/people", json={"mail": MAIL, "cards": [{"number": CARD}]})
            await place.client.post("/tools/people/people", json={"mail": MAIL, "number": NUMBER, "city": "here"})
            await place.settled("result", 2)
    first, second = [record["n"] for record in records(tmp_path, "call")]
    done = CliRunner().invoke(app, ["log", "replay", "-C", str(tmp_path)])
    assert done.exit_code == 0
    assert "1 decision recomputed: 1 identical, 0 different" in done.stdout
    assert "1 of the identical ones made again without what no policy that was asked looks at: inputs withheld by redaction" in done.stdout
    assert f"record {second} not made again: inputs withheld by redaction: /ctx/input/number (hmac)" in done.stdout
    assert f"record {first}" not in done.stdout
    verify = ["log", "verify", "-C", str(tmp_path), "--level", "replay", "--json"]
    assert json.loads(CliRunner().invoke(app, verify).stdout)["decisions"] == 1


async def test_by_the_setting_every_argument_is_sealed_and_all_decisions_come_out_the_same(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, log='arguments = "seal"')
        async with running(tmp_path) as place:
            for number in range(5):
                await place.client.post("/tools/notes/notes", json={"text": NAME + str(number), "stars": number * 2})
            await place.client.get("/tools/notes/notes/" + quote(NAME, safe=""))
            await place.client.get("/tools/plain/of/" + quote(NAME, safe=""))
            await place.client.get("/tools/nothing/" + quote(NAME, safe=""))
            await place.settled("result", 5)
    assert leaks(tmp_path / "log", [NAME]) == []
    found = json.loads(CliRunner().invoke(app, ["log", "replay", "-C", str(tmp_path), "--json"]).stdout)
    assert found["same"] == found["decisions"] == 7


async def test_a_policy_hides_what_it_names_of_the_calls_that_it_decides_denied_ones_too(tmp_path):
    async with upstream(echo) as up:
        deploy(tmp_path, up.port)
        (tmp_path / "policies" / "secrets.cedar").write_text(
            '@id("s") @redact("/secret") permit (principal, action == Action::"people/save", resource) when { context.input has secret };'
        )
        async with running(tmp_path) as place:
            await place.client.post("/tools/people/people", json={"mail": MAIL, "secret": NAME})
            await place.client.post("/tools/people/people", json={"mail": MAIL, "city": "Atlantis"})
            await place.settled("result", 1)
    assert leaks(tmp_path / "log" / "log", [NAME]) == []
    allowed, denied = [record["authz"] for record in records(tmp_path, "call")]
    assert allowed["obl"] == [["redact", "/secret"]]
    assert (denied["decision"], denied["obl"], denied["ctx"]["input"]["city"]) == ("deny", [["redact", "/city=drop"]], {"$drop": "string", "len": 8})
    found = json.loads(CliRunner().invoke(app, ["log", "replay", "-C", str(tmp_path), "--json"]).stdout)
    assert (found["same"], found["withheld"], found["differ"]) == (1, {"dropped": 1}, 0)
    assert found["withheld_inputs"][0]["places"] == {"/ctx/input/city": "drop"}


async def test_what_a_person_is_erased_from_stays_whole_and_never_guesses(tmp_path):
    async with upstream(echo) as up:
        deploy(tmp_path, up.port)
        looks = '@id("nobody") forbid (principal, action == Action::"people/save", resource) when { context.input.mail == "nobody@x.example" };'
        (tmp_path / "policies" / "mail.cedar").write_text(looks)
        async with running(tmp_path) as place:
            await place.client.post("/tools/people/people", json={"mail": MAIL})
            await place.client.get("/tools/people/by-ssn/078/notes/plainly")
            await place.settled("result", 2)
            before = verified(tmp_path)
            words = ["log", "erase", "-C", str(tmp_path), "--subject", "agent:writer", "--why", "request 7", "--yes", "--json"]
            done = await asyncio.to_thread(CliRunner().invoke, app, words)
            assert done.exit_code == 0, done.output
            await place.client.post("/tools/people/people", json={"mail": MAIL})
            await place.settled("result", 3)
    assert json.loads(done.stdout) | {"record": 0} == {"subject": "agent:writer", "keys": 1, "calls": 2, "record": 0}
    (record,) = records(tmp_path, "erase")
    assert (record["subject"], record["calls"], record["why"], record["by"][:4]) == ("agent:writer", 2, "request 7", "uid:")
    report = verified(tmp_path)
    assert report.ok
    assert report.size > before.size
    settings = load(tmp_path)
    reader = LogReader(settings.log.folder, settings.keys)
    first, _, second = [reader.decision(record) for record in reader.records() if record.kind == "call"]
    assert isinstance(first, Withheld)
    assert first.why == "erased"
    assert second["ctx"]["input"]["mail"] == MAIL, "what comes after is sealed under a key of its own"
    found = json.loads(CliRunner().invoke(app, ["log", "replay", "-C", str(tmp_path), "--json"]).stdout)
    assert (found["same"], found["withheld"], found["same_partly"]) == (2, {"erased": 1}, {"erased": 1})
    assert [(each["why"], list(each["places"])) for each in found["withheld_inputs"]] == [("erased", ["/ctx/facts/mail", "/ctx/input/mail"])]


@pytest.mark.parametrize("mode", ["seal", "hmac", "drop"])
async def test_an_argument_that_looks_like_a_marker_is_not_taken_for_one(tmp_path, mode):
    async with upstream(echo) as up:
        deploy(tmp_path, up.port)
        async with running(tmp_path) as place:
            sent = {f"${mode}": "0" * 16, "c": "0" * 64, "s": None}
            await place.client.post("/tools/notes/notes", json={"text": json.dumps(sent)})
            await place.client.post("/tools/people/people", json={"mail": MAIL, "open": sent})
            await place.settled("result", 2)
    settings = load(tmp_path)
    reader = LogReader(settings.log.folder, settings.keys)
    first, second = [reader.decision(record) for record in reader.records() if record.kind == "call"]
    assert json.loads(first["ctx"]["input"]["text"]) == sent
    assert json.loads(second["ctx"]["raw"]["open"]) == sent
