"""`portreeve init` writes a deployment that works, and harms nothing that is there."""

from __future__ import annotations

import stat

import pytest

from gateway.cli import init
from gateway.config.load import load
from gateway.errors import Problems


def test_the_sample_becomes_a_deployment_that_loads(tmp_path):
    init.write_sample(tmp_path / "a/new")
    found = load(tmp_path / "a/new")
    assert sorted(found.tools) == ["dead", "flaky", "tickets"]
    assert (tmp_path / "a/new/.gitignore").read_text().splitlines()[-1] == "/var/"


def test_each_secret_that_the_sample_refers_to_is_made_for_its_owner_alone(tmp_path):
    (made,) = init.write_sample(tmp_path)
    assert made == tmp_path / "var/secrets/tickets.key"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert len(made.read_text()) > 30


def test_two_deployments_have_two_keys(tmp_path):
    (one,), (two,) = init.write_sample(tmp_path / "a"), init.write_sample(tmp_path / "b")
    assert one.read_text() != two.read_text()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Problems) as caught:
        init.write_sample(tmp_path)
    assert [p.code for p in caught.value.problems] == ["folder_not_empty"]
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_force_keeps_other_files_and_keys(tmp_path):
    (key,) = init.write_sample(tmp_path)
    first = key.read_text()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "gateway.toml").write_text("broken")
    assert init.write_sample(tmp_path, force=True) == []
    assert (key.read_text(), (tmp_path / "notes.txt").read_text()) == (first, "mine")
    assert load(tmp_path).name == "sample"


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(Problems) as caught:
        init.write_sample(tmp_path / "f")
    assert [p.code for p in caught.value.problems] == ["not_a_folder"]


def test_the_next_steps_are_printed(tmp_path, capsys):
    init.init(tmp_path / "d")
    shown = capsys.readouterr().out
    assert "portreeve check" in shown
    assert "portreeve serve" in shown
    assert "var/secrets/tickets.key" in shown


def test_no_two_tools_of_the_sample_share_a_line_with_an_address():
    """The demo rewrites addresses by text: each must stand on a line of its own."""
    text = (init.sample_folder() / "gateway.toml").read_text()
    urls = [line for line in text.splitlines() if line.startswith("url = ")]
    assert urls[1:] == ['url = "http://127.0.0.1:9801"', 'url = "http://127.0.0.1:9802"', 'url = "http://127.0.0.1:9803"']
