"""A worker that hangs and dies, to test that its supervisor notices."""

import os
import time
from typing import Any


def work(_bundle: Any, _seed: int, start: int, end: int, at: Any, out: Any) -> None:
    """Hangs at 3, dies at 5, and reports each other number."""
    for number in range(start, end):
        at.value = number
        if number == 3:
            time.sleep(600)
        if number == 5:
            os._exit(9)
        out.send((number, [], {"asked": 1}))
