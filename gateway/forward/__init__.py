"""Forward: takes a grant to its upstream, within deadlines, breakers and retries, and brings the answer back safe to hand down."""

from gateway.forward.upstreams import Upstreams

__all__ = ["Upstreams"]
