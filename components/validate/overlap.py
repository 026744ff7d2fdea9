"""Patients of a cohort whom a model has seen in training or validation, found without their names.

A bundle holds keyed digests of its patients' pseudonyms and of its tumours' images. Pseudonyms can be compared where
both sides made them with the same key; images always, but only the very same planning CT and contour are recognised.
The digests' own key, the name of the study, is in the bundle, so that the cohort may have another.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.dataset import Dataset, Exclusion, Flow
from components.common.artifacts.validation_metrics import Overlap, Seen
from components.common.counted import counted
from components.common.errors import InputError
from components.model.manifest import Manifest
from components.model.seen import crop_digests, patient_digest

_REASON = "of a patient whom the model has seen in training or validation"


def why_unchecked(manifest: Manifest, pseudonym_key: str) -> str:
    """Why patients whom the cohort shares with the model cannot be found by pseudonyms; "" where they can.

    Parameters
    ----------
    manifest
        The model's.
    pseudonym_key
        Fingerprint of the key of the cohort's pseudonyms; "" if unknown.
    """
    if not manifest.pseudonym_key:
        return "the model does not state the key of its pseudonyms"
    if not pseudonym_key:
        return "the cohort's dataset does not state the key of its pseudonyms"
    if manifest.pseudonym_key != pseudonym_key:
        return "the pseudonyms of the model's patients were made with another key than those of the cohort"
    return ""


def unchecked_warning(overlap: Overlap, tumours: int) -> str:
    """What a reader must know where shared patients could not be looked for by pseudonyms; "" where they could.

    Parameters
    ----------
    overlap
        What is known of them.
    tumours
        Number of tumours that were evaluated.
    """
    if overlap.checked:
        return ""
    in_vain = overlap.handling == "exclude" and not overlap.tumours
    asked = " Although seen=exclude was asked for, nobody was left out." if in_vain else ""
    images = "" if overlap.images_checked else " Nor does the model state the images on which it was developed."
    return (
        f"It could not be checked by pseudonyms whether the model has seen patients of this cohort: {overlap.reason}."
        f"{images}{asked} If it has seen some of the patients of the tumours that were evaluated ({tumours}), "
        "its performance is likely to be better than it would be for new patients."
    )


def seen_sentence(overlap: Overlap) -> str:
    """What was compared, and who was recognised and left out."""
    compared = [
        *(["pseudonyms of the patients"] if overlap.checked else []),
        *(["images of the tumours"] if overlap.images_checked else []),
    ]
    if not compared:
        return ""
    how = f"by the {' and the '.join(compared)}"
    if overlap.tumours:
        seen = f"{counted(overlap.tumours, 'tumour')} of {counted(overlap.patients, 'patient')}"
        were = "was" if overlap.tumours == 1 else "were"
        return f"{seen} whom the model has seen in training or validation {were} recognised {how}, and left out"
    return f"nobody was recognised, {how}, whom the model has seen in training or validation"


def seen_tumours(manifest: Manifest, dataset: Dataset) -> NDArray[np.bool_]:
    """For each tumour [n] of a dataset, whether the model has seen its patient, as far as can be recognised."""
    study, patients = manifest.settings["study"], dataset.tumours["patient"].to_numpy()
    images = set(manifest.seen_crops)
    found = np.array([digest in images for digest in crop_digests(study, np.asarray(dataset.crops))], dtype=bool)
    if not why_unchecked(manifest, dataset.pseudonym_key):
        known = set(manifest.seen_patients)
        digests = {name: patient_digest(study, name) for name in set(patients)}
        found |= np.array([digests[name] in known for name in patients], dtype=bool)
    return np.isin(patients, patients[found])


def without_seen(manifest: Manifest, dataset: Dataset, handling: Seen) -> tuple[NDArray[np.bool_], Overlap]:
    """The tumours [n] on which the model may be evaluated, and what is known of the others.

    Parameters
    ----------
    manifest
        The model's.
    dataset
        The cohort.
    handling
        Whether seen patients end the validation or are left out.

    Raises
    ------
    InputError
        ``PATIENTS_SEEN`` where there are some, unless they are to be left out; and where nobody is left.
    """
    reason, seen = why_unchecked(manifest, dataset.pseudonym_key), seen_tumours(manifest, dataset)
    patients, tumours = int(dataset.tumours.loc[seen, "patient"].nunique()), int(seen.sum())
    if seen.all():
        message = f"all tumours of the cohort ({len(seen)}) are of patients whom the model has seen in development"
        raise InputError("PATIENTS_SEEN", message, "Name a cohort of other patients.")
    if tumours and handling == "refuse":
        message = (
            f"{tumours} of the cohort's {counted(len(seen), 'tumour')} {'is' if tumours == 1 else 'are'} of "
            f"{counted(patients, 'patient')} whom the model has seen in"
            " training or validation (recognised by pseudonym or image), so that its performance on them would be too"
            " good"
        )
        hint = "Evaluate it on the others with --seen exclude (parameter seen), or name a cohort of other patients."
        raise InputError("PATIENTS_SEEN", message, hint)
    return ~seen, Overlap(not reason, bool(manifest.seen_crops), reason, handling, patients, tumours)


def evaluated_flow(dataset: Dataset, kept: NDArray[np.bool_]) -> Flow:
    """The dataset's flow, with the tumours that were left out because the model has seen their patients."""
    flow, left_out = dataset.flow, int((~kept).sum())
    if not left_out:
        return flow
    return dataclasses.replace(
        flow,
        exclusions=(*flow.exclusions, Exclusion("PATIENTS_SEEN", _REASON, left_out)),
        used=flow.used - left_out,
        used_patients=int(dataset.tumours.loc[kept, "patient"].nunique()),
    )
