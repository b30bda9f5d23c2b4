"""What each kind of text may be."""

from __future__ import annotations

import pytest

from gateway.config import kinds
from gateway.config.kinds import Fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("Localhost:65535", ("localhost", 65535)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text, expected):
    assert kinds.address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "http://127.0.0.1:80", "a b:80", "a:80\n", "a:80 "]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Fault) as caught:
        kinds.address(text)
    assert caught.value.code == "bad_address"


@pytest.mark.parametrize(("text", "expected"), [("10.1.2.0/24", "10.1.2.0/24"), ("10.1.2.3", "10.1.2.3/32"), ("FD00::/8", "fd00::/8")])
def test_a_network_is_a_block_of_addresses(text, expected):
    assert kinds.network(text) == expected


@pytest.mark.parametrize("text", ["", "10.1.2.3/24", "10.0.0.0/33", "0.0.0.0/0", "::/0", "example.com", "10.0.0.0/8 ", "*", "private"])
def test_what_names_no_network_or_every_one_is_refused(text):
    with pytest.raises(Fault) as caught:
        kinds.network(text)
    assert caught.value.code == "bad_network"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://API.Example.com/", "https://api.example.com"),
        ("http://10.1.2.3:8000/v1/", "http://10.1.2.3:8000/v1"),
        ("https://[2001:DB8::1]:8443/a.b/c~d", "https://[2001:db8::1]:8443/a.b/c~d"),
        ("http://my_service:80/.well-known", "http://my_service:80/.well-known"),
    ],
)
def test_a_base_url_is_tidied(text, expected):
    assert kinds.base_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example.com", "//api.example.com", "file:///etc/passwd", "https:///x", "https://", "https:/api.example.com", "https://a b.example",
        "https://a.example:0", "https://a.example:99999", "https://a.example:", "https://a.example:x", "https://a.example/%2e%2e/x", "https://a.example/a//b",
        "https://a.example/a/../b", "https://a.example/.", "https://a.example\\.evil.example", "https://a.example/\n", "https://é.example",
        "https://0x7f000001/", "https://127.1/", "https://0177.0.0.1/", "https://[::1", "https://[fe80::1%25eth0]/", "https://*.example.com", "https://a..b/",
    ],
)  # fmt: skip
def test_a_base_url_that_two_readers_might_read_differently_is_refused(text):
    with pytest.raises(Fault) as caught:
        kinds.base_url(text)
    assert caught.value.code == "bad_url"
    assert text == "" or text not in caught.value.message


@pytest.mark.parametrize(
    "text", ["http://169.254.169.254", "http://[fe80::1]", "http://0.0.0.0", "http://224.0.0.1", "http://[::ffff:169.254.169.254]"]
)
def test_a_tool_is_never_a_metadata_service_or_an_address_that_is_nobody_s(text):
    with pytest.raises(Fault, match="bad_url"):
        kinds.tool_url(text)


@pytest.mark.parametrize(
    "text", ["env:CRM_KEY", "file:/run/secrets/crm", "file:var/secrets/crm-api.key", "file:/run/secrets/a_rather_long_name_of_a_mounted_secret.txt"]
)
def test_a_secret_is_a_reference(text):
    assert kinds.secret_reference(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "hunter2", "env:", "file:", "env:A B", "file: x", "env:1A", "ENV:A", "sk-live-12345678", "env:ghp_16C7e42F292c6912E7710c838347Ae178B4a", "file:ghp_16C7e42F292c6912E77", "https://x/y", "file:a\nb"],
)  # fmt: skip
def test_anything_else_may_be_the_secret_itself_and_is_not_shown(text):
    with pytest.raises(Fault) as caught:
        kinds.secret_reference(text)
    assert caught.value.code == "inline_secret"
    assert text in {"", "env:", "file:"} or text not in caught.value.message + caught.value.remedy


@pytest.mark.parametrize(
    "text",
    ["sk-proj-1234567890", "Bearer abcdefgh1", "eyJhbGciOiJFUzI1NiJ9", "AKIAIOSFODNN7EXAMPLE", "-----BEGIN PRIVATE KEY-----", "xoxb-1234-abcdefgh", "0123456789abcdef0123456789abcdef"],
)  # fmt: skip
def test_what_looks_like_a_key_is_never_quoted(text):
    assert kinds.looks_secret(text)
    assert text not in kinds.quote(text)


@pytest.mark.parametrize("text", ["tickets", "support-bot", "api.example.com", "tools/tickets.openapi.yaml", "npm_token", "", "Bearer {secret}"])
def test_plain_words_are_quoted(text):
    assert kinds.quote(text) == f'"{text}"'


def test_control_characters_are_never_quoted():
    assert "\x1b" not in kinds.quote("\x1b[2J")
    assert "\u202e" not in kinds.quote("a\u202eb")


@pytest.mark.parametrize("check", [kinds.token_header, kinds.request_header, kinds.response_header, kinds.credential_header])
@pytest.mark.parametrize("header", ["Connection", "transfer-encoding", "Host", "content-length", "", "a b", "a:b", "a\r\nb"])
def test_no_setting_can_name_a_header_that_frames_the_message(check, header):
    with pytest.raises(Fault, match="bad_header"):
        check(header)


def test_the_agents_token_is_never_let_through():
    with pytest.raises(Fault, match="bad_header"):
        kinds.request_header("Authorization")


@pytest.mark.parametrize("text", ["user:password", "a\nb", "é"])
def test_a_basic_user_holds_no_password(text):
    with pytest.raises(Fault) as caught:
        kinds.basic_user(text)
    assert text not in caught.value.message


@pytest.mark.parametrize("text", ["a b", "a#1", "a;b", "a+b", "", "é"])
def test_a_log_s_name_holds_nothing_that_decision_numbers_use(text):
    with pytest.raises(Fault, match="bad_name"):
        kinds.log_origin(text)
