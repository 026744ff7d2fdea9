"""Signs and verifies bundles: Ed25519 over the bytes of ``manifest.json``, which lists every other file's digest.

The signature is the 64 bytes of ``manifest.sig``, compatible with OpenSSL:

    openssl genpkey -algorithm ed25519 -out bundle-key.pem && chmod 600 bundle-key.pem
    openssl pkey -in bundle-key.pem -pubout -out bundle-key.pub
    openssl pkeyutl -verify -pubin -inkey bundle-key.pub -rawin -in manifest.json -sigfile manifest.sig
"""

import dataclasses
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from components.common.environment import SIGNING_KEY
from components.common.errors import BundleError, InputError
from components.common.limits import MAX_KEY_BYTES

SIGNATURE = "manifest.sig"
SIGNATURE_BYTES = 64
#: Variables with the path of the signing key's file, and the passphrase of an encrypted key.
KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE = "SRS_SIGNING_KEY_FILE", "SRS_SIGNING_PASSPHRASE"
#: Permission bits that a private key's file may not have: more than read access by the group, or any by others.
TOO_OPEN = 0o037
_SIGN_AGAIN = "Sign it: `srs promote VERSION --reason TEXT --sign KEY`."


@dataclasses.dataclass(frozen=True, slots=True)
class PublicKey:
    """Verifies bundles; ``fingerprint`` is the SHA-256 of the key's DER."""

    key: Ed25519PublicKey
    fingerprint: str

    @classmethod
    def of(cls, key: Ed25519PublicKey) -> Self:
        """The key with its fingerprint."""
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(key, hashlib.sha256(der).hexdigest())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a PEM file; raises ``InputError`` ``PUBLIC_KEY`` where it holds no Ed25519 public key."""
        hint = "`openssl pkey -in KEY -pubout -out FILE` derives it from a private key."
        try:
            key = serialization.load_pem_public_key(_key_bytes(path))
        except (OSError, ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise InputError("PUBLIC_KEY", f"{path} contains no Ed25519 public key, or cannot be read", hint)
        return cls.of(key)

    def check(self, content: bytes, signature: bytes | None) -> None:
        """Raises ``BundleError`` ``BUNDLE_UNSIGNED`` or ``BUNDLE_SIGNATURE`` unless this key signed ``content``."""
        if signature is None:
            message = f"the bundle is not signed: there is no {SIGNATURE} beside its manifest"
            raise BundleError("BUNDLE_UNSIGNED", message, _SIGN_AGAIN)
        try:
            self.key.verify(signature, content)
        except InvalidSignature:
            message = f"{SIGNATURE} is not this key's signature of the bundle"
            raise BundleError("BUNDLE_SIGNATURE", message, f"Give the signer's public key, or: {_SIGN_AGAIN}") from None


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs bundles."""

    key: Ed25519PrivateKey = dataclasses.field(repr=False)

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads a PEM file (PKCS #8); ``SRS_SIGNING_PASSPHRASE`` holds the passphrase of an encrypted key.

        Raises
        ------
        InputError
            ``SIGNING_KEY`` where others may read the file, or where it holds no Ed25519 private key.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = _key_bytes(path)
        except (OSError, ValueError):
            raise _no_key(f"{path} cannot be read as a key") from None
        if mode & TOO_OPEN:
            message = f"the private key {path} is accessible to other users than its owner"
            raise InputError("SIGNING_KEY", message, f"chmod 600 {path}")
        return cls.parse(content, environment)

    @classmethod
    def parse(cls, pem: bytes, environment: Mapping[str, str] = os.environ) -> Self:
        """Parses the bytes of a PEM file; raises ``InputError`` ``SIGNING_KEY``."""
        encrypted, passphrase = b"ENCRYPTED" in pem, environment.get(PASSPHRASE_VARIABLE, "")
        if encrypted and not passphrase:
            hint = f"Set {PASSPHRASE_VARIABLE}, or sign with a key that is not encrypted."
            raise InputError("SIGNING_KEY", "the private key is encrypted", hint)
        try:
            key = serialization.load_pem_private_key(pem, passphrase.encode() if encrypted else None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise _no_key("the private key cannot be read, or its passphrase is wrong") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise _no_key("the private key is not an Ed25519 key")
        return cls(key)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """The key of ``SRS_SIGNING_KEY`` (PEM) or ``SRS_SIGNING_KEY_FILE``; None where neither is set."""
        if pem := environment.get(SIGNING_KEY):
            return cls.parse(pem.encode(), environment)
        path = environment.get(KEY_FILE_VARIABLE)
        return cls.read(Path(path), environment) if path else None

    def sign(self, content: bytes) -> bytes:
        """The signature of ``content``: 64 bytes."""
        return self.key.sign(content)

    @property
    def public(self) -> PublicKey:
        """The public key, which verifies the signatures."""
        return PublicKey.of(self.key.public_key())


def _no_key(message: str) -> InputError:
    return InputError("SIGNING_KEY", message, "`openssl genpkey -algorithm ed25519 -out KEY` creates one.")


def _key_bytes(path: Path) -> bytes:
    """The bytes of a key file, which may be a link as in a mounted secret; ``ValueError`` where it is too large."""
    if not path.is_file():
        raise ValueError
    with path.open("rb") as file:
        content = file.read(MAX_KEY_BYTES + 1)
    if len(content) > MAX_KEY_BYTES:
        raise ValueError
    return content
