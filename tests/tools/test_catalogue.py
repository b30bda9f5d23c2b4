"""The catalogue holds every tool of a deployment, or says all that is wrong with any of them."""

from __future__ import annotations

import pytest

from gateway.call import Blob
from gateway.canonical import dumps
from gateway.config.model import ToolSettings
from gateway.errors import Problems
from gateway.tools.catalogue import Catalogue
from gateway.tools.document import read_document
from tests.tools.world import ROOT, TICKETS, deployment

TOOL = ToolSettings("tickets", "http://127.0.0.1:1", contract=TICKETS.relative_to(ROOT), groups=("support",))
PLAIN = ToolSettings("plain", "http://127.0.0.1:2")


def test_tools_are_found_by_their_whole_name():
    catalogue = Catalogue.load(deployment(TOOL, PLAIN))
    tool = catalogue.tool("tickets")
    assert tool is not None
    assert (tool.name, tool.groups, tool.settings) == ("tickets", ("support",), TOOL)
    assert tool.contract == Blob.of(dumps(read_document(TICKETS).value)), "without the comments of the file"
    assert [catalogue.tool(name) for name in ("ticket", "Tickets", "tickets%2e", "")] == [None] * 4
    plain = catalogue.tool("plain")
    assert plain is not None
    assert plain.contract is None


def test_all_operations_are_listed_with_the_unmapped_and_generic_ones():
    actions = [o.action for o in Catalogue.load(deployment(TOOL, PLAIN)).operations()]
    assert actions[-4:] == ["tickets/unmapped", "plain/read", "plain/write", "plain/destructive"]
    assert len(actions) == len(set(actions)) == 13


def test_the_digest_follows_contracts_and_effects(tmp_path):
    changed = tmp_path / "t.yaml"
    changed.write_text(TICKETS.read_text().replace("operationId: get_ticket\n", "operationId: fetch_ticket\n"))
    commented = tmp_path / "c.yaml"
    commented.write_text(TICKETS.read_text() + "# a comment\n")
    digests = {
        Catalogue.load(deployment(TOOL)).digest,
        Catalogue.load(deployment(TOOL, PLAIN)).digest,
        Catalogue.load(deployment(ToolSettings("tickets", "http://x", contract=changed))).digest,
        Catalogue.load(deployment(ToolSettings("tickets", "http://x", contract=TICKETS, effects={"flaky": "write"}))).digest,
    }
    assert len(digests) == 4
    assert Catalogue.load(deployment(TOOL)).digest in digests
    assert Catalogue.load(deployment(ToolSettings("tickets", "http://x", contract=commented))).digest in digests


def test_the_faults_of_all_tools_are_found_in_one_look(tmp_path):
    (tmp_path / "bad.yaml").write_text("openapi: 3.1.0\npaths:\n  /a: {get: {operationId: 1}}\n")
    tools = (
        ToolSettings("a", "http://x", contract=tmp_path / "absent.yaml"),
        ToolSettings("b", "http://x", contract=tmp_path / "bad.yaml"),
        ToolSettings("c", "http://x", effects={"read": "write"}),
    )
    with pytest.raises(Problems) as caught:
        Catalogue.load(deployment(*tools))
    assert [p.code for p in caught.value.problems] == ["contract_unreadable", "contract_operation", "contract_effect"]
    assert caught.value.problems[1].line == 3
    assert all(p.remedy for p in caught.value.problems)


def test_a_contract_may_be_json(tmp_path):
    (tmp_path / "t.json").write_text('{"openapi": "3.0.3", "paths": {"/a": {"get": {}}}}')
    tool = Catalogue.load(deployment(ToolSettings("t", "http://x", contract=tmp_path / "t.json"))).tool("t")
    assert tool is not None
    assert list(tool.plans) == ["get_a"]
