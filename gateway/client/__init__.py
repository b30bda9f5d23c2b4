"""For agents written in Python: an httpx2 client that gets the gateway's tokens, keeps them fresh, and gives them to nobody else.

    from gateway.client import client

    with client("https://gateway.example.com") as http:
        tickets = http.get("/tools/tickets/tickets")

Nothing of the gateway's server is imported here.
"""

from gateway.client.auth import GatewayAuth, async_client, client
from gateway.client.key import AgentKey
from gateway.client.settings import Settings, settings

__all__ = ["AgentKey", "GatewayAuth", "Settings", "async_client", "client", "settings"]
