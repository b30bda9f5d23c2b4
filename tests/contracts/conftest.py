"""A certificate authority for the length of a test."""

from __future__ import annotations

import functools

import pytest

from tests.simulators import authority


@pytest.fixture
def make_certificate(tmp_path):
    """make(name) -> (a server's TLS context for that name or address, the file of the authority that vouches for it)."""
    return functools.partial(authority.make_certificate, tmp_path)
