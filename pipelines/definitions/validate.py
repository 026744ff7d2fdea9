"""The pipeline ``validate``: cohort -> dataset -> a registered model's performance on it."""

from kfp import dsl

from components.preprocess.component import fingerprint, preprocess
from components.validate.component import validate as evaluate_registered
from pipelines.definitions.options import Compiled
from pipelines.definitions.parameters import VALIDATE_DEFAULTS, ValidateParameters, docstring
from pipelines.definitions.pods import configure_pod, mount_state

NAME = "validate"


def build(options: Compiled | None = None) -> dsl.base_component.BaseComponent:
    """The pipeline, with the options that are fixed when it is compiled."""
    options = options or Compiled()

    def validate(
        cohort_uri: str,
        version: str = VALIDATE_DEFAULTS.version,
        name: str = VALIDATE_DEFAULTS.name,
        seen: str = VALIDATE_DEFAULTS.seen,
        settings: str = VALIDATE_DEFAULTS.settings,
        state_uri: str = VALIDATE_DEFAULTS.state_uri,
        experiment: str = VALIDATE_DEFAULTS.experiment,
        model_name: str = VALIDATE_DEFAULTS.model_name,
    ) -> None:
        plan = fingerprint(
            cohort_uri=cohort_uri,
            preset="default",
            seed=1,
            groups=0,
            members=0,
            settings=settings,
            for_validation=True,
        )
        configure_pod(plan, options, cpu="1", memory="2G", identity=True)
        cropped = preprocess(
            cohort_uri=cohort_uri,
            fingerprint=plan.outputs["fingerprint"],
            settings=plan.outputs["preprocess"],
            state_uri=state_uri,
        )
        configure_pod(mount_state(cropped, options), options, cpu="2", memory="4G", identity=True)
        cropped.set_caching_options(True)
        evaluated = evaluate_registered(
            dataset=cropped.outputs["dataset"],
            settings=plan.outputs["settings"],
            model_name=model_name,
            version=version,
            name=name,
            seen=seen,
            experiment=experiment,
            attempt=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        )
        configure_pod(evaluated, options, cpu="2", memory="4G")

    validate.__doc__ = docstring("Evaluates a registered model on another labelled cohort.", ValidateParameters)
    description = f"Performance of a registered model on another labelled cohort. Compiled with {options}."
    return dsl.pipeline(validate, name=NAME, description=description)
