"""Decides by Cedar policy whether an agent may make a call with these arguments."""

from gateway.authorize.bundle import Bundle
from gateway.authorize.decide import decide
from gateway.authorize.load import load_bundle
from gateway.authorize.replay import ReplayError, recompute, recompute_partly

__all__ = ["Bundle", "ReplayError", "decide", "load_bundle", "recompute", "recompute_partly"]
