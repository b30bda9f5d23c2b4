"""A replay that depended on the order of a set would differ from process to process."""

import json
import subprocess
import sys

import pytest

from tests.cli.sample import ROOT, call_of, copy_sample, write_log

pytestmark = pytest.mark.slow

CALLS = [
    call_of("tickets/create_refund", {"id": "8812", "amount": amount, "reason": "double charge"}, user="alice@example.com")
    for amount in ("49.90", "50.01", "5000.00")
]


async def test_every_decision_is_recomputed_alike_whatever_the_seed_of_hashes(tmp_path):
    (tmp_path / "deployment").mkdir()
    folder = copy_sample(tmp_path / "deployment")
    await write_log(folder, CALLS)
    said = set()
    for seed in ("0", "1", "4711", "4294967295"):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "log", "replay", "-C", str(folder), "--json"],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.add(done.stdout)
    (told,) = map(json.loads, said)
    assert (told["decisions"], told["same"]) == (3, 3)
