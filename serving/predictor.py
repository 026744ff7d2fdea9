"""The KServe model: decodes, cuts, predicts and encodes a request in worker threads, off the event loop."""

import dataclasses
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.errors import InputError
from components.common.kserve_import import Model
from components.common.limits import LARGE_STUDIES_BYTES
from components.common.settings import StudySettings
from components.model.crop_statistics import ABOVE, BELOW, STATISTICS, percentile_ranks
from components.model.runtime import Ensemble
from serving import telemetry
from serving.cutting import RefusedAt, cut_contained
from serving.dicom import Cut, StudyRefused
from serving.errors import InstanceRefused
from serving.fair_queue import FairPool, Progress
from serving.payload import Query, Study
from serving.reply import INPUT_8_BIT, INPUT_DRIFT, Result, Tumour, Unanswered, check_outputs, model_facts

#: Number of crops copied and predicted at once, so that a large batch needs little more memory than its body.
CHUNK = 16
#: A crop with all values in 0 to 255 and its maximum at least this is taken for an 8-bit picture: in HU, soft tissue
#: stays far below it, bone has values far above 255, and noise, fat and air have values below 0.
WHITE_8_BIT = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A request not yet decoded: ``decode`` reads it, ``encode`` writes its result; it queues in its ``lane``."""

    decode: Callable[[], Query]
    encode: Callable[[Result, Query, dict[str, Any]], Any]
    lane: Hashable = ""


class Predictor(Model):  # type: ignore[misc]
    """An opened bundle behind KServe's protocols.

    Parameters
    ----------
    name
        Model name in the addresses.
    ensemble
        The opened bundle, which has reproduced its golden case.
    version
        Registry version, or "" if none was given.
    workers
        Number of requests decoded and predicted at once, and as many whose studies are cut; others wait.
    """

    def __init__(self, name: str, ensemble: Ensemble, version: str, workers: int) -> None:
        super().__init__(name)
        self.ensemble = ensemble
        self.version = version
        self.facts = model_facts(ensemble.manifest, name, version)
        self.preprocess_settings = StudySettings.from_dict(ensemble.manifest.settings).preprocess
        # Python parses only one JSON at a time anyway, and its objects take many times its size.
        self._decoding = threading.Lock()
        self.progress = Progress()
        # Separate queues: crops need not wait for studies, which take a hundred times as long; nor small for large.
        self._pool = FairPool(workers, "predict", self.progress)
        self._cutters = FairPool(workers, "cut", self.progress)
        self._large = FairPool(1, "cut large", self.progress)

    def load(self) -> bool:
        """Does nothing: KServe calls this for a model that is not ready, but here the server sets ``ready``."""
        return bool(self.ready)

    def drain(self) -> None:
        """Waits for the jobs that have been started."""
        self._large.drain()
        self._cutters.drain()
        self._pool.drain()

    async def predict(self, payload: Job, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002
        """Processes a ``Job`` off the event loop: decodes it, cuts its studies, predicts and encodes."""
        query = await self._pool.run(payload.lane, self._decode, payload, time.perf_counter())
        cuts = _whole_crops(query)
        if len(cuts) < len(query.instances):
            cutters = self._large if size_of(query) >= LARGE_STUDIES_BYTES else self._cutters
            cuts |= await cutters.run(payload.lane, self._cut, query)
        return await self._pool.run(payload.lane, self._answered, payload, query, cuts)

    def _decode(self, job: Job, queued: float) -> Query:
        telemetry.QUEUE.observe(time.perf_counter() - queued)
        with self._decoding:
            query = _decoded(job)
        check_outputs(query.outputs)
        return query

    def _cut(self, query: Query) -> dict[int, list[Cut]]:
        """The cuts of a query's studies, by their positions in it."""
        studies = {index: one for index, one in enumerate(query.instances) if isinstance(one, Study)}
        try:
            results = cut_contained(list(studies.values()), self.preprocess_settings, self.ensemble.definition)
        except RefusedAt as refused:
            raise _refused(refused.error, list(studies)[refused.index]) from None
        return dict(zip(studies, results, strict=True))

    def _answered(self, job: Job, query: Query, cuts: Mapping[int, Sequence[Cut]]) -> Any:
        in_order = [(index, cut) for index in sorted(cuts) for cut in cuts[index]]
        return job.encode(self.answer(in_order), query, self.facts)

    def answer(self, cuts: Sequence[tuple[int, Cut]]) -> Result:
        """Answers all crops of a query together; raises as ``Ensemble.answer``.

        Parameters
        ----------
        cuts
            Each with the position of its instance in the query.
        """
        whole = [(index, cut, cut.crop) for index, cut in cuts if cut.crop is not None]
        tumours = [
            tumour for start in range(0, len(whole), CHUNK) for tumour in self._answer(whole[start : start + CHUNK])
        ]
        return Result(tuple(tumours), tuple(unanswered(cuts)))

    def _answer(self, whole: list[tuple[int, Cut, NDArray[np.float32]]]) -> list[Tumour]:
        crops = np.stack([crop for _, _, crop in whole])
        answers = self.ensemble.answer(crops)
        ranks = percentile_ranks(crops, self.ensemble.manifest.training_crops)
        drifts = [bool(((of_one == BELOW) | (of_one == ABOVE)).any()) for of_one in ranks.T]
        tumours = [
            Tumour(index, answer, cut.roi_name, cut.slice_sop_instance_uid, _warnings(cut, drift), cut.roi_number)
            for (index, cut, _), answer, drift in zip(whole, answers, drifts, strict=True)
        ]
        _count(tumours, ranks)
        return tumours


