"""A published data set."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def ovarian():
    """Ovarian cancer data of DeLong et al. 1988 as SAS/STAT prints them (PROC LOGISTIC, comparing ROC curves).

    [43, 4]: albumin, total protein, K-G score (turned round, as there), outcome.
    """
    return np.loadtxt(Path(__file__).with_name("ovarian.csv"), delimiter=",", skiprows=1)
