"""The log in the forms of other tools. What is exported proves nothing by itself, but for `jsonl` and `tiles`, which hold the stored bytes."""

from gateway.record.export.forms import FORMS, Form
from gateway.record.export.selection import Selection, selected
from gateway.record.export.tiles import write_tiles

__all__ = ["FORMS", "Form", "Selection", "selected", "write_tiles"]
