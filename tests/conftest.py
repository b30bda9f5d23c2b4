"""What the whole suite shares: property tests draw the same examples in every run, so that green means green.

`HYPOTHESIS_PROFILE=search` draws new ones: run it when a parser has changed.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.simulators.aws import Aws, aws

settings.register_profile("suite", derandomize=True, database=None, deadline=None)  # a busy machine fails no test
settings.register_profile("search", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """One small AWS for all tests that need one: it takes a second to start."""
    with aws(tmp_path_factory.mktemp("aws")) as found:
        yield found