def size_of(query: Query) -> int:
    """Bytes of a query's studies."""
    studies = [one for one in query.instances if isinstance(one, Study)]
    return sum(len(data) for one in studies for data in ((one.zipped,) if one.zipped is not None else one.files))


def _whole_crops(query: Query) -> dict[int, list[Cut]]:
    """The crops that were sent directly, by their positions in the query."""
    crops = {index: one for index, one in enumerate(query.instances) if not isinstance(one, Study)}
    warnings = {index: (INPUT_8_BIT,) if is_8_bit(crop) else () for index, crop in crops.items()}
    return {index: [Cut("", "", crop, warnings=warnings[index])] for index, crop in crops.items()}


def _refused(error: InputError, index: int) -> InstanceRefused:
    if not isinstance(error, StudyRefused):
        return InstanceRefused(error, index)
    listed = [dataclasses.asdict(one) for one in unanswered((index, cut) for cut in error.cuts)]
    return InstanceRefused(error, index, listed, error.offer)


def unanswered(cuts: Iterable[tuple[int, Cut]]) -> Iterator[Unanswered]:
    """The tumours without a crop, in the form of a reply, each with the position of its instance."""
    for index, cut in cuts:
        if why := cut.refusal:
            yield Unanswered(index, cut.roi_name, why.code, why.safe_message, why.hint, cut.roi_number)


def _decoded(job: Job) -> Query:
    """The job's query; drops an error's traceback, which would hold decoded values after the lock is released."""
    try:
        return job.decode()
    except InputError as error:
        error.__context__ = None
        raise error.with_traceback(None) from None


def is_8_bit(crop: NDArray[np.float32]) -> bool:
    """Whether a crop looks like a picture of 0 to 255 (``WHITE_8_BIT``) rather than like HU [151, 151]."""
    return bool(crop.min() >= 0 and WHITE_8_BIT <= crop.max() <= 255)


def _warnings(cut: Cut, drift: bool) -> tuple[str, ...]:
    return (*cut.warnings, *((INPUT_DRIFT,) if drift else ()))


def _count(tumours: list[Tumour], ranks: NDArray[np.float64]) -> None:
    for name, of_crops in zip(STATISTICS, ranks, strict=True):
        for rank in of_crops:
            telemetry.DRIFT.labels(name).observe(float(rank))
    for tumour in tumours:
        telemetry.SCORES.observe(tumour.answer.score)
        telemetry.TUMOURS.labels("non-responder" if tumour.answer.non_responder else "responder").inc()
        for code in tumour.warnings:
            telemetry.WARNINGS.labels(code).inc()
