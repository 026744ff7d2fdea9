"""Builds the images: ``python infra/images/build.py [--engine podman|buildah|docker] ...``; prints sizes and times.

Needs an engine and, for the first layer, a package index. ``--option`` passes what your site needs to the engine:
``--option=--volume=/etc/pip.conf:/etc/pip.conf:ro`` or ``--option=--network=host``.
"""

import argparse
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
BASE = "docker.io/library/python:3.11-slim-bookworm"
#: JAX supports Python 3.11 only in older versions; the one for GPUs is the newest.
CUDA_BASE = "docker.io/library/python:3.12-slim-bookworm"
IMAGES = ("pipeline", "predictor")


def name_of(image: str, given: argparse.Namespace) -> str:
    """Full name of an image."""
    return f"{given.prefix}{image}:{given.tag}"


def build(image: str, given: argparse.Namespace) -> float:
    """Builds one image and returns the seconds that it took."""
    arguments = {"BASE": given.base or BASE, "VERSION": VERSION, "REVISION": revision()}
    if image == "pipeline" and given.cuda:
        arguments |= {"BASE": given.base or CUDA_BASE, "LOCK": "pipeline-cuda.lock"}
    options = [*given.option, *(f"--build-arg={key}={value}" for key, value in arguments.items())]
    if Path(given.engine).name == "buildah":
        options.append("--layers")  # the other engines store layers by default
    started = time.monotonic()
    containerfile = ROOT / "infra" / "images" / f"Containerfile.{image}"
    command = [given.engine, "build", *options, "--file", containerfile, "--tag", name_of(image, given), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    return time.monotonic() - started


def size(image: str, given: argparse.Namespace) -> str:
    """Unpacked size of an image, as the engine reports it."""
    command = [given.engine, "images", "--format", "{{.Size}}", name_of(image, given)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def revision() -> str:
    """The commit that is built, with ``-dirty`` if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def main(arguments: list[str]) -> int:
    """Builds the requested images."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--engine", default="podman", help="podman (default), buildah, docker, or a path to one of them")
    flags.add_argument(
        "--prefix", default="localhost/srs-response-", help="prefix of the images' names, including the registry"
    )
    flags.add_argument("--tag", default=VERSION, help=f"default {VERSION}")
    flags.add_argument("images", nargs="*", help="pipeline, predictor; both by default")
    flags.add_argument("--base", help=f"a Debian with Python 3.11 to 3.13; default {BASE}, with --cuda {CUDA_BASE}")
    flags.add_argument("--cuda", action="store_true", help="the pipeline's image with JAX for NVIDIA GPUs")
    flags.add_argument(
        "--option", action="append", default=[], help="option of the engine's build command; may be repeated"
    )
    given = flags.parse_args(arguments)
    try:
        for image in given.images or IMAGES:
            seconds = build(image, given)
            print(f"built {name_of(image, given)} in {seconds:.1f} s, {size(image, given)}", flush=True)
    except FileNotFoundError:
        print(f"{given.engine} is not installed; choose another by --engine", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print(f"{given.engine} failed; its error is above, and infra/README.md lists options", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
