import shutil
from pathlib import Path

from gateway.canonical import loads
from gateway.config.load import load
from gateway.config.stored import HIDDEN, settings_object

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_is_kept_and_nothing_of_the_file(tmp_path):
    for name in ("policies", "identities", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    text = (ROOT / "gateway.toml").read_text()
    (tmp_path / "gateway.toml").write_text(text + "\n# password: hunter2hunter2\n")
    found = settings_object(load(tmp_path))
    assert b"hunter2" not in found.data
    kept = loads(found.data)
    assert (kept["policies"], kept["log"]["checkpoint_records"]) == ("policies", 256)
    assert kept["tools"].keys() == load(tmp_path).tools.keys()
    (tmp_path / "gateway.toml").write_text("# moved down\n" + text)
    assert settings_object(load(tmp_path)) == found


def test_a_text_that_looks_like_a_secret_is_not_kept(tmp_path):
    for name in ("policies", "identities"):
        (tmp_path / name).mkdir()
    (tmp_path / "gateway.toml").write_text(
        'schema = 1\n[gateway]\nname = "x"\nurl = "http://x.test"\n[log]\nfolder = "log"\norigin = "x.test/log"\n[tool.a]\nurl = "http://a.test"\n'
        '[tool.a.operation.o]\nmethod = "GET"\npath = "/o"\neffect = "read"\nparameters = { key = { type = "string", const = "sk-live-0123456789abcdef" } }\n'
    )
    found = settings_object(load(tmp_path))
    assert b"0123456789abcdef" not in found.data
    assert loads(found.data)["tools"]["a"]["operations"][0]["parameters"]["key"]["const"] == HIDDEN
