"""Loading a deployment: what a right one becomes, and every fault of a wrong one with file, line, key and what to write instead."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import agreement, kinds, load, reader, source, suggest
from gateway.config.model import Limits, Listener
from gateway.errors import Problems
from tests.config.deployments import GOOD, line_of, problems_of, replaced, write

SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"


def test_a_small_deployment_becomes_settings_with_safe_defaults(tmp_path):
    found = load.load(write(tmp_path))
    assert (found.name, found.url) == ("test", "http://127.0.0.1:8080")
    assert (found.agents, found.admin) == (Listener("127.0.0.1", 8080), Listener("127.0.0.1", 9090))
    assert (found.policies, found.identities, found.keys) == (tmp_path / "policies", tmp_path / "identities", tmp_path / "var/keys")
    assert found.limits == Limits()
    tool = found.tools["crm"]
    assert (tool.name, tool.url, tool.credential, tool.risk) == ("crm", "https://crm.example.com/v1", "crm-key", "medium")
    assert (tool.file, tool.line) == (str(tmp_path / "gateway.toml"), line_of(GOOD, "[tool.crm]"))
    assert found.credentials["crm-key"].format == "Bearer {secret}"


def test_the_file_itself_may_be_named_instead_of_its_folder(tmp_path):
    assert load.load(write(tmp_path) / "gateway.toml") == load.load(tmp_path)


def test_loading_makes_nothing(tmp_path):
    write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    load.load(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_every_kind_of_setting_is_read(tmp_path):
    text = GOOD + (
        "[limits]\nheader_timeout_s = 3\n[listen.agents]\naddress = '[::1]:0'\nhosts = ['GW.example.com', 'gw.example.com:8443']\n"
        "[tool.files]\nurl = 'http://localhost:9000/'\ngroups = ['storage']\npath_semicolon = true\nrequest_headers = ['X-Trace']\n"
        "contract = 'tools/files.json'\n[tool.files.effects]\nremove = 'destructive'\n"
        "[tool.files.operation.get]\nmethod = 'GET'\npath = '/files/{name}'\neffect = 'read'\n"
        "[tool.files.operation.get.parameters.name]\ntype = 'string'\nmaxLength = 9\n[tool.files.operation.get.facts]\nname = 'path'\n"
    )
    write(tmp_path, text)
    (tmp_path / "tools/files.json").write_text("{}")
    found = load.load(tmp_path)
    assert found.limits.header_timeout_s == 3.0
    assert isinstance(found.limits.header_timeout_s, float)
    assert found.agents == Listener("::1", 0, ("gw.example.com", "gw.example.com:8443"))
    tool = found.tools["files"]
    assert (tool.url, tool.groups, tool.path_semicolon, tool.request_headers) == ("http://localhost:9000", ("storage",), True, ("x-trace",))
    assert tool.contract == tmp_path / "tools/files.json"
    assert tool.contract in found.files
    assert tool.effects == {"remove": "destructive"}
    (operation,) = tool.operations
    assert (operation.name, operation.method, operation.path, operation.effect) == ("get", "GET", "/files/{name}", "read")
    assert operation.parameters == {"name": {"type": "string", "maxLength": 9}}
    assert operation.facts == {"name": "path"}
    assert operation.line == line_of(text, "[tool.files.operation.get]")


def test_tools_and_credentials_may_stand_in_included_files(tmp_path):
    tool = "[tool.a]\nurl = 'https://a.example.com'\ncredential = 'crm-key'\n"
    write(tmp_path, "include = ['tools/*.toml']\n" + replaced('["crm.example.com"]', '["crm.example.com", "a.example.com"]'), tools_a=tool)
    found = load.load(tmp_path)
    assert sorted(found.tools) == ["a", "crm"]
    assert found.tools["a"].file == str(tmp_path / "tools/a.toml")
    assert found.files == (tmp_path / "gateway.toml", tmp_path / "tools/a.toml")


def test_the_digest_changes_with_every_file_it_covers_and_with_nothing_else(tmp_path):
    contract = tmp_path / "tools/crm.json"
    write(tmp_path, "include = ['tools/*.toml']\n" + GOOD + "[tool.b]\nurl='http://localhost:1'\ncontract='tools/crm.json'\n", tools_a="# one\n")
    contract.write_text("{}")
    first = load.load(tmp_path).digest
    assert load.load(tmp_path).digest == first
    contract.write_text("{ }")
    second = load.load(tmp_path).digest
    (tmp_path / "tools/a.toml").write_text("# two\n")
    third = load.load(tmp_path).digest
    assert len({first, second, third}) == 3
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", first)


# code, what replaces what in GOOD, the key, the place of the problem's line, and words of the remedy
FAULTS = [
    ("toml_syntax", 'name = "test"', "name = test", "", "name = test", 'key = "text"'),
    ("toml_syntax", "[log]", "[log", "", "[log\n", 'key = "text"'),
    ("duplicate_key", 'name = "test"', 'name = "test"\nname = "other"', "gateway.name", 'name = "other"', "the first stands on line 4"),
    ("duplicate_key", "[tool.crm]", "[log]\n[tool.crm]", "log", "[log]\n[tool", "the first stands on line 7"),
    ("duplicate_key", '["crm.example.com"]', '["crm.example.com", "CRM.example.com"]', "credential.crm-key.hosts", "hosts", "keep one"),
    ("missing_key", "schema = 1\n", "", "schema", None, "write schema = 1"),
    ("unknown_schema", "schema = 1", "schema = 2", "schema", "schema", "write schema = 1"),
    ("unknown_schema", "schema = 1", "schema = true", "schema", "schema", "write schema = 1"),
    ("missing_key", 'name = "test"\n', "", "gateway", "[gateway]", "write name ="),
    ("missing_key", 'origin = "test.example/log"\n', "", "log", "[log]", "write origin ="),
    ("missing_key", 'url = "https://crm.example.com/v1"\n', "", "tool.crm", "[tool.crm]", "write url ="),
    ("missing_key", 'secret = "env:CRM_KEY"\n', "", "credential.crm-key", "[credential", "write secret ="),
    ("missing_key", '["crm.example.com"]', "[]", "credential.crm-key.hosts", "hosts", 'hosts = ["api.example.com"]'),
    ("unknown_key", "[log]", "[logs]", "logs", "[logs]", "did you mean log?"),
    ("unknown_key", "[log]", "body_bytes_max = 5\n[log]", "gateway.body_bytes_max", "body_bytes_max", "known here"),
    ("unknown_key", "schema = 1", "schema = 1\nbody_bytes_max = 5", "body_bytes_max", "body_bytes_max", "below [limits]"),
    ("unknown_key", 'credential = "crm-key"', 'credentials = "crm-key"', "tool.crm.credentials", "credentials", "did you mean credential?"),
    ("unknown_key", 'credential = "crm-key"', f'api_key = "{SECRET}"', "tool.crm.api_key", "api_key", "[credential.NAME]"),
    ("unknown_key", "[log]", "[listen.agent]\n[log]", "listen.agent", "[listen.agent]", "did you mean agents?"),
    ("unknown_key", "[log]", "[listen.admin]\nport = 9090\n[log]", "listen.admin.port", "port", 'address = "127.0.0.1:9090"'),
    ("bad_unit", "[tool.crm]", '[tool.crm]\nconnect_timeout = "2s"', "tool.crm.connect_timeout", "connect_t", "connect_timeout_s = 2 "),
    ("bad_unit", "[tool.crm]", "[tool.crm]\nconnect_timeout_ms = 1500", "tool.crm.connect_timeout_ms", "connect_t", "connect_timeout_s = 1.5"),
    ("bad_unit", "[log]", '[limits]\nbody_max = "8 MiB"\n[log]', "limits.body_max", "body_max", "body_bytes_max = 8388608"),
    ("wrong_type", "[tool.crm]", '[tool.crm]\nread_timeout_s = "1m"', "tool.crm.read_timeout_s", "read_t", "read_timeout_s = 60"),
    ("wrong_type", "[tool.crm]", "[tool.crm]\nretries_max = 1.5", "tool.crm.retries_max", "retries", "retries_max = 12"),
    ("wrong_type", "[tool.crm]", "[tool.crm]\nretries_max = true", "tool.crm.retries_max", "retries", "without quotes"),
    ("wrong_type", "[tool.crm]", '[tool.crm]\npath_semicolon = "yes"', "tool.crm.path_semicolon", "path_s", "path_semicolon = true"),
    ("wrong_type", "[tool.crm]", '[tool.crm]\ngroups = "a"', "tool.crm.groups", "groups", 'groups = ["...", "..."]'),
    ("wrong_type", 'name = "test"', "name = 2026-01-01", "gateway.name", "name", "with quotes"),
    ("wrong_type", "schema = 1", "schema = 1\nlimits = 5", "limits", "limits", "[limits]"),
    ("wrong_type", "[tool.crm]", "[tool]\nx = 1\n[tool.crm]", "tool.x", "x = 1", "[tool.x]"),
    ("wrong_type", "schema = 1", 'schema = 1\ninclude = "x"', "include", "include", 'include = ["tools/*.toml"]'),
    ("out_of_range", "[tool.crm]", "[tool.crm]\nretries_max = 11", "tool.crm.retries_max", "retries", "from 0 to 10"),
    ("out_of_range", "[tool.crm]", "[tool.crm]\nread_timeout_s = nan", "tool.crm.read_timeout_s", "read_t", "from 0.01 to 3600 s"),
    ("out_of_range", "[tool.crm]", "[tool.crm]\nread_timeout_s = inf", "tool.crm.read_timeout_s", "read_t", "from 0.01 to 3600 s"),
    ("out_of_range", "[tool.crm]", "[tool.crm]\nretries_max = -1", "tool.crm.retries_max", "retries", "from 0 to 10"),
    ("bad_choice", "[tool.crm]", '[tool.crm]\nrisk = "hihg"', "tool.crm.risk", "risk", "low, medium, high"),
    ("bad_choice", "[tool.crm]", '[tool.crm]\neffects = {a = "reed"}', "tool.crm.effects", "effects", "idempotent_write"),
    ("bad_name", "[tool.crm]", "[tool.CRM]", "tool.CRM", "[tool.CRM]", "use a-z"),
    ("bad_name", 'name = "test"', 'name = "my gateway"', "gateway.name", "name", "use a-z"),
    ("bad_name", '"test.example/log"', '"test log"', "log.origin", "origin", "gw.example.com/main"),
    ("bad_url", "https://crm.example.com/v1", "ftp://crm.example.com", "tool.crm.url", 'url = "ftp', "https://api.example.com/v1"),
    ("bad_url", "https://crm.example.com/v1", "https://crm.example.com/v1?x=1", "tool.crm.url", 'url = "https', "query = ..."),
    ("bad_url", "https://crm.example.com/v1", "https://crm.example.com/v1#x", "tool.crm.url", 'url = "https', "query = ..."),
    ("bad_url", "https://crm.example.com/v1", "https://crm.example.com/../v1", "tool.crm.url", 'url = "https', "path prefix"),
    ("bad_url", "https://crm.example.com/v1", "http://169.254.169.254/", "tool.crm.url", 'url = "http://169', "metadata services"),
    ("bad_url", "https://crm.example.com/v1", "http://[::ffff:169.254.169.254]/", "tool.crm.url", 'url = "http://[', "metadata services"),
    ("bad_url", "https://crm.example.com/v1", "http://2852039166/", "tool.crm.url", 'url = "http://2', "path prefix"),
    ("inline_secret", "https://crm.example.com/v1", f"https://user:{SECRET}@crm.example.com/", "tool.crm.url", 'url = "https', "[credential.NAME]"),
    ("inline_secret", "env:CRM_KEY", SECRET, "credential.crm-key.secret", "secret =", 'secret = "env:NAME"'),
    ("inline_secret", "env:CRM_KEY", f"env:{SECRET}", "credential.crm-key.secret", "secret =", 'secret = "env:NAME"'),
    ("inline_secret", "env:CRM_KEY", f"file:{SECRET}", "credential.crm-key.secret", "secret =", 'secret = "file:PATH"'),
    ("inline_secret", "Bearer {secret}", f"Bearer {SECRET}", "credential.crm-key.format", "format", 'format = "Bearer {secret}"'),
    ("inline_secret", "Bearer {secret}", "Bearer hunter2", "credential.crm-key.format", "format", 'format = "Bearer {secret}"'),
    ("inline_secret", "Bearer {secret}", f"{SECRET} {{secret}}", "credential.crm-key.format", "format", "only fixed words"),
    ("bad_format", "Bearer {secret}", "{secret}{secret}", "credential.crm-key.format", "format", 'format = "Bearer {secret}"'),
    ("unknown_scheme", "env:CRM_KEY", "vault:kv/crm", "credential.crm-key.secret", "secret =", "vault:MOUNT/PATH#FIELD"),
    ("bad_address", "[log]", '[listen.admin]\naddress = "9090"\n[log]', "listen.admin.address", "address", "127.0.0.1:8080"),
    ("bad_address", "[log]", '[listen.admin]\naddress = ":9090"\n[log]', "listen.admin.address", "address", "127.0.0.1:8080"),
    ("address_clash", "[log]", '[listen.admin]\naddress = "127.0.0.1:8080"\n[log]', "listen.admin.address", "address", "127.0.0.1:9090"),
    ("address_clash", "[log]", '[listen.admin]\naddress = "0.0.0.0:8080"\n[log]', "listen.admin.address", "address", "127.0.0.1:9090"),
    ("bad_network", "[tool.crm]", '[tool.crm]\nallow_private = ["10.1.2.3/24"]', "tool.crm.allow_private", "allow_private", "zeros behind"),
    ("bad_host", '["crm.example.com"]', '["*.example.com"]', "credential.crm-key.hosts", "hosts", "name each host"),
    ("bad_host", '["crm.example.com"]', '["https://crm.example.com"]', "credential.crm-key.hosts", "hosts", "without scheme"),
    ("bad_header", 'header = "Authorization"', 'header = "X Key"', "credential.crm-key.header", "header", "write only the name"),
    ("bad_header", 'header = "Authorization"', 'header = "Host"', "credential.crm-key.header", "header", "Authorization"),
    ("bad_header", "[tool.crm]", '[tool.crm]\nrequest_headers = ["Authorization"]', "tool.crm.request_headers", "request_h", "take it out"),
    ("bad_header", "[tool.crm]", '[tool.crm]\nrequest_headers = ["X_Under"]', "tool.crm.request_headers", "request_h", "x-request-id"),
    ("bad_header", "[tool.crm]", '[tool.crm]\nresponse_headers = ["Connection"]', "tool.crm.response_headers", "response_h", "take it out"),
    ("bad_header", "[tool.crm]", '[tool.crm]\ntoken_header = "Host"', "tool.crm.token_header", "token_h", "take it out"),
    ("credential_placement", 'header = "Authorization"\nformat = "Bearer {secret}"\n', "", "credential.crm-key", "[cred", "exactly one"),
    ("credential_placement", 'header = "Authorization"', 'header = "A"\nquery = "key"', "credential.crm-key.query", "query", "exactly one"),
    ("contradiction", 'header = "Authorization"', 'query = "key"', "credential.crm-key.format", "format", "take it out"),
    ("contradiction", "[tool.crm]", "[tool.crm]\ntotal_timeout_s = 1", "tool.crm.connect_timeout_s", "[tool.crm]", "connect_timeout_s = 1 or less"),
    ("contradiction", "[log]", "[limits]\nin_flight_max = 9\n[log]", "limits.in_flight_per_agent_max", "[limits]", "in_flight_per_agent_max = 9"),
    ("contradiction", "[tool.crm]", '[tool.crm]\nrequest_headers = ["x-k"]\ntoken_header = "X-K"', "tool.crm.request_headers", "request_h", "never forwarded"),
    ("contradiction", '"Authorization"', '"X-Key"\n[tool.b]\nurl="https://crm.example.com"\ncredential="crm-key"\nrequest_headers=["x-key"]\n[credential.z]', None, None, None),
    ("unknown_credential", 'credential = "crm-key"', 'credential = "crm"', "tool.crm.credential", 'credential = "crm"', "known: crm-key"),
    ("unknown_credential", 'credential = "crm-key"', f'credential = "{SECRET.lower()}"', "tool.crm.credential", 'credential = "sk', "env:NAME"),
    ("host_not_covered", '["crm.example.com"]', '["example.com"]', "tool.crm.url", 'url = "https', 'hosts = ["crm.example.com"]'),
    ("host_not_covered", '["crm.example.com"]', '["crm.example.com:8443"]', "tool.crm.url", 'url = "https', 'hosts = ["crm.example.com"]'),
    ("plain_http_credential", "https://crm.example.com/v1", "http://crm.example.com/v1", "tool.crm.url", 'url = "http://crm', "plain_http = true"),
    ("missing_file", "[tool.crm]", '[tool.crm]\ncontract = "tools/crm.yaml"', "tool.crm.contract", "contract", "write the file"),
    ("missing_file", "[tool.crm]", '[tool.crm]\nca_file = "ca.pem"', "tool.crm.ca_file", "ca_file", "correct the path"),
    ("missing_folder", 'name = "test"', 'name = "test"\npolicies = "rules"', "gateway.policies", "policies", "make the folder"),
    ("bad_path", 'name = "test"', 'name = "test"\npolicies = "a\\u0000b"', "gateway.policies", "policies", "write a path"),
    ("bad_include", "schema = 1", 'schema = 1\ninclude = ["../*.toml"]', "include", "include", 'include = ["tools/*.toml"]'),
    ("bad_include", "schema = 1", 'schema = 1\ninclude = ["/etc/*.toml"]', "include", "include", 'include = ["tools/*.toml"]'),
    ("include_matches_nothing", "schema = 1", 'schema = 1\ninclude = ["tools/*.toml"]', "include", "include", "correct the pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "old", "new", "key", "at", "remedy"), FAULTS, ids=[f"{f[0]}-{i}" for i, f in enumerate(FAULTS)])
def test_a_fault_is_shown_with_file_line_key_and_what_to_write(tmp_path, code, old, new, key, at, remedy):
    text = replaced(old, new)
    found = problems_of(write(tmp_path, text))
    problem = next((p for p in found if p.code == code and (key is None or p.key == key)), None)
    assert problem, [str(p) for p in found]
    assert problem.file == str(tmp_path / "gateway.toml")
    if at:
        assert problem.line == line_of(text, at)
    assert problem.remedy
    assert (remedy or "") in problem.remedy
    assert all(SECRET not in str(p) and SECRET.lower() not in str(p) for p in found)


OPERATION = "[tool.crm.operation.get]\nmethod = 'GET'\npath = '/a/{b}'\neffect = 'read'\n"


@pytest.mark.parametrize(
    ("code", "old", "new", "key"),
    [
        ("bad_name", "'GET'", "'get'", "tool.crm.operation.get.method"),
        ("bad_name", "'GET'", "'CONNECT'", "tool.crm.operation.get.method"),
        ("bad_name", "operation.get", "operation.'g t'", "tool.crm.operation.g t"),
        ("bad_path", "'/a/{b}'", "'a/{b}'", "tool.crm.operation.get.path"),
        ("bad_path", "'/a/{b}'", "'/a/../{b}'", "tool.crm.operation.get.path"),
        ("bad_path", "'/a/{b}'", "'/a/{b'", "tool.crm.operation.get.path"),
        ("bad_choice", "'read'", "'harmless'", "tool.crm.operation.get.effect"),
        ("missing_key", "effect = 'read'\n", "", "tool.crm.operation.get"),
        ("unknown_key", "effect", "efect", "tool.crm.operation.get.efect"),
        ("bad_schema", "effect", "parameters = {b = {const = 2026-01-01}}\neffect", "tool.crm.operation.get.parameters"),
        ("bad_schema", "effect", "parameters = {b = {maximum = inf}}\neffect", "tool.crm.operation.get.parameters"),
        ("bad_schema", "effect", f"parameters = {{b = {{maximum = {2**63}}}}}\neffect", "tool.crm.operation.get.parameters"),
        ("bad_schema", "effect", f"body = {{b = {'[' * 20}1{']' * 20}}}\neffect", "tool.crm.operation.get.body"),
        ("bad_choice", "effect", "facts = {b = 'paths'}\neffect", "tool.crm.operation.get.facts"),
    ],
)
def test_a_fault_of_an_inline_operation_is_shown(tmp_path, code, old, new, key):
    found = problems_of(write(tmp_path, GOOD + OPERATION.replace(old, new)))
    assert (code, key) in {(p.code, p.key) for p in found}
    assert all(p.line > line_of(GOOD, "[credential") and p.remedy for p in found)


def test_a_folder_without_settings_says_how_to_make_some(tmp_path):
    (problem,) = problems_of(tmp_path)
    assert (problem.code, problem.file) == ("no_deployment", str(tmp_path))
    assert "portreeve init" in problem.remedy


def test_a_path_that_is_none_is_a_problem():
    (problem,) = problems_of(Path("a\0b"))
    assert problem.code == "no_deployment"


def test_all_faults_are_shown_at_once_in_the_order_of_the_file(tmp_path):
    text = replaced('name = "test"', 'name = "t t"').replace("crm.example.com/v1", "crm.example.com/?a").replace("env:CRM_KEY", SECRET)
    found = problems_of(write(tmp_path, text))
    assert [p.code for p in found] == ["bad_name", "bad_url", "inline_secret"]
    assert [p.line for p in found] == sorted(p.line for p in found)


def test_a_broken_credential_is_not_called_unknown_as_well(tmp_path):
    assert [p.code for p in problems_of(write(tmp_path, replaced("env:CRM_KEY", SECRET)))] == ["inline_secret"]


def test_a_name_in_two_files_shows_both_places(tmp_path):
    write(tmp_path, "include = ['tools/*.toml']\n" + GOOD, tools_a="\n[tool.crm]\nurl = 'https://x.example'\n")
    (problem,) = problems_of(tmp_path)
    assert (problem.code, problem.file, problem.line, problem.key) == ("duplicate_name", str(tmp_path / "tools/a.toml"), 2, "tool.crm")
    assert f"{tmp_path / 'gateway.toml'}:{line_of(GOOD, '[tool.crm]') + 1}" in problem.message


@pytest.mark.parametrize(("text", "code"), [("[limits]\n", "table_not_here"), ("include = []\n", "table_not_here"), ("[x]\n", "unknown_key")])
def test_an_included_file_holds_tools_and_credentials_only(tmp_path, text, code):
    write(tmp_path, "include = ['tools/*.toml']\n" + GOOD, tools_a="\n" + text)
    (problem,) = problems_of(tmp_path)
    assert (problem.code, problem.file, problem.line) == (code, str(tmp_path / "tools/a.toml"), 2)


def test_a_fault_in_an_included_file_is_placed_there_and_the_rest_is_still_looked_at(tmp_path):
    write(tmp_path, "include = ['tools/*.toml']\n" + replaced("env:CRM_KEY", SECRET), tools_a="\n\nurl = \n", tools_b="a = 1\n")
    found = problems_of(tmp_path)
    assert [(p.code, Path(p.file).name, p.line) for p in found] == [
        ("inline_secret", "gateway.toml", line_of(GOOD, "secret") + 1),
        ("toml_syntax", "a.toml", 3),
        ("unknown_key", "b.toml", 1),
    ]


def test_a_file_that_is_not_text_is_a_problem_with_its_line(tmp_path):
    write(tmp_path)
    (tmp_path / "gateway.toml").write_bytes(b"schema = 1\nname = '\xff'\n")
    (problem,) = problems_of(tmp_path)
    assert (problem.code, problem.line) == ("not_utf8", 2)


def test_a_huge_file_is_not_read(tmp_path):
    write(tmp_path, "#" * (source.FILE_BYTES_MAX + 1))
    (problem,) = problems_of(tmp_path)
    assert problem.code == "file_too_large"


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "a = " + "{a=" * 5_000, "a = " + "9" * 5_000 + "\n", "a = 0x" + "f" * 9_000 + "\n"])
def test_hostile_toml_is_a_problem_not_a_crash(tmp_path, text):
    assert problems_of(write(tmp_path, text))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_problem(tmp_path):
    (write(tmp_path) / "gateway.toml").chmod(0)
    (problem,) = problems_of(tmp_path)
    assert problem.code == "unreadable_file"


def test_a_broken_link_in_an_included_pattern_is_not_a_file(tmp_path):
    write(tmp_path, "include = ['tools/*.toml']\n" + GOOD)
    (tmp_path / "tools/a.toml").symlink_to("nowhere")
    assert [p.code for p in problems_of(tmp_path)] == ["include_matches_nothing"]


def test_plain_http_is_allowed_to_loopback_and_where_it_is_asked_for(tmp_path):
    loopback = GOOD.replace("https://crm.example.com/v1", "http://127.0.0.1:9000").replace('["crm.example.com"]', '["127.0.0.1"]')
    assert load.load(write(tmp_path / "a", loopback)).tools["crm"].url == "http://127.0.0.1:9000"
    asked = replaced("https://crm.example.com/v1", "http://crm.example.com").replace("[tool.crm]", "[tool.crm]\nplain_http = true")
    assert load.load(write(tmp_path / "b", asked)).tools["crm"].plain_http


def test_every_code_that_the_loader_can_give_has_a_test():
    written = {code for module in (load, reader, source, kinds, agreement, suggest) for code in _codes(Path(module.__file__).read_text())}
    tests = Path(__file__).read_text() + (Path(__file__).parent / "test_agreement.py").read_text()
    assert {code for code in written if f'"{code}"' not in tests} == set()


def _codes(text: str) -> set[str]:
    return set(re.findall(r'(?:Fault|Problem)\(\s*"([a-z_0-9]+)"', text)) | set(re.findall(r'return "(bad_unit|unknown_key)"', text))


def test_settings_do_not_change_once_they_are_read(tmp_path):
    found = load.load(write(tmp_path))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.name = "other"


_PIECES = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        '"""',
        "\\",
        "\n",
        "=",
        ".",
        "#",
        "\0",
        "\x1b",
        "\u202e",
        "0x",
        "nan",
        "1e999",
        "[[",
        "tool",
        "'*'",
        "..",
        "true",
        "[tool.crm]\n",
        "2026-01-01",
        "💥",
        "9" * 30,
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_whatever_is_done_to_the_file_loading_gives_settings_or_problems(tmp_path, data):
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at] + data.draw(st.one_of(_PIECES, st.just(""), st.text(max_size=4))) + text[min(len(text), at + data.draw(st.integers(0, 30))) :]
        )
    write(tmp_path)
    (tmp_path / "gateway.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load.load(tmp_path)
    except Problems as found:
        assert all(p.code and p.message and p.remedy and p.file for p in found.problems)
