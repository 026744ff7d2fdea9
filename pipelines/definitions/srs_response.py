"""The pipeline ``srs-response``: cohort -> dataset -> splits -> members -> evaluation -> registry -> KServe."""

from typing import Dict, List

from kfp import dsl, kubernetes

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.preprocess.component import fingerprint, preprocess
from components.promote.component import promote
from components.split.component import close_run, split
from components.train.component import train
from pipelines.definitions.pods import Compiled, mount_state, place, place_training, sign_with

NAME = "srs-response"


def build(options: Compiled | None = None) -> dsl.base_component.BaseComponent:
    """The pipeline with the options that KFP fixes when it compiles."""
    options = options or Compiled()

    @dsl.pipeline(
        name=NAME,
        description=f"Early response of brain metastases to SRS by ensembles of CNNs. Compiled with {options}.",
    )
    def srs_response(
        cohort_uri: str,
        preset: str = "default",
        seed: int = 1,
        groups: int = 0,
        members: int = 0,
        settings: str = "{}",
        members_per_task: int = 25,
        state_uri: str = "",
        experiment: str = "srs-response",
        model_name: str = "srs-response",
        deploy_to: str = "none",
        namespace: str = "srs-response",
        gpu_type: str = "nvidia.com/gpu",
        gpu_count: str = "0",
        cpu: str = "2",
        memory: str = "4G",
        node_selector: Dict[str, str] = {},  # noqa: B006 KFP keeps it as the parameter's default
        tolerations: List[Dict[str, str]] = [],  # noqa: B006
        gather_memory: str = "4G",
    ) -> None:
        """Learns, evaluates, registers and serves an ensemble of CNNs.

        Args:
            cohort_uri: Cohort table, or the folder or s3:// prefix that holds cohort.csv.
            preset: default, paper (everything the paper states) or fast (2 x 3 members).
            seed: Moves training, validation and weights; evaluation draws stay with the study.
            groups: Ensembles, each with its evaluation set; 0 takes the preset's number.
            members: CNNs of an ensemble; 0 takes the preset's number.
            settings: JSON object for all other settings, e.g. {"split": {"split_unit": "tumour"}}.
            members_per_task: Members that one training task, and one GPU, trains.
            state_uri: Folder, PVC path or s3:// prefix that keeps crops and members between runs; empty keeps none.
            experiment: MLflow experiment.
            model_name: Registered model in MLflow.
            deploy_to: none, or kserve to put the champion behind an InferenceService.
            namespace: Kubernetes namespace of the InferenceService.
            gpu_type: Resource name of the GPUs.
            gpu_count: GPUs of one training task, as text; 0 trains on CPU.
            cpu: CPU limit of one training task, as text.
            memory: Memory limit of one training task, as text.
            node_selector: Labels of the nodes that train, e.g. {"gpu": "a100"}; empty lets any node train.
            tolerations: Taints that training tolerates, e.g. [{"key": "gpu", "operator": "Exists"}]; empty is none.
            gather_memory: Memory limit of evaluate and promote, which hold all members at once, as text.
        """
        attempt = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        closing = place(close_run(attempt=attempt, experiment=experiment), options, cpu="500m", memory="1G")
        with dsl.ExitHandler(closing):
            plan = fingerprint(
                cohort_uri=cohort_uri, preset=preset, seed=seed, groups=groups, members=members, settings=settings
            )
            place(plan, options, cpu="1", memory="2G", identity=True)
            cropped = preprocess(
                cohort_uri=cohort_uri,
                fingerprint=plan.outputs["fingerprint"],
                settings=plan.outputs["preprocess"],
                state_uri=state_uri,
            )
            place(mount_state(cropped, options), options, cpu="2", memory="4G", identity=True).set_caching_options(True)
            drawn = split(
                dataset=cropped.outputs["dataset"],
                settings=plan.outputs["settings"],
                experiment=experiment,
                attempt=attempt,
                members_per_task=members_per_task,
            )
            place(drawn, options, cpu="1", memory="2G")
            with dsl.ParallelFor(drawn.outputs["Output"], parallelism=options.parallelism or None) as pack:
                trained = train(
                    dataset=cropped.outputs["dataset"],
                    splits=drawn.outputs["splits"],
                    pack=pack,
                    state_uri=state_uri,
                    gpu_type=gpu_type,
                    gpu_count=gpu_count,
                    cpu=cpu,
                    memory=memory,
                )
                place_training(trained, options)
                trained.set_accelerator_type(gpu_type).set_accelerator_limit(gpu_count)
                trained.set_cpu_limit(cpu).set_memory_limit(memory)
                kubernetes.add_node_selector_json(trained, node_selector)
                kubernetes.add_toleration_json(trained, tolerations)
            judged = evaluate(
                dataset=cropped.outputs["dataset"],
                splits=drawn.outputs["splits"],
                members=dsl.Collected(trained.outputs["members"]),
            )
            place(judged, options, cpu="2", memory=gather_memory)
            promoted = promote(
                dataset=cropped.outputs["dataset"],
                splits=drawn.outputs["splits"],
                members=dsl.Collected(trained.outputs["members"]),
                evaluation=judged.outputs["evaluation"],
                model_name=model_name,
            )
            place(sign_with(promoted, options), options, cpu="2", memory=gather_memory)
            with dsl.If(deploy_to == "kserve", name="deploy-to-kserve"):
                deployed = deploy(version=promoted.outputs["Output"], model_name=model_name, namespace=namespace)
                place(deployed, options, cpu="1", memory="2G")

    return srs_response
