"""Signing keys: who may read them, which one signs, what is published."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from gateway.errors import Problem, Problems
from gateway.identify import SigningKeys
from gateway.identify.keys import KEYS_MAX
from tests.identify.forge import Bench, secret


def fault(folder: Path) -> Problem:
    with pytest.raises(Problems) as caught:
        SigningKeys.open(folder)
    [problem] = caught.value.problems
    assert problem.remedy and problem.file
    return problem


def write(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None, password: bytes = b"") -> None:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    key = key or ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    path.chmod(0o600)


def test_the_first_use_makes_a_folder_and_a_key_that_only_the_owner_can_read(tmp_path: Path):
    old = os.umask(0)  # the widest a careless shell can be
    try:
        keys = SigningKeys.open(tmp_path / "var" / "keys")
    finally:
        os.umask(old)
    folder = tmp_path / "var" / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [(p.name, stat.S_IMODE(p.stat().st_mode)) for p in folder.iterdir()] == [("active.pem", 0o600)]
    assert SigningKeys.open(folder).kid == keys.kid


def test_two_processes_that_start_at_once_agree_on_one_key(tmp_path: Path):
    found: list[str] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        found.append(SigningKeys.open(tmp_path / "keys").kid)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["active.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_key_that_others_may_touch_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int):
    SigningKeys.open(tmp_path / "keys")
    (tmp_path / "keys" / "active.pem").chmod(mode)
    problem = fault(tmp_path / "keys")
    assert problem.code == "key_file_open" and f"chmod 600 {tmp_path / 'keys' / 'active.pem'}" in problem.remedy


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_where_others_could_put_a_key_is_refused(tmp_path: Path, mode: int):
    SigningKeys.open(tmp_path / "keys")
    (tmp_path / "keys").chmod(mode)
    assert fault(tmp_path / "keys").code == "key_folder_open"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_account_is_refused(tmp_path: Path):
    SigningKeys.open(tmp_path / "keys")
    os.chown(tmp_path / "keys" / "active.pem", 12345, 12345)
    assert fault(tmp_path / "keys").code == "key_file_owner"


def test_what_is_no_key_for_es256_is_refused(tmp_path: Path):
    folder = tmp_path / "keys"
    SigningKeys.open(folder)
    active = folder / "active.pem"
    for make in (
        lambda: active.write_bytes(b""),
        lambda: active.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        lambda: write(active, ec.generate_private_key(ec.SECP384R1())),
        lambda: write(active, rsa.generate_private_key(65537, 2048)),
        lambda: write(active, password=b"hunter2"),
    ):
        make()
        assert fault(folder).code == "not_a_key"


def test_a_folder_that_cannot_be_made_is_a_problem_not_a_crash(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert fault(tmp_path / "file" / "keys").code == "key_unreadable"


def test_retired_and_next_keys_verify_but_do_not_sign(tmp_path: Path):
    old = Bench(tmp_path / "keys")
    token = old.token()
    (tmp_path / "keys" / "active.pem").rename(tmp_path / "keys" / "retired-2026.pem")
    write(tmp_path / "keys" / "next-2028.pem")
    new = Bench(tmp_path / "keys")
    assert new.keys.kid != old.keys.kid
    assert {k.state for k in new.keys.public.values()} == {"active", "next", "retired"}
    assert new.verifier().verify(secret(token)).key_id == old.keys.kid


@pytest.mark.parametrize("name", ["backup.pem", "active-2.pem", "retired.pem", "retired-.pem"])
def test_a_key_file_whose_name_says_no_state_is_refused(tmp_path: Path, name: str):
    SigningKeys.open(tmp_path / "keys")
    write(tmp_path / "keys" / name)
    assert fault(tmp_path / "keys").code == "unknown_key_state"


def test_one_key_in_two_states_is_refused(tmp_path: Path):
    SigningKeys.open(tmp_path / "keys")
    (tmp_path / "keys" / "next-1.pem").write_bytes((tmp_path / "keys" / "active.pem").read_bytes())
    (tmp_path / "keys" / "next-1.pem").chmod(0o600)
    assert fault(tmp_path / "keys").code == "duplicate_key"


def test_a_heap_of_keys_is_refused(tmp_path: Path):
    SigningKeys.open(tmp_path / "keys")
    for n in range(KEYS_MAX):
        (tmp_path / "keys" / f"retired-{n}.pem").write_bytes(b"")
    assert fault(tmp_path / "keys").code == "too_many_keys"


def test_the_published_set_holds_public_members_only_and_names_keys_by_thumbprint(tmp_path: Path):
    keys = SigningKeys.open(tmp_path / "keys")
    [jwk] = keys.jwks()["keys"]
    assert set(jwk) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    members = json.dumps({k: jwk[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True).encode()
    assert jwk["kid"] == base64.urlsafe_b64encode(hashlib.sha256(members).digest()).rstrip(b"=").decode() == keys.kid


def test_the_private_key_does_not_show(tmp_path: Path):
    keys = SigningKeys.open(tmp_path / "keys")
    assert "EllipticCurvePrivateKey" not in repr(keys) and "private" not in repr(keys)
