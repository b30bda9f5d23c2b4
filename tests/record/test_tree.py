import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.record.tree import EMPTY_ROOT, Frontier, leaf_hash, leaf_hashes, node_hash

# The leaves and roots that Certificate Transparency implementations share (RFC 6962 section 2.1.3 gives the construction).
LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def defined(leaves: list[bytes]) -> bytes:
    """The root as RFC 6962 defines it, by recursion."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(defined(leaves[:k]), defined(leaves[k:]))


def test_roots_are_those_of_certificate_transparency():
    tree = Frontier()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.push(leaf_hash(leaf))
        assert tree.root().hex() == root


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_frontier_agrees_with_the_definition(leaves):
    tree = Frontier()
    for leaf in leaves:
        tree.push(leaf_hash(leaf))
    assert tree.root() == defined(leaves)
    assert Frontier.of_json(tree.size, tree.as_json()).root() == tree.root()


def test_a_copy_grows_by_itself():
    tree = Frontier()
    tree.push(leaf_hash(b"a"))
    twin = tree.copy()
    twin.push(leaf_hash(b"b"))
    assert (tree.size, twin.size) == (1, 2)
    assert tree.root() == leaf_hash(b"a")


@pytest.mark.parametrize(("size", "hashes"), [(1, []), (2, ["00" * 32] * 2), (1, ["00"]), (1, ["zz" * 32]), (1, None), (1, [7]), (-1, [])])
def test_hashes_that_cannot_be_a_frontier_of_that_size_are_refused(size, hashes):
    with pytest.raises(ValueError):
        Frontier.of_json(size, hashes)


@pytest.mark.parametrize("before", range(20))
def test_many_leaves_at_once_grow_the_tree_as_one_by_one(before):
    leaves = [leaf_hash(bytes([n])) for n in range(60)]
    for count in range(40):
        one, many = Frontier(), Frontier()
        for leaf in leaves[: before + count]:
            one.push(leaf)
        many.extend(leaves[:before])
        many.extend(leaves[before : before + count])
        assert (many.size, many.hashes) == (one.size, one.hashes)


def test_many_lines_have_the_hashes_of_each():
    lines = [b"", b"a", b"b" * 70_000]
    assert leaf_hashes(lines) == list(map(leaf_hash, lines))
