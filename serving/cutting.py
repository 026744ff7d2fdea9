"""Cuts studies in another process with limits on time and memory, so that a caller's files cannot harm the server.

``cut_study``, by which training cuts too, runs there; studies are sent to it and crops returned as bytes.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.common.contained import Budget, Message, Stopped, call, warm_up
from components.common.errors import InputError, TumourError
from components.common.limits import MIB, STUDY_BYTES, STUDY_BYTES_PER_SECOND, STUDY_SECONDS
from components.common.settings import IMAGE_SIZE_PX, PreprocessSettings
from components.imaging.crop import ImageDefinition
from serving.dicom import Cut, StudyRefused, cut_study
from serving.payload import Study

#: Fields of a study that are sent as JSON.
OPTIONS = ("roi", "rtstruct_uid")


class RefusedAt(Exception):
    """A study of a request that cannot be answered: its position, and why."""

    def __init__(self, index: int, error: InputError) -> None:
        super().__init__(index)
        self.index, self.error = index, error


def cut_contained(
    studies: Sequence[Study], settings: PreprocessSettings, definition: ImageDefinition
) -> list[list[Cut]]:
    """The result of ``cut_study`` for each study of a request, all within one budget.

    Raises
    ------
    RefusedAt
        With the error of ``cut_study`` for the first study that is refused.
    InputError
        ``STUDY_TOO_COSTLY`` if they take more time or memory than studies of their size should.
    """
    files = [study.files if study.zipped is None else (study.zipped,) for study in studies]
    descriptions = [
        {**{name: getattr(study, name) for name in OPTIONS}, "is_zip": study.zipped is not None, "files": len(of_one)}
        for study, of_one in zip(studies, files, strict=True)
    ]
    head = {"studies": descriptions, "settings": settings.to_dict(), "definition": definition.to_dict()}
    parts = [data for of_one in files for data in of_one]
    seconds = STUDY_SECONDS + sum(map(len, parts)) / STUDY_BYTES_PER_SECOND
    try:
        result, crops = call(work, head, parts, Budget(seconds, STUDY_BYTES))
    except Stopped as error:
        raise _too_costly(error.reason, seconds) from None
    waiting = iter(crops)
    cuts = [[_cut_from_dict(one, waiting) for one in of_study] for of_study in result["cuts"]]
    if refused := result["refused"]:
        raise RefusedAt(len(cuts) - 1, _error_from_dict(refused, cuts[-1]))
    return cuts


def start_workers(count: int) -> None:
    """Starts ``count`` processes that cut, so that the first callers need not wait for them."""
    warm_up(work, count)


def work(head: dict[str, Any], parts: list[bytes]) -> Message:
    """The contained function: the cuts of each study up to the first that is refused, and their crops in that order."""
    settings, definition = PreprocessSettings(**head["settings"]), ImageDefinition.from_dict(head["definition"])
    waiting, cuts, refused = iter(parts), [], None
    for described in head["studies"]:
        try:
            cuts.append(cut_study(_study_of(described, waiting), settings, definition))
        except InputError as error:
            cuts.append(list(error.cuts) if isinstance(error, StudyRefused) else [])
            refused = _error_to_dict(error)
            break
    crops = [np.ascontiguousarray(cut.crop, "<f4").tobytes() for one in cuts for cut in one if cut.crop is not None]
    return {"cuts": [[_cut_to_dict(cut) for cut in one] for one in cuts], "refused": refused}, crops


def _study_of(described: dict[str, Any], waiting: Iterator[bytes]) -> Study:
    options = {name: described[name] for name in OPTIONS}
    files = tuple(next(waiting) for _ in range(described["files"]))
    return Study(zipped=files[0], **options) if described["is_zip"] else Study(files=files, **options)


def _cut_to_dict(cut: Cut) -> dict[str, Any]:
    fields = {field.name: getattr(cut, field.name) for field in dataclasses.fields(Cut)}
    return fields | {"crop": cut.crop is not None, "refusal": cut.refusal and _error_to_dict(cut.refusal)}


def _cut_from_dict(fields: dict[str, Any], crops: Iterator[bytes]) -> Cut:
    crop = np.frombuffer(next(crops), "<f4").reshape(IMAGE_SIZE_PX, IMAGE_SIZE_PX) if fields["crop"] else None
    refusal = fields["refusal"] and TumourError(*fields["refusal"]["error"])
    return Cut(**{**fields, "crop": crop, "refusal": refusal, "warnings": tuple(fields["warnings"])})


def _error_to_dict(error: InputError) -> dict[str, Any]:
    offer = error.offer if isinstance(error, StudyRefused) else None
    return {"error": [error.code, error.safe_message, error.hint], "offer": offer}


def _error_from_dict(fields: dict[str, Any], cuts: Sequence[Cut]) -> InputError:
    error = TumourError(*fields["error"])
    return error if fields["offer"] is None else StudyRefused(error, cuts, fields["offer"])


def _too_costly(reason: str, seconds: float) -> InputError:
    if reason == "crash":
        return InputError("DICOM_DAMAGED", "a file of the study crashes the DICOM reader", "Export the study again.")
    most = f"{seconds:.2g} s of a processor" if reason == "time" else f"{STUDY_BYTES / MIB:g} MiB of memory"
    hint = "Send the RTSTRUCT and the CT slices around the tumours only, fewer GTVs at once, or the crops themselves."
    return InputError("STUDY_TOO_COSTLY", f"reading what was sent took more than {most}", hint)
