"""The pipeline ``srs-response``: cohort -> dataset -> splits -> members -> evaluation -> registry -> KServe."""

from typing import Dict, List

from kfp import dsl, kubernetes

from components.common.defaults import PIPELINE
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.preprocess.component import fingerprint, preprocess
from components.promote.component import promote
from components.split.component import close_run, split
from components.train.component import train
from pipelines.definitions.options import Compiled
from pipelines.definitions.parameters import STUDY_DEFAULTS, StudyParameters, docstring
from pipelines.definitions.pods import configure_pod, configure_training_pod, mount_state, sign_with


def build(options: Compiled | None = None) -> dsl.base_component.BaseComponent:
    """The pipeline, with the options that are fixed when it is compiled."""
    options = options or Compiled()

    def srs_response(
        cohort_uri: str,
        preset: str = STUDY_DEFAULTS.preset,
        seed: int = STUDY_DEFAULTS.seed,
        groups: int = STUDY_DEFAULTS.groups,
        members: int = STUDY_DEFAULTS.members,
        settings: str = STUDY_DEFAULTS.settings,
        members_per_task: int = STUDY_DEFAULTS.members_per_task,
        state_uri: str = STUDY_DEFAULTS.state_uri,
        experiment: str = STUDY_DEFAULTS.experiment,
        model_name: str = STUDY_DEFAULTS.model_name,
        deploy_to: str = STUDY_DEFAULTS.deploy_to,
        namespace: str = STUDY_DEFAULTS.namespace,
        gpu_type: str = STUDY_DEFAULTS.gpu_type,
        gpu_count: str = STUDY_DEFAULTS.gpu_count,
        cpu: str = STUDY_DEFAULTS.cpu,
        memory: str = STUDY_DEFAULTS.memory,
        node_selector: Dict[str, str] = STUDY_DEFAULTS.node_selector,
        tolerations: List[Dict[str, str]] = STUDY_DEFAULTS.tolerations,
        gather_memory: str = STUDY_DEFAULTS.gather_memory,
    ) -> None:
        attempt = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        closing = configure_pod(close_run(attempt=attempt, experiment=experiment), options, cpu="500m", memory="1G")
        with dsl.ExitHandler(closing):
            plan = fingerprint(
                cohort_uri=cohort_uri, preset=preset, seed=seed, groups=groups, members=members, settings=settings
            )
            configure_pod(plan, options, cpu="1", memory="2G", identity=True)
            cropped = preprocess(
                cohort_uri=cohort_uri,
                fingerprint=plan.outputs["fingerprint"],
                settings=plan.outputs["preprocess"],
                state_uri=state_uri,
            )
            configure_pod(
                mount_state(cropped, options), options, cpu="2", memory="4G", identity=True
            ).set_caching_options(True)
            splitting = split(
                dataset=cropped.outputs["dataset"],
                settings=plan.outputs["settings"],
                experiment=experiment,
                attempt=attempt,
                members_per_task=members_per_task,
            )
            configure_pod(splitting, options, cpu="1", memory="2G")
            with dsl.ParallelFor(splitting.outputs["Output"], parallelism=options.parallelism or None) as pack:
                trained = train(
                    dataset=cropped.outputs["dataset"],
                    splits=splitting.outputs["splits"],
                    pack=pack,
                    state_uri=state_uri,
                    gpu_type=gpu_type,
                    gpu_count=gpu_count,
                    cpu=cpu,
                    memory=memory,
                )
                configure_training_pod(trained, options)
                trained.set_accelerator_type(gpu_type).set_accelerator_limit(gpu_count)
                trained.set_cpu_limit(cpu).set_memory_limit(memory)
                kubernetes.add_node_selector_json(trained, node_selector)
                kubernetes.add_toleration_json(trained, tolerations)
            evaluated = evaluate(
                dataset=cropped.outputs["dataset"],
                splits=splitting.outputs["splits"],
                members=dsl.Collected(trained.outputs["members"]),
            )
            configure_pod(evaluated, options, cpu="2", memory=gather_memory)
            promoted = promote(
                dataset=cropped.outputs["dataset"],
                splits=splitting.outputs["splits"],
                members=dsl.Collected(trained.outputs["members"]),
                evaluation=evaluated.outputs["evaluation"],
                model_name=model_name,
            )
            configure_pod(sign_with(promoted, options), options, cpu="2", memory=gather_memory)
            with dsl.If(deploy_to == "kserve", name="deploy-to-kserve"):
                deployed = deploy(version=promoted.outputs["Output"], model_name=model_name, namespace=namespace)
                configure_pod(deployed, options, cpu="1", memory="2G")

    srs_response.__doc__ = docstring("Trains, evaluates, registers and serves an ensemble of CNNs.", StudyParameters)
    description = f"Early response of brain metastases to SRS by ensembles of CNNs. Compiled with {options}."
    return dsl.pipeline(srs_response, name=PIPELINE, description=description)
