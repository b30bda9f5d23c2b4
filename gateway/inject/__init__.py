"""Inject: adds the upstream credential that the agent never sees, after a permit and for nothing else."""

from gateway.inject.credentials import Credentials
from gateway.inject.opening import Services

__all__ = ["Credentials", "Services"]
