"""What the whole suite shares: property tests draw the same examples in every run, so that green means green.

`HYPOTHESIS_PROFILE=search` draws new ones: run it when a parser has changed.
"""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, database=None)
settings.register_profile("search", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
