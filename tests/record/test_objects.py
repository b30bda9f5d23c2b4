import pytest
import zstandard

from gateway.call import Blob
from gateway.record.objects import ObjectBroken, ObjectMissing, Objects, object_path, read_object

BLOB = Blob.of(b"permit(principal, action, resource);" * 50)


def test_what_is_kept_reads_back_and_is_stored_once(tmp_path):
    objects = Objects(tmp_path)
    objects.keep((BLOB, BLOB))
    path = object_path(tmp_path, BLOB.digest)
    before = path.stat().st_ino
    objects.keep((BLOB,))
    Objects(tmp_path).keep((BLOB,))
    assert path.stat().st_ino == before
    assert read_object(tmp_path, BLOB.digest) == BLOB.data
    assert path.stat().st_size < len(BLOB.data)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name], "nothing half-written is left"


@pytest.mark.parametrize(
    "name", ["", "sha256:", "sha256:" + "g" * 64, "sha256:" + "A" * 64, "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "0" * 64 + "\n"]
)
def test_a_name_that_is_no_digest_never_becomes_a_path(tmp_path, name):
    for use in (lambda: object_path(tmp_path, name), lambda: read_object(tmp_path, name), lambda: Objects(tmp_path).keep((Blob(name, b""),))):
        with pytest.raises(ObjectMissing):
            use()


def test_content_under_another_digest_is_refused_on_both_sides(tmp_path):
    with pytest.raises(ObjectBroken):
        Objects(tmp_path).keep((Blob(BLOB.digest, b"other"),))
    assert not list(tmp_path.rglob("*.zst"))
    path = object_path(tmp_path, BLOB.digest)
    path.parent.mkdir()
    for packed in (zstandard.compress(b"other"), b"", b"not zstd", zstandard.compress(BLOB.data) + b"more"):
        path.write_bytes(packed)
        with pytest.raises(ObjectBroken):
            read_object(tmp_path, BLOB.digest)


def test_a_small_file_does_not_unfold_into_a_full_memory(tmp_path):
    path = object_path(tmp_path, BLOB.digest)
    path.parent.mkdir()
    bomb = zstandard.ZstdCompressor(level=19).compressobj()
    packed = b"".join(bomb.compress(b"\0" * (1 << 20)) for _ in range(100)) + bomb.flush()  # 100 MiB, and its head does not say so
    assert len(packed) < 100_000
    path.write_bytes(packed)
    with pytest.raises(ObjectBroken):
        read_object(tmp_path, BLOB.digest)
