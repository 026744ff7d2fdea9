"""KFP components: the plan of a run (its settings and the cohort's fingerprint), and the dataset of crops."""

from typing import NamedTuple

from kfp import dsl

from components.common.image import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def fingerprint(
    cohort_uri: str, preset: str, seed: int, groups: int, members: int, settings: str, for_validation: bool = False
) -> NamedTuple("Plan", [("fingerprint", str), ("settings", str), ("preprocess", str)]):
    """Checks every setting and the network, then digests the cohort's table and objects. Never cached."""
    from components.common.presets import overrides_in, require_used_by_validation, resolve_parameters
    from components.common.steps import step
    from components.model.own_network import check_network
    from components.preprocess.step import plan

    with step("fingerprint"):
        if for_validation:
            require_used_by_validation(overrides_in(settings))
        check_network(resolve_parameters(preset, seed, groups, members, settings))
        return plan(cohort_uri, preset, seed, groups, members, settings)


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def preprocess(
    cohort_uri: str,
    fingerprint: str,
    settings: str,
    state_uri: str,
    dataset: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.HTML],
) -> None:
    """Cuts one crop in HU per tumour and applies the study's exclusions. Cached by its inputs."""
    from components.common.steps import step
    from components.preprocess.step import run

    with step("preprocess") as progress:
        run(cohort_uri, fingerprint, settings, state_uri, dataset.path, summary.path, progress)
