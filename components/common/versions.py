"""Versions of installed packages."""

import importlib.metadata


def version_of(package: str) -> str:
    """The installed version; TensorFlow for CPUs is published under a second name.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        It is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        if package != "tensorflow":
            raise
    return importlib.metadata.version("tensorflow-cpu")
