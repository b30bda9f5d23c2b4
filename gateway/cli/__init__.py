"""The portreeve command."""
