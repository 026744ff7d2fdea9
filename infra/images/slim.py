"""Removes from an image's packages what nothing runs: ``python3 slim.py /opt/venv/lib/python3.11/site-packages``.

Header files, the libraries' own tests, the Clang that TensorFlow's package requires and never loads, and the symbol
tables of shared libraries. Those tables serve debuggers only; without them a crash's stack trace has fewer names.
"""

import mmap
import shutil
import struct
import sys
from pathlib import Path

#: Folders below site-packages.
UNUSED = ("tensorflow/include", "pyarrow/include", "onnx/backend/test", "clang", "**/tests")
#: Packages whose libraries stay as they are: they have not been run on a GPU since.
UNSTRIPPED = {"nvidia", "jax_plugins"}
#: Smaller libraries, in bytes, have no symbol table worth removing.
SMALL = 1_000_000
#: The start of a 64-bit little-endian ELF file, and the fields that are read here: where its program headers begin,
#: how long one of them is, and how many there are.
MAGIC, HEADERS = b"\x7fELF\x02\x01", struct.Struct("<32xQ14xHH")
#: In a program header: where its segment begins in the file, and how long it is there.
SEGMENT = struct.Struct("<8xQ16xQ")


def main(packages: Path) -> None:
    """Removes it all, and prints how much that was."""
    before = size(packages)
    for folder in [found for pattern in UNUSED for found in packages.glob(pattern)]:
        shutil.rmtree(folder, ignore_errors=True)  # it may lie in one that is gone
    for library in packages.rglob("*.so*"):
        if library.relative_to(packages).parts[0] not in UNSTRIPPED and library.stat().st_size > SMALL:
            strip(library)
    print(f"removed {(before - size(packages)) / 1e6:.0f} of {before / 1e6:.0f} MB of packages")


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def strip(library: Path) -> None:
    """Cuts a shared library behind the last byte that the loader maps, where section headers and symbol tables are."""
    with library.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0) as content:
            if content[: len(MAGIC)] != MAGIC:
                return
            start, length, count = HEADERS.unpack_from(content)
            segments = [SEGMENT.unpack_from(content, start + number * length) for number in range(count)]
            struct.pack_into("<Q", content, 40, 0)  # there are no section headers:
            struct.pack_into("<2H", content, 60, 0, 0)  # none at all, and none that names the others
        file.truncate(max(begin + extent for begin, extent in segments))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
