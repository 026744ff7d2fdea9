"""Sealed files: the same files give the same bytes, and damaged ones count as missing."""

from components.common.store.sealed import seal, unseal


def test_a_flipped_bit_makes_a_sealed_object_absent():
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
