import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config.keylines import log_key, witness_key
from gateway.config.kinds import Fault
from gateway.record import Cosigner, NoteSigner

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = str(NoteSigner(PRIVATE).key("gw.example/log"))
WITNESS = str(Cosigner("witness.example/w1", PRIVATE).key)


def test_keys_are_what_the_log_and_the_witness_print():
    assert (log_key(LOG), witness_key(WITNESS)) == (LOG, WITNESS)


@pytest.mark.parametrize(
    "text", ["", LOG, WITNESS[:-1], WITNESS + "A", WITNESS.replace("w1", "w2"), WITNESS.replace("+", " "), WITNESS + "\n", "é" + WITNESS[1:]]
)
def test_what_is_no_key_of_a_witness_is_refused(text):
    with pytest.raises(Fault) as found:
        witness_key(text)
    assert found.value.code == "bad_key"


def test_a_witness_s_key_is_no_log_s_key():
    with pytest.raises(Fault):
        log_key(WITNESS)
