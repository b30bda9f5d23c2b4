"""Commands that are imported when they are named: most of a command's time goes into imports, and nobody needs all of them.

Help and shells list what stands in a table, so that neither waits for the whole program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group_from_info
from typer.models import TyperInfo

if TYPE_CHECKING:
    from typer._click.core import Command, Context


class Later(TyperCommand):
    """Stands for a command or a group of commands until it is named. `at` is where that is (`module:attribute`), `text` the first sentence of its help,
    `kind` the class of a command.
    """

    def __init__(self, name: str, at: str, text: str, settings: Mapping[str, Any] | None = None, *, kind: type[TyperCommand] = TyperCommand) -> None:
        super().__init__(name, help=text)
        self._kind = kind
        self._name = name
        self._at = at
        self._settings = settings

    def load(self) -> Command:
        """The command itself."""
        module, _, attribute = self._at.partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(self._name, cls=self._kind, context_settings=dict(self._settings) if self._settings else None)(found)
            return get_command(alone)
        return get_group_from_info(TyperInfo(found, name=self._name), pretty_exceptions_short=True, rich_markup_mode=None, suggest_commands=True)

    def make_context(self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any) -> Context:
        return self.load().make_context(info_name, args, parent, **extra)


def those(later: Sequence[Later]) -> type[TyperGroup]:
    """A group that has these commands, before those that are registered with it."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = {each.name or "": each for each in later} | dict(self.commands)

    return Group


def group(later: Sequence[Later], *, name: str | None = None, help: str) -> typer.Typer:  # noqa: A002 - typer's name
    """A group of these commands, to which others may be added."""
    app = typer.Typer(name=name, help=help, cls=those(later), no_args_is_help=True, rich_markup_mode=None)
    app.callback()(_nothing)
    return app


def _nothing() -> None:
    pass
