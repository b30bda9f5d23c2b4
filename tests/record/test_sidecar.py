import pytest

from gateway.record.folder import LogFolder
from gateway.record.sidecar import BadSidecar, Sidecar, kept_tree
from gateway.record.tree import Frontier, leaf_hash


def sidecar(first: int, count: int, before: Frontier) -> Sidecar:
    leaves = tuple(leaf_hash(b"%d" % n) for n in range(first, first + count))
    before.extend(list(leaves))
    return Sidecar(first, before.root(), "sha256:" + "0" * 64, 10, 1, 2, leaves)


@pytest.fixture
def folder(tmp_path):
    found = LogFolder(tmp_path)
    found.segments.mkdir()
    tree = Frontier()
    for first, count in ((0, 3), (3, 4), (7, 1)):
        sidecar(first, count, tree).write(found)
    return found


def test_it_comes_back_as_it_was_written(folder):
    found = Sidecar.read(folder.leaves_of(3))
    before = kept_tree(folder, 3)
    assert before is not None
    assert found == sidecar(3, 4, before)
    assert found.end == 7


def test_the_tree_over_all_that_was_kept_is_the_tree_of_the_log(folder):
    tree = Frontier()
    tree.extend([leaf_hash(b"%d" % n) for n in range(8)])
    assert kept_tree(folder, 8).hashes == tree.hashes
    folder.leaves_of(3).unlink()
    assert kept_tree(folder, 8) is None


def test_an_end_that_is_within_a_segment_is_none(folder):
    with pytest.raises(BadSidecar, match="end at 7"):
        kept_tree(folder, 5)


@pytest.mark.parametrize(
    "harm", [lambda d: d[:-1], lambda d: b"", lambda d: b"[]\n" + d, lambda d: d.replace(b'"first":3', b'"first":4'), lambda d: d + b"\0" * 32]
)
def test_what_is_no_sidecar_is_told(folder, harm):
    path = folder.leaves_of(3)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(BadSidecar):
        Sidecar.read(path)
