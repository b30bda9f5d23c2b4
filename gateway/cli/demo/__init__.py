"""The demo: real tool calls through a real gateway, played and explained in a few seconds."""
