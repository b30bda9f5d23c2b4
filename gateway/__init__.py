"""Portreeve: the gate that every tool call of an AI agent goes through."""

__version__ = "0.1.0"
