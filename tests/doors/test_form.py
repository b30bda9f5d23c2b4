"""A form has one reading, or none."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.declined import Declined
from gateway.doors.form import read_form


def test_parameters_are_read_by_name_and_one_without_value_is_absent():
    assert read_form(b"grant_type=client_credentials&scope=a+b%3Ac&client_id=") == {"grant_type": "client_credentials", "scope": "a b:c"}
    assert read_form(b"") == {}


FORMS = {
    "a name twice": b"scope=a&scope=b",
    "a name twice, once without value": b"scope=a&scope=",
    "a name twice, once escaped": b"scope=a&s%63ope=b",
    "a name alone": b"scope",
    "an empty part": b"scope=a&",
    "two ampersands": b"a=1&&b=2",
    "a semicolon for an ampersand": b"scope=a;scope=b=c",
    "half an escape": b"scope=%4",
    "an escape that is none": b"scope=%zz",
    "a bare percent": b"scope=100%",
    "a space": b"scope=a b",
    "a newline": b"scope=a\nb",
    "an escaped newline": b"scope=a%0Ab",
    "an escaped NUL": b"scope=%00",
    "an escaped letter beyond ASCII": b"scope=%C3%A9",
    "a byte beyond ASCII": b"scope=\xe9",
    "a name with a bracket": b"scope[]=a",
    "a name in capitals": b"SCOPE=a",
    "an empty name": b"=a",
    "too many": b"&".join(b"a" * n + b"=1" for n in range(1, 34)),
}


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS.keys())
def test_a_form_that_two_could_read_differently_is_refused(raw: bytes):
    with pytest.raises(Declined) as caught:
        read_form(raw)
    assert caught.value.code == "invalid_request"


@settings(max_examples=200, deadline=None, database=None)
@given(
    form=st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1), max_size=8
    )
)
def test_what_a_library_encodes_is_read_back(form: dict[str, str]):
    assert read_form(urlencode(form).encode()) == form


@settings(max_examples=300, deadline=None, database=None)
@given(raw=st.binary(max_size=60) | st.text(alphabet="ab=&%0+;", max_size=30).map(str.encode))
def test_any_bytes_are_refused_or_read_as_a_library_reads_them(raw: bytes):
    try:
        found = read_form(raw)
    except Declined:
        return
    assert found == {name: value for name, value in parse_qsl(raw.decode(), keep_blank_values=True) if value}
