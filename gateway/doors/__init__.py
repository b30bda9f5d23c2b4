"""Edges: bytes in, a ToolCall; a Reply or a refusal, bytes out."""
