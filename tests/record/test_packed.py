import struct

import pytest
import zstandard

from gateway.record.packed import FRAME_BYTES, PackedBroken, PackedFile, open_segment, pack


def packed(path, data):
    pieces = (data[at : at + FRAME_BYTES] for at in range(0, len(data), FRAME_BYTES))
    target = path.with_name(path.name + ".zst")
    target.write_bytes(b"".join(pack(pieces)))
    return target


def text(size: int) -> bytes:
    return b"".join(b"%d a line of some length\n" % n for n in range(size // 24))


@pytest.fixture
def both(tmp_path):
    plain = tmp_path / "0.jsonl"
    plain.write_bytes(text(3 * FRAME_BYTES + 12_345))
    return plain, packed(plain, plain.read_bytes())


@pytest.mark.parametrize("offset", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, 2 * FRAME_BYTES + 7, 3 * FRAME_BYTES + 12_000, 10 * FRAME_BYTES])
def test_it_reads_like_the_file_it_was_made_from(both, offset):
    found = []
    for path in both:
        with open_segment(path) as stream:
            stream.seek(offset)
            pieces = b""
            while piece := stream.read(70_001):
                pieces += piece
            found.append(pieces)
    assert found[0] == found[1]


def test_other_tools_unpack_it(both):
    plain, zst = both
    with zst.open("rb") as stream:
        assert zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read() == plain.read_bytes()


def test_reading_one_place_unpacks_one_frame(both):
    with PackedFile(both[1]) as stream:
        stream.seek(2 * FRAME_BYTES + 5)
        assert len(stream.read(10)) == 10
        assert stream._frame == 2
        assert len(stream._data) == FRAME_BYTES


def test_a_segment_that_was_packed_since_it_was_listed_is_found(both):
    plain, _ = both
    data = plain.read_bytes()
    plain.unlink()
    with open_segment(plain) as stream:
        assert stream.read(100) == data[:100]
    with pytest.raises(FileNotFoundError):
        open_segment(plain.with_name("1.jsonl"))


def test_nothing_packed_is_nothing_read(tmp_path):
    with open_segment(packed(tmp_path / "0.jsonl", b"")) as stream:
        assert stream.read(10) == b""


def test_every_changed_byte_is_found_or_changes_nothing(tmp_path):
    data = text(400)
    path = packed(tmp_path / "0.jsonl", data)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in (1, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            try:
                with open_segment(path) as stream:
                    found = b"".join(iter(lambda: stream.read(1 << 20), b""))
            except PackedBroken:
                continue
            assert found == data


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 20, 100])
def test_a_file_that_was_cut_is_found(tmp_path, cut):
    path = packed(tmp_path / "0.jsonl", text(4_000))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(PackedBroken):
        open_segment(path)


def test_a_frame_that_unpacks_to_more_than_is_listed_is_not_unpacked(tmp_path):
    bomb = zstandard.ZstdCompressor().compress(b"\0" * 50_000_000)
    small = b"".join(pack(iter([b"x" * 100])))
    table = small[-(8 + 8 + 9) :]
    path = tmp_path / "0.jsonl.zst"
    path.write_bytes(bomb + table[:8] + len(bomb).to_bytes(4, "little") + table[12:])
    with pytest.raises(PackedBroken), open_segment(path) as stream:
        stream.read(10)


def test_a_frame_that_says_it_takes_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "0.jsonl.zst"
    packed_bytes = 3 << 30
    table = struct.pack("<II", packed_bytes, FRAME_BYTES)
    with path.open("wb") as stream:
        stream.seek(packed_bytes)  # a hole: on the disk it takes nothing
        stream.write(struct.pack("<II", 0x184D2A5E, len(table) + 9) + table + struct.pack("<IBI", 1, 0, 0x8F92EAB1))
    with pytest.raises(PackedBroken):
        open_segment(path)
