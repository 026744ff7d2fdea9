"""The predictor's command line: with a public key it serves only signed bundles."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.model.signing import SigningKey
from serving import __main__ as command
from serving.server import PredictorServer
from tests.serving.conftest import free_port


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


@pytest.fixture
def signer(tmp_path) -> SigningKey:
    """A signer, whose public key is in ``signer.pub``."""
    key = Ed25519PrivateKey.generate()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "signer.pub").write_bytes(key.public_key().public_bytes(*form))
    return SigningKey(key)


@pytest.fixture
def served(monkeypatch) -> list[str]:
    """The signers of the bundles that the server would have served."""
    signed: list[str] = []
    monkeypatch.setattr(PredictorServer, "run", lambda server: signed.append(server.model.ensemble.signed_by))
    monkeypatch.setattr("serving.telemetry.configure_logs", lambda _: None)
    return signed


def start(copy: Path, *flags: str) -> int:
    return command.main(["--model-dir", str(copy), "--http-port", str(free_port()), *flags])


def test_serves_only_bundles_signed_by_the_owner_of_the_key(copy, tmp_path, signer, served, capsys):
    flags = ("--public-key", str(tmp_path / "signer.pub"))
    assert start(copy, *flags) == 1
    assert "[BUNDLE_UNSIGNED]" in capsys.readouterr().err
    (copy / "manifest.sig").write_bytes(signer.sign((copy / "manifest.json").read_bytes()))
    assert start(copy, *flags) == 0
    (copy / "manifest.sig").write_bytes(bytes(64))
    assert start(copy, *flags) == 1
    assert "[BUNDLE_SIGNATURE]" in capsys.readouterr().err
    assert served == [signer.public.fingerprint]


def test_a_key_that_cannot_be_read_is_refused_at_once(copy, tmp_path, served, capsys):
    (tmp_path / "empty.pub").write_text("")
    for name in ("absent.pub", "empty.pub"):
        assert start(copy, "--public-key", str(tmp_path / name)) == 2
        assert "[PUBLIC_KEY]" in capsys.readouterr().err
    assert served == []


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_not_taken_for_all_addresses(tmp_path, served, capsys, host):
    assert start(tmp_path / "absent", "--host", host) == 2
    assert "[ADDRESS_INVALID]" in capsys.readouterr().err
    assert served == []


def test_a_mounted_key_is_used_by_default(copy, tmp_path, signer, served, monkeypatch):
    assert start(copy) == 0
    monkeypatch.setattr(command, "MOUNTED_KEY", tmp_path / "signer.pub")
    assert start(copy) == 1
    assert served == [""]


def test_a_dangling_link_to_a_mounted_key_is_not_taken_for_no_key(copy, tmp_path, served, monkeypatch):
    (tmp_path / "mounted.pub").symlink_to("nothing")
    monkeypatch.setattr(command, "MOUNTED_KEY", tmp_path / "mounted.pub")
    assert start(copy) == 2
    assert served == []
