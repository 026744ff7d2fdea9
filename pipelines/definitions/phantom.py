"""The pipeline ``phantom``: a synthetic cohort at a URI."""

from kfp import dsl

from components.phantom.component import phantom as write_phantom
from pipelines.definitions.pods import Compiled, place

NAME = "phantom"


def build(options: Compiled | None = None) -> dsl.base_component.BaseComponent:
    """The pipeline with the options that KFP fixes when it compiles."""
    options = options or Compiled()

    @dsl.pipeline(
        name=NAME,
        description=f"Writes a SYNTHETIC cohort of planning CT, RTSTRUCT and table. Compiled with {options}.",
    )
    def phantom(cohort_uri: str, seed: int = 1, tumours: int = 110, patients: int = 89, signal: float = 1.0) -> None:
        """Writes a synthetic cohort.

        Args:
            cohort_uri: Folder or s3:// prefix to write to.
            seed: Seed of the whole cohort; the same seed writes the same bytes.
            tumours: Eligible tumours; excluded ones come on top.
            patients: Patients of the eligible tumours.
            signal: Strength of the image's tie to the response; 0 is none.
        """
        written = write_phantom(cohort_uri=cohort_uri, seed=seed, tumours=tumours, patients=patients, signal=signal)
        place(written, options, cpu="1", memory="2G")

    return phantom
