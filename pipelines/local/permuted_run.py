"""The permutation test of a finished local run: repeats it, stores the test, rebuilds the report and tells MLflow."""

import itertools
from pathlib import Path

from rich.console import Console

from components.common.artifacts.dataset import Dataset
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.permutation import LEAST_FOR_QUANTILE, NullDistribution, PermutationTest, Repetition
from components.common.artifacts.splits import Splits
from components.common.counted import counted
from components.common.errors import InputError
from components.evaluate.permutation import permutation_test
from components.model.networks.building import network_of
from pipelines.local.permuting import repetitions, stored
from pipelines.local.procedure import Procedure, followed, require_mlflow
from pipelines.local.runs import Run
from pipelines.local.session import rebuild_report

#: Folder of a run that holds its finished permutations.
FOLDER = "permutations"
STEP = "permute"


def permute_run(
    run: Run, console: Console, n: int, *, seed: int, workers: int | None = None
) -> tuple[PermutationTest, Path]:
    """Permutes ``n`` times or continues, and writes the test beside the run, unless a longer one is there.

    All stored permutations of the seed count, even if they are more than ``n``.

    Returns
    -------
    tuple[PermutationTest, Path]
        The test with this seed, and the path of the new report, which shows the longer test if there is one.

    Raises
    ------
    InputError
        As ``Run.paths``, for artifacts of another layout, and as ``repetitions``.
    RegistryError
        Before any training, if MLflow does not answer.
    """
    splits, dataset = Splits.read(run.path("splits")), Dataset.read(run.path("dataset"))
    metrics = Evaluation.read(run.path("evaluation")).metrics
    if splits.tracking.parent:
        require_mlflow()
    procedure = Procedure(dataset, network_of(splits), splits.settings)
    finished = _finished(procedure, run.folder / FOLDER, seed)
    if finished > n:
        console.print(f"{finished} permutations of seed {seed} are stored: all of them count", soft_wrap=True)
    found = _repeat(procedure, run.folder / FOLDER, console, max(n, finished), seed, workers)
    aucs = [(one.evaluation, one.development) for one in found]
    test = permutation_test(dataset, metrics, aucs, seed=seed, redrawn=sum(one.redrawn for one in found))
    shown = _longest(run.folder, test, console)
    file = shown.write(run.folder)
    report = rebuild_report(run)
    if splits.tracking.parent:
        from components.common.tracking_later import log_permutation

        log_permutation(splits.tracking, shown, file)
    return test, report


def _finished(procedure: Procedure, folder: Path, seed: int) -> int:
    """How many permutations of a seed are stored, from the first without a gap."""
    return next(index for index in itertools.count() if stored(procedure, folder, seed, index) is None)


def _longest(folder: Path, test: PermutationTest, console: Console) -> PermutationTest:
    """``test``, or the one in the folder of a run if that is of the same evaluation and has more permutations."""
    try:
        former = PermutationTest.read(folder)
    except InputError:  # damaged: it is replaced
        former = None
    if not former or (former.observed, former.primary_score) != (test.observed, test.primary_score):
        return test
    if former.n <= test.n:
        return test
    console.print(
        f"the report keeps the test of {counted(former.n, 'permutation')} with seed {former.seed} "
        f"(p = {former.p_value:.3g}); the one with seed {test.seed} would replace it with --n {former.n}",
        soft_wrap=True,
    )
    return former


def outcome_text(test: PermutationTest) -> str:
    """The result for the terminal."""
    lines = [f"mean AUC {test.observed:.3f}; {_null_text(test.null)}"]
    if test.development_repeats_evaluation:
        lines.append("each group's development predictions are evaluation predictions of the other: no second test")
    elif test.development_null and test.observed_development is not None:
        own = f"on development predictions {test.observed_development:.3f}"
        lines.append(f"{own}; {_null_text(test.development_null)}")
    if test.distinct is not None:
        lines.append(f"the design allows {counted(test.distinct, 'distinct permutation')}")
    return "\n".join([*lines, f"p = {test.p_value:.3g} of {counted(test.n, 'permutation')}"])


def _null_text(null: NullDistribution) -> str:
    missing = f"no 95 % quantile of fewer than {LEAST_FOR_QUANTILE}"
    quantile = missing if null.quantile_95 is None else f"95 % quantile {null.quantile_95:.3f}"
    return f"with permuted labels {null.mean:.3f}, {quantile}"


def _repeat(
    procedure: Procedure, folder: Path, console: Console, n: int, seed: int, workers: int | None
) -> list[Repetition]:
    def finished() -> str:
        done = sum(stored(procedure, folder, seed, index) is not None for index in range(n))
        return f"{done} of {counted(n, 'permutation')} {'is' if n == 1 else 'are'} stored"

    return followed(
        STEP,
        console,
        lambda progress: repetitions(procedure, n, folder, seed=seed, workers=workers, progress=progress),
        finished,
    )
