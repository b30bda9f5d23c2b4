"""Tokens of a GitHub App's installation: for the repository of the call, for no more than it needs, and ended when they must be."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.config.sources import GithubAppSettings
from gateway.fetch import Fetcher
from gateway.inject.assertion import ClientKey
from gateway.inject.github_app import GithubAppSource
from gateway.inject.kept import Kept
from gateway.inject.source import Fetched, Unreachable, Unreadable
from tests.inject.world import need, write_key
from tests.simulators.github import APP, INSTALLATION, Github
from tests.simulators.upstreams import upstream


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    file = tmp_path_factory.mktemp("app") / "app.pem"
    return file, write_key(file, "RS256")


def source_at(url: str, key, **more) -> GithubAppSource:
    settings = GithubAppSettings(APP, INSTALLATION, key[0], **{"repository": "{repo}", "permissions": {"issues": "write"}, "api": url, **more})
    return GithubAppSource(settings, ClientKey(key[0]), Fetcher())


def about(repo: object, effect: str = "write", agent: str = "a"):
    return replace(need(agent, arguments={"repo": repo}), effect=effect)


async def ask(github: Github, key, wanted, **more) -> Fetched:
    async with upstream(github) as up:
        return await source_at(up.url, key, **more).fetch(wanted)


async def test_a_token_is_for_the_repository_of_the_call_and_a_read_may_only_read(key):
    github = Github(key[1])
    fetched = await ask(github, key, about("site"))
    await ask(github, key, about("docs", "read"))
    assert fetched.secret.reveal() == f"ghs_{APP}_CANARY-1" and 3500 < fetched.life_s <= 3600
    assert github.asked == [
        {"repositories": ["site"], "permissions": {"issues": "write"}},
        {"repositories": ["docs"], "permissions": {"issues": "read"}},
    ]


async def test_a_repository_may_be_fixed(key):
    github = Github(key[1])
    await ask(github, key, about("docs"), repository="site")
    assert github.asked[0]["repositories"] == ["site"]


@pytest.mark.parametrize("repo", ["*", "site,docs", 'site"', "a/b", "site?", "..", ".", "", "site\n", "x" * 101, "sité", ["site"], None, 7, {"a": 1}])
async def test_an_argument_that_is_no_one_name_narrows_nothing_and_fetches_nothing(key, repo):
    github = Github(key[1])
    async with upstream(github) as up:
        source = source_at(up.url, key)
        with pytest.raises(Unreadable, match="does not name a repository") as caught:
            source.scope(about(repo))
        with pytest.raises(Unreadable):
            await source.fetch(about(repo))
    assert github.asked == [] and not isinstance(caught.value, Unreachable)


async def test_what_is_narrowed_to_one_repository_is_never_used_for_another(key):
    github = Github(key[1])
    async with upstream(github) as up:
        source = source_at(up.url, key)
        kept = Kept("gh", source)
        found = [
            (await kept.fetch(wanted, source.scope(wanted))).secret.reveal()
            for wanted in (about("site"), about("docs"), about("site", "read"), about("site"))
        ]
        assert len(set(found)) == 3 and found[0] == found[3]
        await kept.close()
    assert github.tokens == {}


async def test_a_token_ends_when_its_agent_is_stopped(key):
    github = Github(key[1])
    async with upstream(github) as up:
        source = source_at(up.url, key)
        kept = Kept("gh", source)
        for agent in "ab":
            await kept.fetch(about("site", agent=agent), source.scope(about("site")))
        kept.revoke("agent", "a")
        async with asyncio.timeout(10):
            while len(github.tokens) > 1:
                await asyncio.sleep(0)
        assert list(github.tokens) == [f"ghs_{APP}_CANARY-2"]
        await kept.close()


@pytest.mark.parametrize(
    "more",
    [
        {"repositories": [{"name": "site"}, {"name": "docs"}]},
        {"repositories": []},
        {"repositories": None},
        {"repositories": ["site"]},
        {"permissions": {"issues": "admin"}},
        {"permissions": {"issues": "write", "contents": "read"}},
        {"permissions": {"issues": "odd"}},
        {"permissions": None},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "CANARY"},
        {"token": None},
        {"token": "CANARY\r\nx: y"},
    ],
)
async def test_a_token_for_more_than_was_asked_for_or_of_another_shape_is_refused(key, more):
    with pytest.raises(Unreadable) as caught:
        await ask(Github(key[1], more=more), key, about("site"))
    assert "CANARY" not in caught.value.reason


async def test_a_repository_that_the_installation_has_not_is_the_calls_trouble_alone(key):
    with pytest.raises(Unreadable) as caught:
        await ask(Github(key[1]), key, about("elsewhere"))
    assert not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_other_refusals_are_trouble_of_the_service(key, status):
    with pytest.raises(Unreachable, match=f"status {status}") as caught:
        await ask(Github(key[1], status=status), key, about("site"))
    assert "CANARY" not in caught.value.reason


async def test_a_token_that_could_not_be_ended_is_told_and_one_that_is_over_is_well(key):
    github = Github(key[1])
    async with upstream(github) as up:
        source = source_at(up.url, key)
        fetched = await source.fetch(about("site"))
        github.ends = 503
        with pytest.raises(Unreachable, match="503"):
            await source.give_back(fetched)
        github.ends = 204
        for _ in range(2):
            await source.give_back(fetched)
    assert github.tokens == {}
