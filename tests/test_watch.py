"""Changes on disk are told, whoever makes them and however."""

import asyncio
from dataclasses import replace

import pytest

from gateway.config.load import load
from gateway.watch import changes, folders_of, print_of
from tests.journeys.place import write_place


@pytest.fixture
def settings(tmp_path):
    write_place(tmp_path, 1)
    return load(tmp_path)


async def told(settings, change, seen=None):
    """Whether a change is told; it is made once watching has begun, or before when `seen` is given."""
    found = changes(lambda: settings, seen if seen is not None else print_of(folders_of(settings)), lambda _: None)
    waiting = asyncio.ensure_future(anext(found))
    await asyncio.sleep(0)
    change()
    try:
        async with asyncio.timeout(10):
            await waiting
    finally:
        await found.aclose()
    return True


async def test_a_changed_file_is_told(settings):
    assert await told(settings, lambda: (settings.policies / "rules.cedar").write_text("// changed"))


async def test_a_new_file_and_a_removed_one_are_told(settings):
    assert await told(settings, lambda: (settings.policies / "new.cedar").write_text(""))
    assert await told(settings, (settings.policies / "new.cedar").unlink)


async def test_a_change_between_loading_and_watching_is_told(settings):
    seen = print_of(folders_of(settings))
    (settings.identities / "agents" / "writer.toml").write_text("schema = 1\n")
    assert await told(settings, lambda: None, seen)


def test_the_logs_folder_is_not_watched(settings):
    settings.log.folder.mkdir()
    assert settings.log.folder.resolve() not in folders_of(settings)
    assert settings.policies.resolve() in folders_of(settings)


def test_a_file_that_vanishes_while_we_look_is_no_error(settings, tmp_path):
    assert print_of([tmp_path / "nowhere", settings.policies]) == print_of([settings.policies])


async def test_a_candidate_folder_that_is_made_later_is_told(settings, tmp_path):
    settings = replace(settings, candidate=tmp_path / "next")

    def make():
        settings.candidate.mkdir()
        (settings.candidate / "rules.cedar").write_text("")

    assert await told(settings, make)
    assert await told(settings, lambda: (settings.candidate / "rules.cedar").write_text("// changed"))
