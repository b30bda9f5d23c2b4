"""The log alone says what a decision was made by."""

from gateway.canonical import loads
from gateway.config.load import load
from gateway.record import LogReader
from tests.journeys.place import records, running, verified, write_place


async def test_settings_and_contracts_can_be_read_from_the_log(tmp_path):
    write_place(tmp_path, 9)
    async with running(tmp_path):
        pass
    (loaded,) = records(tmp_path, "policy.load")
    reader = LogReader(load(tmp_path).log.folder)
    settings = loads(reader.object(loaded["settings"]))
    assert settings["credentials"]["notes-key"]["secret"] == "file:notes.key"
    index = loads(reader.object(loaded["contracts"]))
    (contract,) = records(tmp_path, "contract.load")
    assert index["notes"][0] == contract["contract"]
    assert "/notes/{id}" in loads(reader.object(contract["contract"]))["paths"]
    assert verified(tmp_path).ok


async def test_a_reload_tells_only_the_contracts_that_changed(tmp_path):
    write_place(tmp_path, 9)
    async with running(tmp_path) as place:
        file = tmp_path / "policies" / "rules.cedar"
        file.write_text(file.read_text() + '@id("more") forbid (principal, action == Action::"notes/read_note", resource);')
        assert await place.gateway.reload()
        assert [len(records(tmp_path, kind)) for kind in ("policy.load", "contract.load")] == [2, 1]
        settings = tmp_path / "gateway.toml"
        settings.write_text(settings.read_text().replace("maxLength = 200000", "maxLength = 2000"))
        assert await place.gateway.reload()
    first, second = records(tmp_path, "contract.load")
    assert first["tool"] == second["tool"] == "notes"
    assert first["contract"] != second["contract"]


async def test_a_missing_contract_of_the_log_is_found(tmp_path):
    write_place(tmp_path, 9)
    async with running(tmp_path):
        pass
    (contract,) = records(tmp_path, "contract.load")
    name = contract["contract"].removeprefix("sha256:")
    (tmp_path / "log" / "objects" / name[:2] / f"{name}.zst").unlink()
    assert verified(tmp_path).exit_code == 3
