"""Sealed files: the same bytes for the same files, and damage reads as absence."""

from components.common.store.sealed import seal, unseal


def test_no_flipped_bit_of_a_sealed_object_is_believed_or_raises():
    files = {"a.txt": b"the first file " * 8, "b/c.txt": b"the second"}
    sealed = seal(files)
    for bit in range(8 * len(sealed)):
        content = bytearray(sealed)
        content[bit // 8] ^= 1 << bit % 8
        assert unseal(bytes(content)) in (None, files), bit


def test_sealing_is_reproducible():
    files = {"a.npy": b"1", "b.json": b"{}"}
    assert seal(files) == seal(dict(reversed(files.items())))
    assert unseal(seal(files)) == files
