"""Step one: who acts, proven by a token."""

from gateway.identify.identifier import Identifier
from gateway.identify.keys import SigningKeys
from gateway.identify.mint import Wish, mint
from gateway.identify.verifier import Verifier

__all__ = ["Identifier", "SigningKeys", "Verifier", "Wish", "mint"]
