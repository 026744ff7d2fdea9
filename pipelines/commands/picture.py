"""The picture that ``srs inspect --png`` writes: each crop with its contour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.common.errors import InputError
from components.common.settings import IMAGE_SIZE_MM
from components.imaging.candidate import Candidate
from components.imaging.crop import bounding_box_centre_mm

WINDOW_HU = (-40.0, 120.0)


def draw_candidates(candidates: Sequence[Candidate], path: Path) -> None:
    """Writes a PNG with one panel per tumour that has a crop; axes in mm from its centre, x to the left, y to the back.

    Parameters
    ----------
    candidates
        As ``find_gtvs`` gives them.
    path
        Ends in ``.png``.

    Raises
    ------
    InputError
        ``NOTHING_TO_DRAW``, or ``OUTPUT_UNWRITABLE``.
    """
    shown = [candidate for candidate in candidates if candidate.crop is not None]
    if not shown:
        hint = "Without --png, the command lists the reason for each structure."
        raise InputError("NOTHING_TO_DRAW", "no tumour of this study could be cut, so there is no crop to draw", hint)
    if path.suffix != ".png":
        raise InputError("OUTPUT_UNWRITABLE", f"{path} must end in .png", "Name another by --png.")
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 4.6), squeeze=False, layout="constrained")
    for panel, candidate in zip(panels[0], shown, strict=True):
        _draw(panel, candidate)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(
            "OUTPUT_UNWRITABLE", f"{path} cannot be written: {error.strerror}", "Name another by --png."
        ) from None
    finally:
        plt.close(figure)


def _draw(panel: Any, candidate: Candidate) -> None:
    half = IMAGE_SIZE_MM / 2
    centre = np.asarray(bounding_box_centre_mm(candidate.contours_xy_mm))
    panel.imshow(candidate.crop, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], extent=(-half, half, half, -half))
    for contour in candidate.contours_xy_mm:
        x, y = (np.vstack([contour, contour[:1]]) - centre).T
        panel.plot(x, y, color="#e69f00", linewidth=1.2)
    name = f"{candidate.roi_name} (no. {candidate.roi_number or '-'})"
    title = name if candidate.status == "ok" else f"{name}: {candidate.code}"
    panel.set(title=title, xlabel="x, mm", ylabel="y, mm", xlim=(-half, half), ylim=(half, -half))
