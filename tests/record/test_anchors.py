import pytest

from gateway.record.anchors import Anchors, conflicting_size, cosigned, submission
from gateway.record.cosign import cosignatures
from gateway.record.folder import LogFolder
from gateway.record.note import BadNote
from gateway.record.proof import BadProof
from tests.record.test_cosign import CHECKPOINT, COSIGNER, KEY, LOG, NOTE, NOW, ORIGIN
from tests.record.test_witness import note_of, request

LINE = COSIGNER.cosign(CHECKPOINT.text, NOW)


def test_a_request_is_written_as_the_witness_reads_it():
    assert submission(5, [], note_of(5)) == request(5, 5)


def test_of_an_answer_only_the_witness_s_own_cosignature_is_taken():
    stranger = LOG.sign("stranger.example", CHECKPOINT.text).rpartition(b"\n\n")[2]
    note, at_s = cosigned(NOTE, stranger + LINE, KEY)
    assert (note, at_s) == (NOTE + LINE, NOW)
    assert cosignatures(note, [KEY]) == {KEY: NOW}


@pytest.mark.parametrize("answer", [b"", b"\n", b"ok\n", LINE[:-1], LINE.replace(b"w1", b"w2"), LINE[:-3] + b"A=\n", b"x\n\n" + LINE])
def test_an_answer_without_a_good_cosignature_is_refused(answer):
    with pytest.raises(BadNote):
        cosigned(NOTE, answer, KEY)


def test_a_cosignature_of_another_checkpoint_is_refused():
    with pytest.raises(BadNote):
        cosigned(NOTE, COSIGNER.cosign(CHECKPOINT.text.replace(b"20852163", b"20852164"), NOW), KEY)


def test_the_size_in_a_conflict_has_one_form():
    assert conflicting_size(b"17\n") == conflicting_size(b"17") == 17
    for answer in (b"", b"017\n", b"-1\n", b"1e3\n", b"17\n\n", b"\xff\n"):
        with pytest.raises(BadProof):
            conflicting_size(answer)


def test_what_is_kept_counts_only_with_its_log_s_signature(tmp_path):
    anchors = Anchors(LogFolder(tmp_path))
    assert anchors.kept("witness", "w1", [LOG.key(ORIGIN)]) is None
    assert anchors.notes() == []
    anchors.keep("witness", "w1", NOTE + LINE)
    anchors.keep("peer", "b", NOTE)
    found = anchors.kept("witness", "w1", [LOG.key(ORIGIN)])
    assert found is not None
    assert (found.size, anchors.notes()) == (CHECKPOINT.size, [NOTE + LINE])
    assert anchors.kept("witness", "w1", [LOG.key("example.com/other")]) is None
    anchors.keep("witness", "w1", b"torn")
    assert anchors.kept("witness", "w1", [LOG.key(ORIGIN)]) is None
