"""The pipeline ``phantom``: writes a synthetic cohort to a folder or an S3 prefix."""

from kfp import dsl

from components.phantom.component import phantom as write_phantom
from pipelines.definitions.options import Compiled
from pipelines.definitions.parameters import PHANTOM_DEFAULTS, PhantomParameters, docstring
from pipelines.definitions.pods import configure_pod

NAME = "phantom"


def build(options: Compiled | None = None) -> dsl.base_component.BaseComponent:
    """The pipeline, with the options that are fixed when it is compiled."""
    options = options or Compiled()

    def phantom(
        cohort_uri: str,
        seed: int = PHANTOM_DEFAULTS.seed,
        tumours: int = PHANTOM_DEFAULTS.tumours,
        patients: int = PHANTOM_DEFAULTS.patients,
        signal: float = PHANTOM_DEFAULTS.signal,
        patient_effect: float = PHANTOM_DEFAULTS.patient_effect,
        centres: int = PHANTOM_DEFAULTS.centres,
        centre_effect: float = PHANTOM_DEFAULTS.centre_effect,
        contrast_confounder: float = PHANTOM_DEFAULTS.contrast_confounder,
    ) -> None:
        written = write_phantom(
            cohort_uri=cohort_uri,
            seed=seed,
            tumours=tumours,
            patients=patients,
            signal=signal,
            patient_effect=patient_effect,
            centres=centres,
            centre_effect=centre_effect,
            contrast_confounder=contrast_confounder,
        )
        configure_pod(written, options, cpu="1", memory="2G")

    phantom.__doc__ = docstring("Writes a synthetic cohort.", PhantomParameters)
    description = f"Writes a SYNTHETIC cohort of planning CT, RTSTRUCT and table. Compiled with {options}."
    return dsl.pipeline(phantom, name=NAME, description=description)
