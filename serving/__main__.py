"""``python -m serving --model-dir DIR``: the predictor as its own process.

Exit 0 after SIGTERM, 1 or 2 with an error message, 3 where an accepted request could not be answered within the
grace period after SIGTERM.
"""

import argparse
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from components.common import contained, defaults
from components.common.errors import InputError, SrsError
from components.common.limits import (
    BODIES,
    BODY_SECONDS,
    MAX_BINARY_BODY_BYTES,
    MAX_JSON_BODY_BYTES,
    MIB,
    REQUESTS,
    STUCK_SECONDS,
)
from components.common.processors import processors

if TYPE_CHECKING:
    from components.model.signing import PublicKey

log = logging.getLogger(__name__)
#: Default number of requests processed at once: one is decoded while another's crops are in the graph.
MOST_WORKERS = 2
_HOST = "Give --host an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them."
#: Where infra/ mounts the public key of the bundles' signer; without a file there, unsigned bundles are served too.
MOUNTED_KEY = Path("/etc/srs-response/bundle-key.pub")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    binary_mb, json_mb = MAX_BINARY_BODY_BYTES // MIB, MAX_JSON_BODY_BYTES // MIB
    flags = argparse.ArgumentParser("python -m serving", description=__doc__, allow_abbrev=False)
    flags.add_argument("--model-dir", type=Path, required=True, help="bundle folder, or a folder that contains one")
    flags.add_argument("--model-name", default=defaults.MODEL, help="name of the model in addresses")
    flags.add_argument("--model-version", default="", help="registry version, named in every reply")
    flags.add_argument(
        "--public-key",
        type=Path,
        help=f"public key (PEM): serve only bundles signed with its private key; default: {MOUNTED_KEY}, if it exists",
    )
    flags.add_argument("--host", default=defaults.HOST, help="address to listen on; 0.0.0.0 in a container")
    flags.add_argument(
        "--http-port", type=int, default=defaults.HTTP_PORT, help="0: any free port, which the log names"
    )
    flags.add_argument("--grpc-port", type=_port_or_off, default=None, help="a port, or off (default)")
    flags.add_argument(
        "--workers", type=int, default=0, help="requests processed at once; 0: one per processor, at most 2"
    )
    flags.add_argument("--threads", type=int, default=0, help="threads of one prediction; 0: all processors")
    flags.add_argument(
        "--max-requests", type=int, default=REQUESTS, help="requests accepted at once; more are refused as BUSY"
    )
    flags.add_argument("--max-binary-mb", type=int, default=binary_mb, help="largest binary body, MiB")
    flags.add_argument("--max-json-mb", type=int, default=json_mb, help="largest JSON body or gRPC message, MiB")
    flags.add_argument(
        "--body-seconds", type=float, default=BODY_SECONDS, help="time limit for receiving a body, seconds"
    )
    flags.add_argument(
        "--linger-seconds", type=float, default=2.0, help="seconds to keep serving, not ready, after SIGTERM"
    )
    flags.add_argument(
        "--grace-seconds", type=float, default=25.0, help="seconds to finish the accepted requests after that"
    )
    flags.add_argument(
        "--stuck-seconds",
        type=float,
        default=STUCK_SECONDS,
        help="seconds without a finished request after which the server reports that it is not alive",
    )
    flags.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    return flags


def main(arguments: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    given = parser().parse_args(arguments)
    from serving.telemetry import configure_logs

    configure_logs(given.log_level)
    try:
        if not given.host.strip():  # the system would take it for all addresses
            raise InputError("ADDRESS_INVALID", "--host is empty", _HOST)
        _serve(given)
    except SrsError as error:
        print(error.to_line(), flush=True)
        print(f"{error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _serve(given: argparse.Namespace) -> None:
    from components.model.runtime import Ensemble
    from serving.cutting import start_workers

    key = _public_key(given.public_key)
    ensemble = Ensemble.open(bundle_folder(given.model_dir), threads=given.threads or None, public_key=key)
    log.info("bundle opened", extra={"fields": {"signed_by": ensemble.signed_by or "not verified: no public key"}})
    contained.close()  # processes that read the graph have loaded libraries that those for studies do not need
    workers = given.workers or min(MOST_WORKERS, processors())
    with ThreadPoolExecutor(1) as beside:  # they start while KServe is imported, which takes as long
        beside.submit(start_workers, workers)
        from serving.limits import Limits, Load
        from serving.predictor import Predictor
        from serving.server import Address, PredictorServer

    model = Predictor(given.model_name, ensemble, given.model_version, workers)
    limits = Limits(given.max_binary_mb * MIB, given.max_json_mb * MIB, given.body_seconds)
    load = Load(
        given.max_requests,
        BODIES * limits.binary_bytes,
        given.linger_seconds,
        given.grace_seconds,
        given.stuck_seconds,
    )
    PredictorServer(model, Address(given.host, given.http_port, given.grpc_port), limits, load).run()


def _public_key(given: Path | None) -> "PublicKey | None":
    """The given key, which must be readable, or the mounted key, if there is one."""
    from components.model.signing import PublicKey

    path = given or (MOUNTED_KEY if os.path.lexists(MOUNTED_KEY) else None)
    return PublicKey.read(path) if path else None


def bundle_folder(folder: Path) -> Path:
    """The folder that holds the manifest: ``folder``, or the one below it in an MLflow model (``artifacts/<name>``)."""
    manifests = sorted(folder.glob("artifacts/*/manifest.json"))
    return manifests[0].parent if not (folder / "manifest.json").is_file() and len(manifests) == 1 else folder


def _port_or_off(text: str) -> int | None:
    return None if text == "off" else int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
