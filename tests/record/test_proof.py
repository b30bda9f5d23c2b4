import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.record.proof import BadProof, check_consistency, check_inclusion, prove_consistency, prove_inclusion
from gateway.record.tree import EMPTY_ROOT, leaf_hash, node_hash
from tests.record.test_tree import LEAVES, ROOTS, defined

SIZE_MAX = 130
HASHES = [leaf_hash(b"record %d" % n) for n in range(SIZE_MAX)]
KNOWN: dict[tuple[int, int], bytes] = {}

# Proofs over the leaves that Certificate Transparency implementations share.
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSIONS = [(0, 8, [A, B, C]), (5, 8, [D, E, ROOTS[3]]), (2, 3, [ROOTS[1]]), (1, 5, [ROOTS[0], B, D])]
CONSISTENCIES = [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [F, E, ROOTS[3]]), (2, 5, [B, D])]


def root(start: int, end: int) -> bytes:
    """As RFC 6962 defines it, by recursion, over the hashes above."""
    if end == start:
        return EMPTY_ROOT
    if end - start == 1:
        return HASHES[start]
    if (start, end) not in KNOWN:
        k = 1 << (end - start - 1).bit_length() - 1
        KNOWN[start, end] = node_hash(root(start, start + k), root(start + k, end))
    return KNOWN[start, end]


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1, word for word."""
    if end - start == 1:
        return []
    k = 1 << (end - start - 1).bit_length() - 1
    if m < k:
        return [*path(m, start, start + k), root(start + k, end)]
    return [*path(m - k, start + k, end), root(start, start + k)]


def subproof(m: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2, word for word."""
    if m == end - start:
        return [] if whole else [root(start, end)]
    k = 1 << (end - start - 1).bit_length() - 1
    if m <= k:
        return [*subproof(m, start, start + k, whole), root(start + k, end)]
    return [*subproof(m - k, start + k, end, False), root(start, start + k)]


def over(leaves):
    return lambda start, end: defined(leaves[start:end])


def refused(check, *arguments) -> bool:
    try:
        check(*arguments)
    except BadProof:
        return True
    return False


@pytest.mark.parametrize(("n", "size", "hashes"), INCLUSIONS)
def test_inclusion_proofs_are_those_of_certificate_transparency(n, size, hashes):
    proof = prove_inclusion(n, size, over(LEAVES))
    assert [h.hex() for h in proof] == hashes
    check_inclusion(leaf_hash(LEAVES[n]), n, size, bytes.fromhex(ROOTS[size - 1]), proof)


@pytest.mark.parametrize(("old", "new", "hashes"), CONSISTENCIES)
def test_consistency_proofs_are_those_of_certificate_transparency(old, new, hashes):
    proof = prove_consistency(old, new, over(LEAVES))
    assert [h.hex() for h in proof] == hashes
    check_consistency(old, bytes.fromhex(ROOTS[old - 1]), new, bytes.fromhex(ROOTS[new - 1]), proof)


def test_every_inclusion_proof_up_to_130_is_the_definition_s_and_holds():
    for size in range(1, SIZE_MAX + 1):
        for n in range(size):
            proof = prove_inclusion(n, size, root)
            assert proof == path(n, 0, size)
            check_inclusion(HASHES[n], n, size, root(0, size), proof)


def test_every_consistency_proof_up_to_130_is_the_definition_s_and_holds():
    for new in range(1, SIZE_MAX + 1):
        for old in range(1, new + 1):
            proof = prove_consistency(old, new, root)
            assert proof == subproof(old, 0, new, True)
            check_consistency(old, root(0, old), new, root(0, new), proof)


def test_an_inclusion_proof_shows_nothing_else():
    for size in range(1, 40):
        for n in range(size):
            proof = prove_inclusion(n, size, root)
            top = root(0, size)
            for other in range(size + 1):
                if other != n:
                    assert refused(check_inclusion, HASHES[n], other, size, top, proof)
            assert refused(check_inclusion, HASHES[n + 1], n, size, top, proof)
            assert refused(check_inclusion, HASHES[n], n, size, root(0, size + 1), proof)
            assert refused(check_inclusion, HASHES[n], n, size, top, [*proof, HASHES[0]])
            for at in range(len(proof)):
                assert refused(check_inclusion, HASHES[n], n, size, top, proof[:at] + proof[at + 1 :])
                assert refused(check_inclusion, HASHES[n], n, size, top, [*proof[:at], HASHES[129], *proof[at + 1 :]])


def test_a_consistency_proof_shows_nothing_else():
    for new in range(1, 40):
        for old in range(1, new + 1):
            proof = prove_consistency(old, new, root)
            was, now = root(0, old), root(0, new)
            assert refused(check_consistency, old, HASHES[129], new, now, proof)
            assert refused(check_consistency, old, was, new, HASHES[129], proof)
            assert refused(check_consistency, old, was, new, now, [*proof, HASHES[0]])
            assert old == new or refused(check_consistency, new, now, old, was, proof)
            for at in range(len(proof)):
                assert refused(check_consistency, old, was, new, now, proof[:at] + proof[at + 1 :])
                assert refused(check_consistency, old, was, new, now, [*proof[:at], HASHES[129], *proof[at + 1 :]])


def test_every_tree_goes_on_from_the_empty_one_and_needs_no_proof_of_it():
    check_consistency(0, EMPTY_ROOT, 7, root(0, 7), [])
    check_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert refused(check_consistency, 0, root(0, 1), 7, root(0, 7), [])
    assert refused(check_consistency, 0, EMPTY_ROOT, 0, root(0, 1), [])
    assert refused(check_consistency, 0, EMPTY_ROOT, 7, root(0, 7), [HASHES[0]])


@given(n=st.integers(-3, 70), old=st.integers(-3, 70), size=st.integers(-3, 2**64), hashes=st.lists(st.sampled_from(HASHES[:8]), max_size=66))
def test_hashes_that_come_from_anywhere_prove_nothing_and_break_nothing(n, old, size, hashes):
    assert refused(check_inclusion, HASHES[0], n, size, b"\x07" * 32, hashes)
    assert old == 0 or refused(check_consistency, old, b"\x06" * 32, size, b"\x07" * 32, hashes)
