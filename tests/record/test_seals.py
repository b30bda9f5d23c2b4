import json
import shutil

import pytest

from gateway.call import Basis, Blob, Identity, Operation, ToolCall
from gateway.canonical import dumps
from gateway.errors import Refusal
from gateway.record import BrokenLine, LogReader, Redactor, Withheld
from gateway.record.bodies import authz_body
from tests.record.world import ENTITIES, POLICIES, SCHEMA, opened, settings

OPERATION = Operation("people", "save", "POST", "/by/{ssn}", "write", log=(("/ssn", "seal"), ("/pin", "drop"), ("/tag", "hmac")))
SEALED = Operation("people", "save", "POST", "/by/{ssn}", "write", log=(("/ssn", "seal"), ("/deep/-/x", "seal")))
WHO = Identity("bot", "iss", "sub", "jti", "kid", "aud", 0, user="zoe")


def call_of(number: int = 0) -> ToolCall:
    return ToolCall(f"{number:032x}", "http", "people", "POST", "/by/078", "", (), None, None, "peer")


def basis_of(context, errors=()) -> Basis:
    entities = Blob.of(b"[]")
    return Basis("a", "b", "c", dumps(context), entities, POLICIES, SCHEMA, "engine", "allow", errors=errors)


CONTEXT = {
    "input": {"ssn": "078", "pin": 1234, "tag": "t", "deep": [{"x": {"__extn": {"fn": "decimal", "arg": "1.0"}}}, {"x": None}]},
    "request": {"path": "/by/078"},
}


async def redacted(redactor, operation=OPERATION, context=CONTEXT, *, identity=WHO, number=0, errors=()):
    basis = basis_of(context, errors)
    body = {"id": call_of(number).id, "what": {"path": "/by/078"}, "authz": authz_body(basis), "code": ""}
    return body, await redactor.apply(body, call_of(number), identity, operation, basis)


@pytest.fixture
def redactor(tmp_path):
    (tmp_path / "log").mkdir(mode=0o700)
    found = Redactor.open(settings(tmp_path), tmp_path / "keys")
    yield found
    found.close()


async def written(tmp_path, redactor, *, count=1, operation=SEALED):
    async with opened(tmp_path) as log:
        for number in range(count):
            body, payload = await redacted(redactor, operation, number=number)
            await log.append("call", body, blobs=(POLICIES, SCHEMA, ENTITIES), payload=payload)


def decisions(tmp_path, keys=True):
    reader = LogReader(tmp_path / "log", tmp_path / "keys" if keys else None)
    return [reader.decision(record) for record in reader.records() if record.kind == "call"]


async def test_markers_stand_where_values_were_and_are_listed(redactor):
    body, payload = await redacted(redactor)
    authz = json.loads(dumps(body["authz"]))
    assert authz["redacted"] == ["/ctx/input/pin", "/ctx/input/ssn", "/ctx/input/tag", "/ctx/request/path"]
    given = authz["ctx"]["input"]
    assert (given["pin"], given["ssn"].keys(), given["tag"].keys()) == ({"$drop": "number"}, {"$seal", "c"}, {"$hmac", "key"})
    assert body["what"]["path"] == "/by/{ssn}"
    assert json.loads(payload)["s"].keys() == {"/ctx/input/ssn", "/ctx/request/path"}


async def test_a_call_of_an_operation_without_rules_is_left_as_it_is(redactor):
    body, payload = await redacted(redactor, Operation("people", "save", "POST", "/by/{ssn}", "write"))
    assert payload == b""
    assert "redacted" not in body["authz"]
    assert body["what"]["path"] == "/by/078"


async def test_what_is_only_dropped_needs_no_key(tmp_path, redactor):
    _, payload = await redacted(redactor, Operation("people", "save", "POST", "/x", "write", log=(("/pin", "drop"),)))
    assert payload == b""
    assert redactor._keyring.numbers("user:zoe") == []


async def test_errors_are_hidden_with_what_they_may_quote(redactor):
    body, payload = await redacted(redactor, SEALED, errors=("while evaluating `p`: overflow of 078",))
    assert list(body["authz"]["errors"][0]) == ["$seal", "c"]
    assert b"078" not in dumps(body)
    assert "/errors/0" in json.loads(payload)["s"]


async def test_a_decision_comes_back_byte_for_byte_for_who_has_the_keys(tmp_path, redactor):
    await written(tmp_path, redactor, count=3)
    expected = dumps({name: json.loads(dumps(value)) for name, value in authz_body(basis_of(CONTEXT)).items()})
    assert [dumps(found) for found in decisions(tmp_path)] == [expected] * 3


