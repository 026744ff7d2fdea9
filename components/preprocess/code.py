"""Digest of the code that makes a dataset, so that results of other code are never taken from a cache or a store."""

import functools
from pathlib import Path

from components.common.files import digest_of_sources

#: This package and all packages that it imports.
PACKAGES = ("preprocess", "imaging", "common")


@functools.cache
def code_digest() -> str:
    """SHA-256 over the Python files of ``PACKAGES``, at any depth."""
    components = Path(__file__).parent.parent
    return digest_of_sources(*(components / package for package in PACKAGES))
