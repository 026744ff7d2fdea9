"""The pipeline ``phantom``: a synthetic cohort at a URI."""

from kfp import dsl

from components.phantom.component import phantom as write_phantom

NAME = "phantom"


@dsl.pipeline(name=NAME, description="Writes a SYNTHETIC cohort of planning CT, RTSTRUCT and table.")
def phantom(cohort_uri: str, seed: int = 1, tumours: int = 110, patients: int = 89, signal: float = 1.0) -> None:
    """Writes a synthetic cohort.

    Args:
        cohort_uri: Folder or s3:// prefix to write to.
        seed: Seed of the whole cohort; the same seed writes the same bytes.
        tumours: Eligible tumours; excluded ones come on top.
        patients: Patients of the eligible tumours.
        signal: Strength of the image's tie to the response; 0 is none.
    """
    write_phantom(
        cohort_uri=cohort_uri, seed=seed, tumours=tumours, patients=patients, signal=signal
    ).set_caching_options(False)
