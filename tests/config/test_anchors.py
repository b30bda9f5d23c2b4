import pytest

from gateway.config.load import load
from gateway.errors import Problems
from tests.config.deployments import write
from tests.config.test_keylines import LOG, WITNESS


def deployment(folder, more: str):
    path = write(folder)
    toml = path / "gateway.toml" if path.is_dir() else path
    toml.write_text(f"{toml.read_text()}\n{more}\n")
    return path


def test_witnesses_and_peers_are_read_by_name(tmp_path):
    more = f'[witness.w1]\nurl = "https://w.example/base/"\nkey = "{WITNESS}"\n[peer.b]\nurl = "http://b:9090/log/checkpoint"\nkey = "{LOG}"\ninterval_s = 5'
    found = load(deployment(tmp_path, more))
    assert found.witnesses["w1"].url == "https://w.example/base"
    assert (found.witnesses["w1"].key, found.witnesses["w1"].interval_s) == (WITNESS, 60.0)
    assert (found.peers["b"].url, found.peers["b"].interval_s) == ("http://b:9090/log/checkpoint", 5.0)


@pytest.mark.parametrize(
    ("more", "code", "key"),
    [
        (f'[witness.w1]\nkey = "{WITNESS}"', "missing_key", "witness.w1"),
        (f'[witness.w1]\nurl = "https://w.example"\nkey = "{LOG}"', "bad_key", "witness.w1.key"),
        (f'[peer.b]\nurl = "http://b/log"\nkey = "{WITNESS}"', "bad_key", "peer.b.key"),
        (f'[witness.W1]\nurl = "https://w.example"\nkey = "{WITNESS}"', "bad_name", "witness.W1"),
        (f'[witness.w1]\nurl = "https://user:pw@w.example"\nkey = "{WITNESS}"', "inline_secret", "witness.w1.url"),
        (f'[witness.w1]\nurl = "https://w.example"\nkey = "{WITNESS}"\ninterval_s = 0.1', "out_of_range", "witness.w1.interval_s"),
        ("[witness]\nw1 = 7", "wrong_type", "witness.w1"),
    ],
)
def test_what_is_wrong_with_one_is_told_with_its_place(tmp_path, more, code, key):
    with pytest.raises(Problems) as found:
        load(deployment(tmp_path, more))
    assert [(p.code, p.key) for p in found.value.problems] == [(code, key)]
