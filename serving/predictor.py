"""The KServe model: decodes, cuts, answers and encodes a request in a worker thread, off the event loop."""

import asyncio
import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import kserve
import numpy as np
from numpy.typing import NDArray

from components.common.settings import StudySettings
from serving import metrics
from serving.dicom import Cut, cut_study
from serving.payload import Query, Study
from serving.reply import Result, Tumour, Unanswered, check_outputs, model_facts
from serving.runtime import Ensemble

#: Crops copied and worked on at once, so that a large batch needs little more memory than its body.
CHUNK = 16


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
        self._preprocess = StudySettings.from_dict(ensemble.manifest.settings).preprocess
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="predict")

    def load(self) -> bool:
        """Changes nothing: the server says when the model is ready, and KServe calls this for one that is not."""
        return bool(self.ready)

    def drain(self) -> None:
        """Waits for the jobs at work."""
        self._pool.shutdown(wait=True)

    async def predict(self, payload: Job, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002
        """Works on a ``Job`` in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(self._work, payload))

    def _work(self, job: Job) -> Any:
        query = job.decode()
        check_outputs(query.outputs)
        return job.encode(self.answer(query), query, self.facts)

    def answer(self, query: Query) -> Result:
        """Answers all crops of a query together.

        Raises
        ------
        InputError
            As ``cut_study`` and ``Ensemble.answer``.
        """
        cuts = [(index, cut) for index, instance in enumerate(query.instances) for cut in self._cut(instance)]
        found = [(index, cut, cut.crop) for index, cut in cuts if cut.crop is not None]
        tumours = [
            tumour for start in range(0, len(found), CHUNK) for tumour in self._answer(found[start : start + CHUNK])
        ]
        unanswered = (Unanswered(index, cut.roi_name, cut.problem) for index, cut in cuts if cut.crop is None)
        return Result(tuple(tumours), tuple(unanswered))

    def _answer(self, found: list[tuple[int, Cut, NDArray[np.float32]]]) -> list[Tumour]:
        crops = np.stack([crop for _, _, crop in found])
        answers = self.ensemble.answer(crops)
        drifts = drifted(crops, self.ensemble.manifest.training_crops)
        tumours = [
            Tumour(index, answer, cut.roi_name, cut.slice_sop_instance_uid, _warnings(cut, bool(drift)))
            for (index, cut, _), answer, drift in zip(found, answers, drifts, strict=True)
        ]
        _count(tumours, crops)
        return tumours

    def _cut(self, instance: NDArray[np.float32] | Study) -> list[Cut]:
        if isinstance(instance, Study):
            return cut_study(instance, self._preprocess, self.ensemble.definition)
        return [Cut("", "", instance)]


def drifted(crops: NDArray[np.float32], training: Mapping[str, Mapping[str, float]]) -> NDArray[np.bool_]:
    """[n]: whether a crop's mean or standard deviation in HU lies outside those of all training crops.

    Parameters
    ----------
    crops
        [n, 151, 151] HU.
    training
        The manifest's ``training_crops``.
    """
    means, deviations = crops.mean(axis=(1, 2), dtype=np.float64), crops.std(axis=(1, 2), dtype=np.float64)
    outside = np.zeros(len(crops), np.bool_)
    for values, percentiles in ((means, training["mean_hu"]), (deviations, training["sd_hu"])):
        # The percentiles are kept to a thousandth of a HU.
        outside |= (values < percentiles["0"] - 1e-3) | (values > percentiles["100"] + 1e-3)
    return outside


def _warnings(cut: Cut, drift: bool) -> tuple[str, ...]:
    return ((cut.warning,) if cut.warning else ()) + (("INPUT_DRIFT",) if drift else ())


def _count(tumours: list[Tumour], crops: NDArray[np.float32]) -> None:
    for tumour, mean in zip(tumours, crops.mean(axis=(1, 2)), strict=True):
        metrics.SCORES.observe(tumour.answer.score)
        metrics.CROP_MEAN.observe(float(mean))
        metrics.TUMOURS.labels("non-responder" if tumour.answer.non_responder else "responder").inc()
        for code in tumour.warnings:
            metrics.WARNINGS.labels(code).inc()
