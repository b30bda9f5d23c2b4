"""A contract changes under the policies that rest on it: what no longer fits is refused before it goes live, with the rule and the contract named."""

import pytest

from tests.journeys.place import records, running, write_place
from tests.simulators.upstreams import echo, upstream

BODY = (
    'body = { type = "object", required = ["text"], properties = { text = { type = "string", maxLength = 200000 }, stars = { type = "integer" } } }'
)
CHANGES = {
    "removed": (', stars = { type = "integer" }', "", "context.input.stars does not exist"),
    "renamed": ("stars = ", "rating = ", "context.input.stars does not exist"),
    "retyped to a text": ('stars = { type = "integer" }', 'stars = { type = "string" }', ""),
    "retyped to a decimal": ('stars = { type = "integer" }', 'stars = { type = "number" }', ""),
    "retyped to what has no type": ('stars = { type = "integer" }', "stars = {}", "context.input.stars does not exist"),
    "moved into an object": (
        'stars = { type = "integer" }',
        'stars = { type = "object", additionalProperties = false, properties = { n = { type = "integer" } } }',
        "",
    ),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
async def test_an_argument_that_a_policy_rests_on_cannot_be_changed_under_it(tmp_path, change):
    before, after, says = CHANGES[change]
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            place.gateway._watcher.cancel()
            settings = tmp_path / "gateway.toml"
            assert BODY in settings.read_text()
            settings.write_text(settings.read_text().replace(BODY, BODY.replace(before, after)))
            assert not await place.gateway.reload()
            (fault,) = place.gateway.failing
            refused = await place.client.post("/tools/notes/notes", json={"text": "x", "stars": 6})
    assert "rules.cedar:8:" in fault
    assert "gateway.toml declares the arguments of notes/write_note" in fault
    assert says in fault
    assert refused.status_code == 403  # by the policy and the contract that stay in force
    assert len(records(tmp_path, "policy.load")) == 1


async def test_an_argument_that_becomes_optional_must_be_asked_for_first(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        rules = tmp_path / "policies" / "rules.cedar"
        rules.write_text(
            rules.read_text()
            + '@id("no-spam")\nforbid (principal, action == Action::"notes/write_note", resource)\nwhen { context.input.text like "*spam*" };\n'
        )
        async with running(tmp_path) as place:
            place.gateway._watcher.cancel()
            settings = tmp_path / "gateway.toml"
            settings.write_text(settings.read_text().replace('required = ["text"]', "required = []"))
            assert not await place.gateway.reload()
            (fault,) = place.gateway.failing
    assert "rules.cedar:11:" in fault
    assert "gateway.toml declares" in fault


async def test_a_fact_that_a_policy_rests_on_cannot_be_taken_away(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        settings, rules = tmp_path / "gateway.toml", tmp_path / "policies" / "rules.cedar"
        with_fact = settings.read_text().replace(BODY, BODY + '\nfacts = { text = "size" }')
        settings.write_text(with_fact)
        rules.write_text(
            rules.read_text()
            + '@id("short")\nforbid (principal, action == Action::"notes/write_note", resource)\nwhen { context.facts has text && context.facts.text.size > 3 };\n'
        )
        async with running(tmp_path) as place:
            place.gateway._watcher.cancel()
            assert (await place.client.post("/tools/notes/notes", json={"text": "long"})).status_code == 403
            settings.write_text(with_fact.replace('\nfacts = { text = "size" }', ""))
            assert not await place.gateway.reload()
            assert (await place.client.post("/tools/notes/notes", json={"text": "long"})).status_code == 403
            assert any("rules.cedar:11:" in fault and "gateway.toml declares" in fault for fault in place.gateway.failing)


async def test_an_argument_that_no_policy_rests_on_may_change(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            settings = tmp_path / "gateway.toml"
            settings.write_text(
                settings.read_text().replace('parameters = { id = { type = "string" } }', 'parameters = { id = { type = "integer" } }')
            )
            assert await place.gateway.reload()
