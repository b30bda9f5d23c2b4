"""Reads the small XML answers of services, strictly: no document type, so that no entity is there to expand or fetch, and nothing said twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Never
from xml.parsers import expat

DEPTH_MAX = 16
ELEMENTS_MAX = 200


class XmlError(ValueError):
    """No such answer. The text quotes nothing of it."""


def read_xml(body: bytes) -> Mapping[str, str]:
    """The text of each innermost element, by the names on the way to it joined with `/`. Namespaces and attributes are left out. Raises XmlError."""
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.ProcessingInstructionHandler = _refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise XmlError("it is not plain XML, or says something twice") from None  # the cause may quote it
    return reader.found


class _Reader:
    """What has been read so far. `_texts` holds a text for each element that is open, None for one that has elements inside."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._texts: list[str | None] = []
        self._elements = 0

    def begin(self, name: str, _attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if len(self._path) >= DEPTH_MAX or self._elements > ELEMENTS_MAX or "/" in name:
            raise XmlError
        if self._texts:
            if (self._texts[-1] or "").strip():
                raise XmlError  # text beside elements
            self._texts[-1] = None
        self._path.append(name)
        self._texts.append("")

    def text(self, data: str) -> None:
        if self._texts[-1] is not None:
            self._texts[-1] += data
        elif data.strip():
            raise XmlError

    def end(self, _name: str) -> None:
        path, text = "/".join(self._path), self._texts.pop()
        self._path.pop()
        if text is not None:
            if path in self.found:
                raise XmlError
            self.found[path] = text


def _refuse(*_: Any) -> Never:
    raise XmlError
