"""Positions of a slice's pixels, computed independently of the code under test."""

import numpy as np


def in_mm(geometry, points_px):
    """[k, 2] row, column -> [k, 2] LPS x, y in mm."""
    rows, columns = np.transpose(points_px)
    steps = np.outer(rows, geometry.row_step_xy_mm) + np.outer(columns, geometry.column_step_xy_mm)
    return np.asarray(geometry.origin_xy_mm) + steps
