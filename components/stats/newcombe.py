"""The interval of an AUC by Newcombe's method 5, which does not collapse where the estimate is 0 or 1.

Reference: Newcombe, Stat Med 2006;25:559.
"""

from scipy import optimize


def newcombe_variance(area: float, n_pos: int, n_neg: int) -> float:
    """Hanley & McNeil's exponential model with both sizes replaced by their mean (Newcombe 2006, eq. for N*)."""
    star = (n_pos + n_neg) / 2 - 1
    return area * (1 - area) * (1 + star * ((1 - area) / (2 - area) + area / (1 + area))) / (n_pos * n_neg)


def newcombe_limits(area: float, n_pos: int, n_neg: int, z: float) -> tuple[float, float]:
    """Newcombe's method 5: the AUCs that lie exactly ``z`` of their own standard errors from the estimate."""

    def excess(theta: float) -> float:
        return float((theta - area) ** 2 - z**2 * newcombe_variance(theta, n_pos, n_neg))

    # At an estimate of exactly 0 or 1 the model's variance is zero; the other root lies strictly inside (0, 1).
    edge = 1e-9
    low = optimize.brentq(excess, 0.0, min(area, 1 - edge)) if area > 0 else 0.0
    high = optimize.brentq(excess, max(area, edge), 1.0) if area < 1 else 1.0
    return float(low), float(high)
