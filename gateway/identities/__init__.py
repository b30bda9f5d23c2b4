"""Who is known: agents, issuers and denials of an identities folder, as one frozen snapshot."""

from gateway.identities.issuer import Issuer
from gateway.identities.load import load_identities
from gateway.identities.model import Agent, Attribute, Delegation, Identities, Revoked

__all__ = ["Agent", "Attribute", "Delegation", "Identities", "Issuer", "Revoked", "load_identities"]
