"""Names of calls do not repeat."""

from gateway.doors.callids import PORTION_BYTES, CallIds


def test_ids_are_32_hex_digits_and_never_the_same_across_portions():
    ids = CallIds()
    made = [ids.next() for _ in range(PORTION_BYTES // 16 * 3 + 1)]
    assert len(set(made)) == len(made)
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in made)