async def test_without_keys_it_is_sealed_and_without_payload_lost(tmp_path, redactor):
    await written(tmp_path, redactor)
    assert [found.why for found in decisions(tmp_path, keys=False)] == ["sealed"]
    shutil.rmtree(tmp_path / "log" / "payload")
    assert [found.why for found in decisions(tmp_path)] == ["lost"]
    (tmp_path / "log" / "keys.db").unlink()
    assert [found.why for found in decisions(tmp_path)] == ["sealed"]


async def test_a_destroyed_key_reads_as_erased_with_the_keys_and_without(tmp_path, redactor):
    await written(tmp_path, redactor)
    redactor._keyring.destroy("user:zoe")
    for keys in (True, False):
        (found,) = decisions(tmp_path, keys=keys)
        assert isinstance(found, Withheld)
        listed = "/ctx/input/deep/0/x (seal), /ctx/input/deep/1/x (seal), /ctx/input/ssn (seal), /ctx/request/path (seal)"
        assert (found.why, str(found)) == ("erased", f"inputs erased: {listed}")


async def test_dropped_inputs_are_never_had_again(tmp_path, redactor):
    await written(tmp_path, redactor, operation=OPERATION)
    (found,) = decisions(tmp_path)
    assert (found.why, str(found)) == ("dropped", "inputs withheld by redaction: /ctx/input/pin (drop), /ctx/input/tag (hmac)")
    assert found.authz["redacted"] == list(found.places)
    assert (found.authz["ctx"]["input"]["ssn"], found.authz["ctx"]["input"]["pin"]) == ("078", {"$drop": "number"}), "what can be had is there"
    (found,) = decisions(tmp_path, keys=False)
    assert (found.why, found.places["/ctx/input/ssn"]) == ("dropped", "seal")
    shutil.rmtree(tmp_path / "log" / "payload")
    assert decisions(tmp_path)[0].why == "lost", "that something is missing is told before what was never kept"


@pytest.mark.parametrize("marker", ["$hmac", {}, 7, [], ["$drop"], {"c": "$seal"}, None])
async def test_what_is_listed_as_withheld_and_is_not_is_no_record_of_ours(tmp_path, redactor, marker):
    async with opened(tmp_path) as log:
        body, _ = await redacted(redactor, Operation("people", "save", "POST", "/x", "write", log=(("/pin", "drop"),)))
        body["authz"]["ctx"]["input"]["pin"] = marker
        await log.append("call", body, blobs=(POLICIES, SCHEMA, ENTITIES))
    with pytest.raises(BrokenLine):
        decisions(tmp_path)


@pytest.mark.parametrize("attack", ["exchanged between calls", "exchanged between places", "cut", "no text"])
async def test_a_payload_that_is_not_the_recorded_one_is_found(tmp_path, redactor, attack):
    await written(tmp_path, redactor, count=2)
    (path,) = (tmp_path / "log" / "payload").iterdir()
    one, two = [json.loads(line) for line in path.read_bytes().splitlines()]
    if attack == "exchanged between calls":
        one["s"], two["s"] = two["s"], one["s"]
    elif attack == "exchanged between places":
        one["s"]["/ctx/input/ssn"], one["s"]["/ctx/request/path"] = one["s"]["/ctx/request/path"], one["s"]["/ctx/input/ssn"]
    elif attack == "cut":
        one["s"]["/ctx/input/ssn"] = one["s"]["/ctx/input/ssn"][:16]
    else:
        one["s"]["/ctx/input/ssn"] = "%%%%"
    path.write_bytes(dumps(one) + b"\n" + dumps(two) + b"\n")
    with pytest.raises(BrokenLine, match="not those that were recorded"):
        decisions(tmp_path)


async def test_a_payload_sealed_anew_under_the_right_key_is_found_by_the_commitment(tmp_path, redactor):
    await written(tmp_path, redactor)
    (path,) = (tmp_path / "log" / "payload").iterdir()
    path.write_bytes((await redacted(redactor, SEALED, {**CONTEXT, "input": {**CONTEXT["input"], "ssn": "079"}}))[1])
    with pytest.raises(BrokenLine, match="not those that were recorded"):
        decisions(tmp_path)


async def test_without_a_key_to_seal_under_there_is_no_record(redactor):
    redactor.close()
    with pytest.raises(Refusal, match="log_unavailable"):
        await redacted(redactor)


async def test_an_agent_without_a_user_is_its_own_subject(redactor):
    await redacted(redactor, identity=Identity("bot", "iss", "sub", "jti", "kid", "aud", 0))
    assert len(redactor._keyring.numbers("agent:bot")) == 1
    assert redactor._keyring.numbers("user:zoe") == []


async def test_a_call_that_policy_was_not_asked_for_shows_no_hidden_path(redactor):
    body = {"what": {"path": "/by/078"}, "authz": None}
    assert await redactor.apply(body, call_of(), WHO, OPERATION, None) == b""
    assert body == {"what": {"path": "/by/{ssn}"}, "authz": None}
