"""The KServe model: decodes, cuts, answers and encodes a request in a worker thread, off the event loop."""

import asyncio
import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import kserve
import numpy as np
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.settings import StudySettings
from serving import telemetry
from serving.dicom import Cut, StudyRefused, cut_study
from serving.errors import InstanceRefused
from serving.payload import Query, Study
from serving.reply import Result, Tumour, Unanswered, check_outputs, model_facts
from serving.runtime import Ensemble

#: Crops copied and worked on at once, so that a large batch needs little more memory than its body.
CHUNK = 16
#: Least brightest value by which a crop without anything below 0 or above 255 is taken for a picture of 8 bits: soft
#: tissue stays far below it, bone comes with values far above 255, and noise, fat or air with values below 0.
WHITE_8_BIT = 200
#: Of a crop in HU, by which drift from the training crops is told.
STATISTICS = ("mean_hu", "sd_hu")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A request still encoded: ``decode`` reads it, ``encode`` writes what comes of it."""

    decode: Callable[[], Query]
    encode: Callable[[Result, Query, dict[str, Any]], Any]


class Predictor(kserve.Model):  # type: ignore[misc]
    """An opened bundle behind KServe's protocols.

    Parameters
    ----------
    name
        Model name in the addresses.
    ensemble
        The opened bundle: its golden case was reproduced.
    version
        Registry version, or "" where none was given.
    workers
        Requests worked on at once; the others wait.
    """

    def __init__(self, name: str, ensemble: Ensemble, version: str, workers: int) -> None:
        super().__init__(name)
        self.ensemble = ensemble
        self.version = version
        self.facts = model_facts(ensemble.manifest, name, version)
        self.preprocess_settings = StudySettings.from_dict(ensemble.manifest.settings).preprocess
        # Python reads one JSON at a time anyhow, and as objects it takes many times its bytes.
        self._decoding = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="predict")

    def load(self) -> bool:
        """Changes nothing: the server says when the model is ready, and KServe calls this for one that is not."""
        return bool(self.ready)

    def drain(self) -> None:
        """Waits for the jobs at work."""
        self._pool.shutdown(wait=True)

    async def predict(self, payload: Job, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002
        """Works on a ``Job`` in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._work, payload)

    def _work(self, job: Job) -> Any:
        with self._decoding:
            query = _decoded(job)
        check_outputs(query.outputs)
        return job.encode(self.answer(query), query, self.facts)

    def answer(self, query: Query) -> Result:
        """Answers all crops of a query together.

        Raises
        ------
        InputError
            As ``cut_study`` and ``Ensemble.answer``.
        """
        cuts = [(index, cut) for index, instance in enumerate(query.instances) for cut in self._cut(index, instance)]
        found = [(index, cut, cut.crop) for index, cut in cuts if cut.crop is not None]
        tumours = [
            tumour for start in range(0, len(found), CHUNK) for tumour in self._answer(found[start : start + CHUNK])
        ]
        return Result(tuple(tumours), tuple(unanswered(cuts)))

    def _answer(self, found: list[tuple[int, Cut, NDArray[np.float32]]]) -> list[Tumour]:
        crops = np.stack([crop for _, _, crop in found])
        answers = self.ensemble.answer(crops)
        places = percentiles(crops, self.ensemble.manifest.training_crops)
        drifts = [bool(((of_one < 0) | (of_one > 100)).any()) for of_one in places.T]
        tumours = [
            Tumour(index, answer, cut.roi_name, cut.slice_sop_instance_uid, _warnings(cut, drift), cut.roi_number)
            for (index, cut, _), answer, drift in zip(found, answers, drifts, strict=True)
        ]
        _count(tumours, places)
        return tumours

    def _cut(self, index: int, instance: NDArray[np.float32] | Study) -> list[Cut]:
        if not isinstance(instance, Study):
            return [Cut("", "", instance, warnings=("INPUT_8_BIT",) if is_8_bit(instance) else ())]
        try:
            return cut_study(instance, self.preprocess_settings, self.ensemble.definition)
        except StudyRefused as error:
            told = [dataclasses.asdict(one) for one in unanswered((index, cut) for cut in error.cuts)]
            raise InstanceRefused(error, index, told, error.offer) from None
        except InputError as error:
            raise InstanceRefused(error, index) from None


def unanswered(cuts: Iterable[tuple[int, Cut]]) -> Iterator[Unanswered]:
    """What a caller is told of the tumours without a crop, each with the instance that it is of."""
    for index, cut in cuts:
        if why := cut.refusal:
            yield Unanswered(index, cut.roi_name, why.code, why.safe_message, why.hint, cut.roi_number)


def _decoded(job: Job) -> Query:
    """What the job asks; an error lets go of what was decoded, which its traceback would hold beyond the lock."""
    try:
        return job.decode()
    except InputError as error:
        error.__context__ = None
        raise error.with_traceback(None) from None


def is_8_bit(crop: NDArray[np.float32]) -> bool:
    """Whether a crop looks like a picture of 0 to 255 (``WHITE_8_BIT``) rather than like HU [151, 151]."""
    return bool(crop.min() >= 0 and WHITE_8_BIT <= crop.max() <= 255)


def percentiles(crops: NDArray[np.float32], training: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
    """Where the crops lie among the training crops.

    Parameters
    ----------
    crops
        [n, 151, 151] HU.
    training
        The manifest's ``training_crops``.

    Returns
    -------
    NDArray
        [statistics, n]: percentile of each crop's mean and of its standard deviation in HU; -1 where it is below all
        training crops, 101 where above.
    """
    found = {"mean_hu": crops.mean(axis=(1, 2), dtype=np.float64), "sd_hu": crops.std(axis=(1, 2), dtype=np.float64)}
    return np.stack([_percentile(found[name], training[name]) for name in STATISTICS])


def _percentile(values: NDArray[np.float64], known: Mapping[str, float]) -> NDArray[np.float64]:
    percents = np.array([float(percent) for percent in known])
    levels = np.array(list(known.values()))
    order = np.argsort(percents)
    places = np.interp(values, levels[order], percents[order])
    # The levels are kept to a thousandth of a HU.
    return np.where(values < levels.min() - 1e-3, -1.0, np.where(values > levels.max() + 1e-3, 101.0, places))


def _warnings(cut: Cut, drift: bool) -> tuple[str, ...]:
    return (*cut.warnings, *(("INPUT_DRIFT",) if drift else ()))


def _count(tumours: list[Tumour], places: NDArray[np.float64]) -> None:
    for name, of_crops in zip(STATISTICS, places, strict=True):
        for place in of_crops:
            telemetry.DRIFT.labels(name).observe(float(place))
    for tumour in tumours:
        telemetry.SCORES.observe(tumour.answer.score)
        telemetry.TUMOURS.labels("non-responder" if tumour.answer.non_responder else "responder").inc()
        for code in tumour.warnings:
            telemetry.WARNINGS.labels(code).inc()
