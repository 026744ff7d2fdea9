"""Reads and verifies a bundle's folder: each file once, and only those that the manifest lists.

No other file in the folder is ever opened, so other files in it are harmless.
"""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Self

from components.common.limits import MAX_GOLDEN_BYTES, MAX_GRAPH_BYTES
from components.model.golden import GOLDEN_FILES, GoldenCase
from components.model.manifest import GRAPH, Manifest, read_manifest
from components.model.plain_file import damaged, read_plain_file
from components.model.signing import SIGNATURE, SIGNATURE_BYTES, PublicKey

#: The files of a bundle beside its manifest, and the largest size of each in bytes.
FILES = {GRAPH: MAX_GRAPH_BYTES, **dict.fromkeys(GOLDEN_FILES, MAX_GOLDEN_BYTES)}


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """The contents of a bundle's folder; nothing is read from the folder again.

    Parameters
    ----------
    manifest
        The manifest, whose fields are within their ranges.
    graph
        The bytes of the graph, which have the manifest's digest; ``graph_check`` checks what they contain.
    golden
        The golden case.
    signed_by
        Fingerprint of the public key that the signature was verified with; "" where no key was given.
    """

    manifest: Manifest
    graph: bytes
    golden: GoldenCase
    signed_by: str = ""

    @classmethod
    def read(cls, folder: Path, public_key: PublicKey | None = None) -> Self:
        """Reads a bundle's folder; where a key is given, the signature is verified before anything is parsed.

        Raises
        ------
        BundleError
            ``BUNDLE_MISSING``, ``BUNDLE_UNSIGNED``, ``BUNDLE_SIGNATURE``, ``BUNDLE_UNKNOWN``, ``BUNDLE_DAMAGED``,
            ``BUNDLE_TOO_LARGE`` or ``GOLDEN_CASE``.
        """
        described = read_manifest(folder)
        if public_key is not None:
            public_key.check(described, _signature(folder))
        manifest = Manifest.parse(described)
        content = _listed(folder, manifest)
        golden = GoldenCase.parse(content, len(manifest.members))
        return cls(manifest, content[GRAPH], golden, public_key.fingerprint if public_key else "")


def _signature(folder: Path) -> bytes | None:
    exists = os.path.lexists(folder / SIGNATURE)
    return read_plain_file(folder, SIGNATURE, SIGNATURE_BYTES) if exists else None


def _listed(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The bytes of all files that the manifest lists, which must be exactly those of a bundle, with its digests."""
    if set(manifest.files) != set(FILES):
        raise damaged(f"manifest.json must list {', '.join(sorted(FILES))}, and nothing else")
    content = {}
    for name, most in FILES.items():
        content[name] = read_plain_file(folder, name, most)
        if hashlib.sha256(content[name]).hexdigest() != manifest.files[name]:
            raise damaged(f"{name} is missing or was changed")
    return content
