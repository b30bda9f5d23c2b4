"""Settings that are right by themselves but not together, and what is shown although it works."""

from __future__ import annotations

import pytest

from gateway.config.agreement import covers, notices
from gateway.config.load import load
from gateway.errors import Problems
from tests.config.deployments import GOOD, replaced, write


def test_a_name_without_port_covers_every_port_of_that_host_only():
    assert covers(("api.example.com",), "api.example.com", 443)
    assert covers(("api.example.com",), "api.example.com", 8443)
    assert not covers(("api.example.com",), "api.example.com.evil.example", 443)
    assert not covers(("api.example.com",), "example.com", 443)


def test_a_name_with_port_covers_that_port_only():
    assert covers(("[::1]:9000",), "::1", 9000)
    assert not covers(("[::1]:9000",), "::1", 9001)
    assert not covers((), "::1", 9001)


def test_a_path_that_no_socket_can_have_is_refused(tmp_path):
    with pytest.raises(Problems) as found:
        load(write(tmp_path, replaced("[log]", f'[log]\nsocket = "/run/{"s" * 96}"')))
    assert [(p.code, p.key) for p in found.value.problems] == [("path_too_long", "log.socket")]
    assert load(write(tmp_path, replaced("[log]", f'[log]\nsocket = "/run/{"s" * 95}"'))).log.socket is not None


def test_a_certificate_is_for_a_tool_that_is_called_over_tls(tmp_path):
    mtls = '[credential.crm-key.mtls]\ncertificate = "file:a.crt"\nkey = "file:a.key"\n'
    assert load(write(tmp_path, GOOD + mtls)).credentials["crm-key"].mtls
    plain = GOOD.replace("https://crm.example.com/v1", "http://127.0.0.1:9000").replace('["crm.example.com"]', '["127.0.0.1"]')
    with pytest.raises(Problems) as found:
        load(write(tmp_path, plain + mtls))
    assert [(p.code, p.key) for p in found.value.problems] == [("certificate_without_tls", "tool.crm.url")]


def test_a_sound_deployment_gives_no_notice(tmp_path):
    assert notices(load(write(tmp_path))) == []


def test_an_admin_listener_on_the_network_is_noticed(tmp_path):
    found = notices(load(write(tmp_path, GOOD + '[listen.admin]\naddress = "0.0.0.0:9090"\n')))
    assert [(key, fault.code) for key, fault in found] == [("listen.admin.address", "admin_open")]


def test_tokens_over_plain_http_are_noticed(tmp_path):
    found = notices(load(write(tmp_path, replaced("http://127.0.0.1:8080", "http://gateway.example.com"))))
    assert [(key, fault.code) for key, fault in found] == [("gateway.url", "plain_http_gateway")]


@pytest.mark.parametrize(
    ("host", "noticed"),
    [("crm", True), ("crm.tools.svc.cluster.local", True), ("crm.corp.internal", True), ("api.crm.com", False), ("10.1.2.3", False)],
)
def test_a_tool_by_a_name_of_a_private_network_needs_to_say_in_which_it_is(tmp_path, host, noticed):
    text = GOOD.replace("crm.example.com", host)
    assert [fault.code for _, fault in notices(load(write(tmp_path / "a", text)))] == ["private_tool"] * noticed
    asked = text.replace("[tool.crm]", '[tool.crm]\nallow_private = ["10.0.0.0/8"]')
    assert notices(load(write(tmp_path / "b", asked))) == []


def test_keys_that_aws_could_not_fetch_are_noticed(tmp_path):
    role = 'role_arn = "arn:aws:iam::123456789012:role/r"\nregion = "eu-central-1"\nservice = "s3"\n'
    allows = '{ Version = "2012-10-17", Statement = { Effect = "Allow", Action = "s3:GetObject", Resource = "*" } }'
    text = GOOD + f'[credential.aws]\nhosts = ["s3.eu-central-1.amazonaws.com"]\n[credential.aws.sts]\n{role}policy = {allows}\n'
    assert [(key, fault.code) for key, fault in notices(load(write(tmp_path, text)))] == [("gateway.url", "keys_unreachable")]
    assert notices(load(write(tmp_path, text.replace("http://127.0.0.1:8080", "https://gateway.example.com")))) == []


def test_calls_over_plain_http_are_noticed(tmp_path):
    found = notices(load(write(tmp_path, GOOD + '[tool.b]\nurl = "http://b.example.com"\n')))
    assert [(key, fault.code) for key, fault in found] == [("tool.b.url", "plain_http_tool")]
