"""Replaces the errors and warnings of pydicom, which quote values that may be identity.

Errors become ours; warnings and log records are turned off wherever this module is imported.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom

from components.common.contained_call import is_contained
from components.common.errors import SrsError, TumourError
from components.imaging.structure import too_large

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


@contextmanager
def dicom_errors() -> Iterator[None]:
    """Raises any exception of pydicom as ``DICOM_DAMAGED``: pydicom has no exception type of its own for broken bytes.

    A lack of memory is not damage: it is raised as ``DICOM_TOO_LARGE``; in a contained call it passes through and ends
    the call, whose error gives the limit.
    """
    try:
        yield
    except SrsError:
        raise
    except MemoryError:
        if is_contained():
            raise
        raise too_large("more data than fits in memory") from None
    except Exception:
        raise damaged("it cannot be decoded") from None


def damaged(what: str) -> TumourError:
    """``DICOM_DAMAGED`` with a description of the damage, which must not quote a value of the file."""
    return TumourError("DICOM_DAMAGED", f"a DICOM file is damaged: {what}", "Export it again.")
