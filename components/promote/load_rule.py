"""The gate's rule *Load*: a bundle opens in the serving runtime, and equals its Keras model in TensorFlow."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.common.errors import BundleError
from components.model.bundle_files import Bundle
from components.model.keras_export import TOLERANCE, tensorflow_answers
from components.model.runtime import Ensemble
from components.promote.gate import Load

#: A bundle's folder, its ``.keras`` file, and crops [n, 151, 151] in HU.
Files = tuple[Path, Path, NDArray[np.float32]]


class Loads:
    """The rule for groups' bundles, each checked once, beside other work: TensorFlow takes seconds to be imported."""

    def __init__(self, files_of: Callable[[str], Files], beside: ThreadPoolExecutor) -> None:
        self._files_of, self._beside = files_of, beside
        self._begun: dict[str, Future[Load]] = {}

    def begin(self, group: str) -> None:
        """Begins to check the bundle of a group."""
        if group not in self._begun:
            self._begun[group] = self._beside.submit(check_load, *self._files_of(group))

    def of(self, group: str) -> Load:
        """Whether the bundle of a group passes."""
        self.begin(group)
        return self._begun[group].result()


def check_load(folder: Path, keras_file: Path, crops: NDArray[np.float32]) -> Load:
    """Opens the bundle in the serving runtime, which verifies its golden case, and compares it with its Keras model.

    TensorFlow computes the Keras model's answers, for the golden crop and for ``crops`` [n, 151, 151] in HU.
    """
    try:
        ensemble, golden = Ensemble.open(folder), Bundle.read(folder).golden.crop
        asked = np.concatenate([golden[np.newaxis], crops])
        difference = float(np.abs(ensemble.probabilities(asked) - tensorflow_answers(keras_file, asked)).max())
    except BundleError as error:
        return Load(ok=False, text=error.safe_message)
    compared = (
        f"for the golden case and {len(crops)} evaluation tumours, TensorFlow's answers differ by {difference:.1e}"
    )
    if not difference <= TOLERANCE:
        return Load(ok=False, text=f"{compared}; at most {TOLERANCE:g} is allowed")
    return Load(ok=True, text=f"the serving runtime opened the bundle and reproduced its golden case; {compared}")
