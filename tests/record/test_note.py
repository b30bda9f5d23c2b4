import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.record.note import BadNote, Checkpoint, NoteKey, open_checkpoint, open_note, parse_keys
from gateway.record.signer import NoteSigner

# The example of the signed-note format's first implementation (Go, sumdb/note), repeated by c2sp.org/signed-note.
PUBLIC_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLIC_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()

SIGNER = NoteSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
KEY = SIGNER.key("gw.example/a")
NOTE = SIGNER.sign("gw.example/a", Checkpoint("gw.example/a", 7, b"\x07" * 32).text)


def test_the_public_example_of_the_format_verifies():
    assert open_note(PUBLIC_NOTE, [NoteKey.parse(PUBLIC_KEY)]).startswith(b"If you think")
    assert str(NoteKey.parse(PUBLIC_KEY)) == PUBLIC_KEY


def test_a_checkpoint_reads_back_as_it_was_signed():
    found = open_checkpoint(NOTE, [KEY])
    assert (found.origin, found.size, found.root, found.note) == ("gw.example/a", 7, b"\x07" * 32, NOTE)


def test_every_changed_byte_of_a_checkpoint_is_found():
    for at in range(len(NOTE)):
        for change in (0x01, 0x20, 0x80):
            broken = NOTE[:at] + bytes([NOTE[at] ^ change]) + NOTE[at + 1 :]
            with pytest.raises(BadNote):
                open_checkpoint(broken, [KEY])


def test_a_signature_has_one_spelling():
    """Base64 of 68 bytes leaves two bits of the last digit unused, and decoders ignore them."""
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert NOTE.endswith(b"=\n")
    accepted = []
    for digit in digits:
        try:
            accepted.append(open_checkpoint(NOTE[:-3] + bytes([digit]) + b"=\n", [KEY]).note)
        except BadNote:
            continue
    assert accepted == [NOTE]


@pytest.mark.parametrize("end", range(len(NOTE)))
def test_a_cut_checkpoint_is_refused(end):
    with pytest.raises(BadNote):
        open_checkpoint(NOTE[:end], [KEY])


def test_a_note_without_signature_or_signed_by_a_stranger_is_refused():
    stranger = NoteSigner(Ed25519PrivateKey.generate())
    text = Checkpoint("gw.example/a", 7, b"\x07" * 32).text
    for note in (text, text + b"\n", stranger.sign("gw.example/a", text), SIGNER.sign("gw.example/b", text)):
        with pytest.raises(BadNote):
            open_checkpoint(note, [KEY])
    with pytest.raises(BadNote):
        open_checkpoint(NOTE, [])


def test_a_strangers_further_signature_does_no_harm_but_a_forged_one_does():
    stranger = NoteSigner(Ed25519PrivateKey.generate()).sign("witness.example", Checkpoint("gw.example/a", 7, b"\x07" * 32).text)
    extra = stranger.rpartition(b"\n\n")[2]
    assert open_checkpoint(NOTE + extra, [KEY]).size == 7
    forged = f"— {KEY.name} {base64.b64encode(KEY.id + os.urandom(64)).decode()}\n".encode()
    with pytest.raises(BadNote, match="wrong"):
        open_checkpoint(NOTE + forged, [KEY])


@pytest.mark.parametrize(
    "text",
    [
        b"gw.example/a\n07\n" + base64.b64encode(b"\x07" * 32) + b"\n",
        b"gw.example/a\n-1\n" + base64.b64encode(b"\x07" * 32) + b"\n",
        b"gw.example/a\n7\n" + base64.b64encode(b"\x07" * 31) + b"\n",
        b"gw.example/a\n7\n" + base64.b64encode(b"\x07" * 32) + b"\nextension\n",
        b"gw.example/a\n7\n",
    ],
)
def test_a_signed_text_that_is_no_plain_checkpoint_is_refused(text):
    with pytest.raises(BadNote):
        open_checkpoint(SIGNER.sign("gw.example/a", text), [KEY])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "gw.example/a",
        str(KEY).replace("gw.example/a", "gw.example/b"),
        str(KEY)[:-4],
        "a b+" + str(KEY).split("+", 1)[1],
        PUBLIC_KEY.replace("c74f20a3", "00000000"),
    ],
)
def test_a_key_line_whose_parts_do_not_belong_together_is_refused(line):
    with pytest.raises(BadNote):
        NoteKey.parse(line)


def test_a_key_file_holds_a_key_a_line_and_comments():
    assert parse_keys(f"# the gateway\n\n{KEY}\n{PUBLIC_KEY}\n") == (KEY, NoteKey.parse(PUBLIC_KEY))
    with pytest.raises(BadNote):
        parse_keys("# none\n")
