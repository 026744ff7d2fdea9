"""Runs the preprocessing step on files: reads a cohort, and writes the dataset folder and a summary page."""

import contextlib
import hashlib
import io
import json
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.common.disk import write_whole
from components.common.environment import PSEUDONYM_KEY, PSEUDONYM_KEY_FILE
from components.common.errors import InputError
from components.common.files import digest_of, digest_of_file
from components.common.presets import resolve_parameters
from components.common.settings import StudySettings
from components.common.steps import Progress, at_most_every
from components.common.store.sealed import open_sealed
from components.preprocess.code import code_digest
from components.preprocess.cohort import preprocess_cohort, read_cohort
from components.preprocess.deidentify import Audit
from components.preprocess.enough_centres import require_centres
from components.preprocess.flow_diagram import flow_svg
from components.preprocess.kinds import FLOW_FIGURE, NEW_KEY_LINE
from components.preprocess.locating import fingerprint
from components.preprocess.parts import PartStore
from components.preprocess.summary import facts_of, page_of


def plan(cohort_uri: str, preset: str, seed: int, groups: int, members: int, settings: str) -> tuple[str, str, str]:
    """The cohort's fingerprint, all settings as JSON text, and the settings that crops depend on.

    Splits by centre are refused here, before any image is read, where the table shows too few centres.

    The fingerprint covers the table, the objects that it refers to, the code that reads them and the key of the
    pseudonyms, because KFP's cache takes none of these into account.
    """
    study = resolve_parameters(preset, seed, groups, members, settings)
    if study.split.split_unit == "centre":
        require_centres(read_cohort(cohort_uri).rows, study)
    cohort = fingerprint(cohort_uri)
    parts = {
        "cohort": cohort,
        "code": code_digest(),
        "key": digest_of(os.environ.get(PSEUDONYM_KEY, "")),
    }
    relevant = {"study": study.study, "preprocess": study.preprocess.to_dict()}
    return f"{cohort.partition('-')[0]}-{digest_of(parts)}", study.to_json(), json.dumps(relevant, sort_keys=True)


def run(
    cohort_uri: str,
    cohort_fingerprint: str,
    settings: str,
    state_uri: str,
    dataset: str,
    summary: str,
    progress: Progress,
) -> None:
    """Preprocesses a cohort, audits outputs and log for identity, and removes the outputs if the audit fails."""
    study = StudySettings.from_json(settings)
    store = PartStore(open_sealed(state_uri) if state_uri else None)
    audit = Audit()
    folder = Path(dataset)
    with recorded_output() as log:
        cohort = read_cohort(cohort_uri)
        if cohort.table_digest != cohort_fingerprint.partition("-")[0]:
            raise InputError("COHORT_CHANGED", "the cohort table was changed during the run", "Start the run again.")
        key = pseudonym_key(study.study, synthetic=cohort.is_synthetic)
        throttled = at_most_every(0.5, progress)
        result = preprocess_cohort(cohort, study.preprocess, key, progress=throttled, store=store, audit=audit)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FLOW_FIGURE).write_text(flow_svg(result.flow))
            result.write(folder)
            page = page_of(facts_of(result, cohort_fingerprint), result.flow, synthetic=result.synthetic)
            audit.check([folder], {"summary": page, "the step's log": log.getvalue()})
        except Exception:  # no output may remain that was not audited completely
            shutil.rmtree(folder, ignore_errors=True)
            Path(summary).unlink(missing_ok=True)
            raise
        Path(summary).write_text(page, encoding="utf-8")


@contextlib.contextmanager
def recorded_output() -> Iterator[io.StringIO]:
    """Records all that is printed or logged in the block, in addition to its usual destination."""
    record = io.StringIO()
    handler = logging.StreamHandler(record)
    logging.getLogger().addHandler(handler)
    try:
        with (
            contextlib.redirect_stdout(_Both(sys.stdout, record)),
            contextlib.redirect_stderr(_Both(sys.stderr, record)),
        ):
            yield record
    finally:
        logging.getLogger().removeHandler(handler)


class _Both(io.TextIOBase):
    """A text stream that writes to another stream and to a record."""

    def __init__(self, stream: TextIO, record: io.StringIO) -> None:
        self._stream, self._record = stream, record

    def write(self, text: str) -> int:
        self._record.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


def pseudonym_key(study: str, *, synthetic: bool) -> bytes:
    """The secret that makes pseudonyms: from the environment, or for a phantom the study's name.

    Parameters
    ----------
    study
        The study's name, which serves as the key for synthetic cohorts only.
    synthetic
        Whether no row of the cohort belongs to a real patient.

    Raises
    ------
    InputError
        ``PSEUDONYM_KEY_MISSING`` for real patients without a key; ``PSEUDONYM_KEY_CHANGED`` for a changed key file.
    """
    if key := os.environ.get(PSEUDONYM_KEY):
        return key.encode()
    if synthetic:
        return study.encode()
    if path := os.environ.get(PSEUDONYM_KEY_FILE):
        return _key_of_file(Path(path))
    raise InputError(
        "PSEUDONYM_KEY_MISSING",
        "the cohort has real patients, but no key for their pseudonyms is given",
        f"Set {PSEUDONYM_KEY} to a secret of your own (on a cluster, from a Secret), and store it safely.",
    )


def _key_of_file(path: Path) -> bytes:
    """The key in a file, which is created if missing; a digest beside it reveals a damaged or exchanged file."""
    digest = path.with_name(f"{path.name}.sha256")
    with contextlib.suppress(FileExistsError):  # usually it exists, and a parallel run may create it first
        _make_key(path, digest)
    if digest.exists() and digest.read_text() != digest_of_file(path):
        hint = f"Restore {path.name} from a backup; to use another key on purpose, remove {digest.name}."
        raise InputError("PSEUDONYM_KEY_CHANGED", "the key file of the pseudonyms has changed since it was made", hint)
    return path.read_bytes()


def _make_key(path: Path, digest: Path) -> None:
    key = secrets.token_hex(32).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(key)
    write_whole(digest, hashlib.sha256(key).hexdigest().encode(), mode=0o600)
    print(NEW_KEY_LINE)
