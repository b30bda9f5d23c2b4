"""Step one: who acts, proven by a token."""

from gateway.identify.keys import SigningKeys
from gateway.identify.mint import Wish, mint
from gateway.identify.verifier import Verifier

__all__ = ["SigningKeys", "Verifier", "Wish", "mint"]
