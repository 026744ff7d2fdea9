import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from components.common.files import load_array


def stored(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_arrays_are_read_by_one_thread_at_a_time(monkeypatch):
    """CPython 3.11 fails where two threads parse Python, and so a header of NumPy's, at once."""
    original, inside, most = np.load, threading.Semaphore(4), []

    def load(*arguments, **options):
        with inside:
            most.append(4 - inside._value)
            time.sleep(0.01)
            return original(*arguments, **options)

    monkeypatch.setattr(np, "load", load)
    content = stored(np.arange(6.0).reshape(2, 3))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda _: load_array(io.BytesIO(content)), range(12)))
    assert max(most) == 1
    assert all((array == np.arange(6.0).reshape(2, 3)).all() for array in read)


def packed():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(2))
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"text", packed(), stored(np.array([{}]))])
def test_invalid_arrays_are_refused(content):
    with pytest.raises(ValueError):  # noqa: PT011
        load_array(io.BytesIO(content))
