"""Signatures of bundles, which are compatible with OpenSSL."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from components.common import limits
from components.common.errors import BundleError, InputError
from components.model import signing
from components.model.bundle_files import Bundle
from components.model.manifest import MANIFEST, read_manifest
from components.model.signing import SIGNATURE, PublicKey, SigningKey

openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


def make_key(folder: Path, *options: str, algorithm: str = "ed25519") -> Path:
    """A private key as the documentation makes it, and ``bundle-key.pub`` beside it."""
    key = folder / "bundle-key.pem"
    run("genpkey", "-algorithm", algorithm, "-out", key, *options)
    password = ("-passin", options[-1]) if options else ()
    run("pkey", "-in", key, "-pubout", "-out", folder / "bundle-key.pub", *password)
    key.chmod(0o600)
    return key


def run(*arguments: object, ok: bool = True) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def refused(folder: Path, key: PublicKey) -> str:
    with pytest.raises(BundleError) as error:
        Bundle.read(folder, key)
    assert error.value.hint
    return error.value.code


def no_key(read, *arguments) -> InputError:
    with pytest.raises(InputError) as error:
        read(*arguments)
    assert error.value.hint
    return error.value


@openssl
def test_only_a_signed_bundle_is_opened(copy, tmp_path):
    key, public = SigningKey.read(make_key(tmp_path)), PublicKey.read(tmp_path / "bundle-key.pub")
    assert refused(copy, public) == "BUNDLE_UNSIGNED"
    (copy / SIGNATURE).write_bytes(key.sign(read_manifest(copy)))
    assert Bundle.read(copy, public).signed_by == public.fingerprint == key.public.fingerprint
    assert Bundle.read(copy).signed_by == ""
    (tmp_path / "other").mkdir()
    make_key(tmp_path / "other")
    assert refused(copy, PublicKey.read(tmp_path / "other" / "bundle-key.pub")) == "BUNDLE_SIGNATURE"


@openssl
def test_openssl_verifies_and_creates_signatures_as_documented(copy, tmp_path):
    key = make_key(tmp_path)
    (copy / SIGNATURE).write_bytes(SigningKey.read(key).sign(read_manifest(copy)))
    (command,) = re.findall(r"openssl (pkeyutl -verify .*)", str(signing.__doc__))
    names = {"bundle-key.pub": tmp_path / "bundle-key.pub", MANIFEST: copy / MANIFEST, SIGNATURE: copy / SIGNATURE}
    assert "Success" in run(*(names.get(word, word) for word in command.split()))
    (copy / SIGNATURE).write_bytes(bytes(64))
    run(*(names.get(word, word) for word in command.split()), ok=False)
    run("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", copy / MANIFEST, "-out", copy / SIGNATURE)
    assert Bundle.read(copy, PublicKey.read(tmp_path / "bundle-key.pub")).signed_by


@openssl
@pytest.mark.parametrize("signature", [b"", bytes(64), b"x" * 63], ids=["empty", "zeros", "short"])
def test_other_bytes_are_not_a_signature(copy, tmp_path, signature):
    make_key(tmp_path)
    (copy / SIGNATURE).write_bytes(signature)
    assert refused(copy, PublicKey.read(tmp_path / "bundle-key.pub")) == "BUNDLE_SIGNATURE"
    (copy / SIGNATURE).write_bytes(bytes(65))
    assert refused(copy, PublicKey.read(tmp_path / "bundle-key.pub")) == "BUNDLE_TOO_LARGE"


@openssl
def test_a_signature_is_verified_before_the_manifest_is_parsed(copy, tmp_path):
    key = SigningKey.read(make_key(tmp_path))
    (copy / SIGNATURE).write_bytes(key.sign(read_manifest(copy)))
    (copy / MANIFEST).write_bytes(b"[" * 100)
    assert refused(copy, key.public) == "BUNDLE_SIGNATURE"


@openssl
def test_a_file_changed_after_signing_is_detected(copy, tmp_path):
    key = SigningKey.read(make_key(tmp_path))
    (copy / SIGNATURE).write_bytes(key.sign(read_manifest(copy)))
    (copy / "ensemble.onnx").write_bytes(b"another")
    assert refused(copy, key.public) == "BUNDLE_DAMAGED"


@openssl
def test_a_signature_may_not_be_a_link(copy, tmp_path):
    key = SigningKey.read(make_key(tmp_path))
    (tmp_path / "elsewhere.sig").write_bytes(key.sign(read_manifest(copy)))
    (copy / SIGNATURE).symlink_to(tmp_path / "elsewhere.sig")
    assert refused(copy, key.public) == "BUNDLE_DAMAGED"


@openssl
def test_an_encrypted_key_needs_its_passphrase(tmp_path):
    key = make_key(tmp_path, "-aes256", "-pass", "pass:right")
    read = SigningKey.read(key, {"SRS_SIGNING_PASSPHRASE": "right"})
    assert read.public.fingerprint == PublicKey.read(tmp_path / "bundle-key.pub").fingerprint
    assert "encrypted" in no_key(SigningKey.read, key, {}).safe_message
    assert "right" not in str(no_key(SigningKey.read, key, {"SRS_SIGNING_PASSPHRASE": "wrong"}))


@openssl
def test_a_passphrase_is_ignored_for_an_unencrypted_key(tmp_path):
    assert SigningKey.read(make_key(tmp_path), {"SRS_SIGNING_PASSPHRASE": "unused"}).public.fingerprint


@openssl
@pytest.mark.parametrize("mode", [0o604, 0o620, 0o666, 0o602])
def test_a_private_key_that_others_may_use_is_refused(tmp_path, mode):
    key = make_key(tmp_path)
    key.chmod(mode)
    assert no_key(SigningKey.read, key).hint == f"chmod 600 {key}"
    key.chmod(0o440)  # as Kubernetes mounts a secret for a group
    SigningKey.read(key)


@openssl
def test_keys_of_another_kind_are_refused(tmp_path):
    key = make_key(tmp_path, algorithm="x25519")
    assert no_key(SigningKey.read, key).code == "SIGNING_KEY"
    assert no_key(PublicKey.read, tmp_path / "bundle-key.pub").code == "PUBLIC_KEY"


@openssl
def test_private_and_public_keys_are_not_interchangeable(tmp_path):
    key = make_key(tmp_path)
    assert no_key(PublicKey.read, key).code == "PUBLIC_KEY"
    (tmp_path / "bundle-key.pub").chmod(0o600)
    assert no_key(SigningKey.read, tmp_path / "bundle-key.pub").code == "SIGNING_KEY"


@openssl
def test_a_key_is_read_up_to_its_limit(tmp_path):
    for path, read in ((make_key(tmp_path), SigningKey.read), (tmp_path / "bundle-key.pub", PublicKey.read)):
        path.write_bytes(path.read_bytes().ljust(limits.MAX_KEY_BYTES, b"\n"))
        read(path)
        path.write_bytes(path.read_bytes() + b"\n")
        no_key(read, path)


def test_unreadable_keys_are_reported(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        assert no_key(PublicKey.read, path).code == "PUBLIC_KEY"
        assert no_key(SigningKey.read, path).code == "SIGNING_KEY"


@openssl
def test_the_promote_steps_key_comes_from_its_environment(tmp_path):
    path = make_key(tmp_path)
    key = SigningKey.read(path)
    by_text = SigningKey.from_environment({"SRS_SIGNING_KEY": path.read_text()})
    by_file = SigningKey.from_environment({"SRS_SIGNING_KEY_FILE": str(path)})
    assert by_text
    assert by_file
    assert by_text.public.fingerprint == by_file.public.fingerprint == key.public.fingerprint
    assert SigningKey.from_environment({}) is None
    assert no_key(SigningKey.from_environment, {"SRS_SIGNING_KEY": "no key"}).code == "SIGNING_KEY"


@openssl
def test_printing_a_key_does_not_reveal_it(tmp_path):
    assert repr(SigningKey.read(make_key(tmp_path))) == "SigningKey()"


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert no_key(SigningKey.read, tmp_path / "pipe").code == "SIGNING_KEY"
    assert no_key(PublicKey.read, tmp_path / "pipe").code == "PUBLIC_KEY"
