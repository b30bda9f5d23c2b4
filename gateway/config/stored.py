"""The settings of a deployment as the decision log keeps them: what was read, never the file, in whose comments anything may stand.

Secrets are named by reference in every setting, and a text that looks like one all the same is not kept.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.call import Blob
from gateway.canonical import Json, dumps
from gateway.config.kinds import looks_secret
from gateway.config.model import Settings

_PLACES = frozenset({"file", "files", "line", "digest", "folder"})
"""Where something stands in which file: of no use without the files, and different on every machine."""
HIDDEN = "(not kept)"


def settings_object(settings: Settings) -> Blob:
    """Every setting with the value that is in force. Paths are relative to the deployment's folder."""
    return Blob.of(dumps(_plain(settings, settings.folder)))


def _plain(value: object, folder: Path) -> Json:
    if dataclasses.is_dataclass(value):
        fields = [f.name for f in dataclasses.fields(value) if f.name not in _PLACES]
        return {name: _plain(getattr(value, name), folder) for name in fields}
    if isinstance(value, Path):
        return _text(os.path.relpath(value, folder))
    if isinstance(value, Mapping):
        return {_text(str(name)): _plain(inner, folder) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, folder) for inner in value]
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return HIDDEN if looks_secret(value) else value
