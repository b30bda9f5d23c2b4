"""What the whole suite shares: property tests draw the same examples in every run, so that green means green.

`HYPOTHESIS_PROFILE=search` draws new ones: run it when a parser has changed.
"""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, database=None, deadline=None)  # a busy machine fails no test
settings.register_profile("search", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
