"""The pipeline ``srs-response``: cohort -> dataset -> splits -> members -> evaluation -> registry -> KServe."""

from kfp import dsl, kubernetes

from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.preprocess.component import fingerprint, preprocess
from components.promote.component import promote
from components.split.component import close_run, split
from components.train.component import train

NAME = "srs-response"


def build(parallelism: int = 0, retries: int = 0, timeout_seconds: int = 0) -> dsl.base_component.BaseComponent:
    """The pipeline with the options that KFP fixes when it compiles.

    Parameters
    ----------
    parallelism
        Most packs that train at a time; 0 is no limit.
    retries
        How often a failed training pod is started again.
    timeout_seconds
        Limit of one training pod; 0 is none.
    """
    options = f"{parallelism or 'unlimited'} parallelism, {retries} retries, timeout {timeout_seconds or 'none'}"

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
        memory: str = "8G",
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
            state_uri: Folder, PVC path or s3:// prefix that keeps trained members between runs; empty keeps none.
            experiment: MLflow experiment.
            model_name: Registered model in MLflow.
            deploy_to: none, or kserve to put the champion behind an InferenceService.
            namespace: Kubernetes namespace of the InferenceService.
            gpu_type: Resource name of the GPUs.
            gpu_count: GPUs of one training task, as text; 0 trains on CPU.
            cpu: CPU limit of one training task, as text.
            memory: Memory limit of one training task, as text.
        """
        attempt = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        closing = close_run(attempt=attempt, experiment=experiment).set_caching_options(False)
        with dsl.ExitHandler(closing):
            plan = fingerprint(
                cohort_uri=cohort_uri, preset=preset, seed=seed, groups=groups, members=members, settings=settings
            ).set_caching_options(False)
            cropped = preprocess(
                cohort_uri=cohort_uri, fingerprint=plan.outputs["fingerprint"], settings=plan.outputs["preprocess"]
            )
            drawn = split(
                dataset=cropped.outputs["dataset"],
                settings=plan.outputs["settings"],
                experiment=experiment,
                attempt=attempt,
                members_per_task=members_per_task,
            ).set_caching_options(False)
            with dsl.ParallelFor(drawn.outputs["Output"], parallelism=parallelism or None) as pack:
                trained = train(
                    dataset=cropped.outputs["dataset"],
                    splits=drawn.outputs["splits"],
                    pack=pack,
                    state_uri=state_uri,
                    gpu_type=gpu_type,
                    gpu_count=gpu_count,
                    cpu=cpu,
                    memory=memory,
                ).set_caching_options(False)
                trained.set_accelerator_type(gpu_type).set_accelerator_limit(gpu_count)
                trained.set_cpu_limit(cpu).set_memory_limit(memory)
                if retries:
                    trained.set_retry(retries, backoff_duration="30s", backoff_factor=2)
                if timeout_seconds:
                    kubernetes.set_timeout(trained, timeout_seconds)
            judged = evaluate(
                dataset=cropped.outputs["dataset"],
                splits=drawn.outputs["splits"],
                members=dsl.Collected(trained.outputs["members"]),
            ).set_caching_options(False)
            promoted = promote(
                dataset=cropped.outputs["dataset"],
                splits=drawn.outputs["splits"],
                members=dsl.Collected(trained.outputs["members"]),
                evaluation=judged.outputs["evaluation"],
                model_name=model_name,
            ).set_caching_options(False)
            with dsl.If(deploy_to == "kserve", name="deploy-to-kserve"):
                deploy(
                    version=promoted.outputs["Output"], model_name=model_name, namespace=namespace
                ).set_caching_options(False)

    return srs_response
