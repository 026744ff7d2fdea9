"""KFP component that writes a synthetic cohort for demos, tests and smoke runs on a cluster."""

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def phantom(
    cohort_uri: str,
    seed: int,
    tumours: int,
    patients: int,
    signal: float,
    patient_effect: float,
    centres: int,
    centre_effect: float,
    contrast_confounder: float,
    summary: dsl.Output[dsl.HTML],
) -> None:
    """Writes a cohort of planning CT, RTSTRUCT and table to ``cohort_uri``, labelled SYNTHETIC."""
    from components.common.steps import step
    from components.phantom.faults import Faults
    from components.phantom.step import run

    with step("phantom") as progress:
        faults = Faults(patient_effect, centres, centre_effect, contrast_confounder)
        run(cohort_uri, seed, tumours, patients, signal, faults, summary.path, progress)
