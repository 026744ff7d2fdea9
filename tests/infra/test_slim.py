"""What the images leave out; ``test_images.py`` runs what is left."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.images import slim

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the images are built for Linux")

#: Loads a shared library and calls a function of it.
CALL = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).LLVMPY_GetVersionInfo())"


def call(library: Path) -> str:
    done = subprocess.run([sys.executable, "-c", CALL, str(library)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def library(tmp_path):
    """A shared library with a symbol table."""
    folder = Path(importlib.util.find_spec("llvmlite").origin).parent
    return Path(shutil.copy(folder / "binding" / "libllvmlite.so", tmp_path))


def test_a_library_without_symbol_table_does_the_same(library):
    before, answer = library.stat().st_size, call(library)
    slim.strip(library)
    once = library.read_bytes()
    assert len(once) < 0.95 * before
    assert call(library) == answer
    slim.strip(library)
    assert library.read_bytes() == once


def test_other_files_stay_as_they_are(tmp_path):
    script = tmp_path / "libc.so"  # a linker script, as Debian's libc.so is
    script.write_text("GROUP ( /lib/libc.so.6 )")
    slim.strip(script)
    assert script.read_text() == "GROUP ( /lib/libc.so.6 )"


def test_headers_tests_and_clang_go_and_cudas_libraries_stay(library, tmp_path, capsys):
    packages = tmp_path / "packages"
    gone = ["tensorflow/include/a.h", "clang/native/libclang.so", "numpy/tests/tests/test_a.py", "scipy/io/tests/b.py"]
    stay = ["numpy/testing/a.py", "keras/include/a.py", "attests/a.py", "tests.py"]
    for name in (*gone, *stay):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("x")
    for name in ("nvidia/libcublas.so.12", "jaxlib/libjax.so"):
        (packages / name).parent.mkdir()
        shutil.copy(library, packages / name)
    slim.main(packages)
    found = {path.relative_to(packages).as_posix() for path in packages.rglob("*") if path.is_file()}
    assert found == {*stay, "nvidia/libcublas.so.12", "jaxlib/libjax.so"}
    whole = library.stat().st_size
    assert (packages / "nvidia/libcublas.so.12").stat().st_size == whole
    assert (packages / "jaxlib/libjax.so").stat().st_size < whole
    assert capsys.readouterr().out.startswith("removed ")
