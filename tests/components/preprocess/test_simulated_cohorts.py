"""The audit on many simulated cohorts: clean ones pass, and all planted identities are found."""

import csv
import dataclasses
import datetime
import io
import json
import re
from html import escape
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Flow
from components.common.errors import InputError
from components.common.steps import progress_line
from components.imaging.crop import ImageDefinition
from components.preprocess.deidentify import Audit, Pseudonymiser
from components.preprocess.exclusions import REASONS, flow_lines
from components.preprocess.flow_diagram import flow_svg
from components.preprocess.recist import bed10_gy
from components.preprocess.summary import facts_of, page_of
from components.preprocess.table import Row

#: Names that are also words in outputs, and names in many languages.
OUR_WORDS = (
    "Min Max Key Small Read Young Long Table Stem Brown White Gray Page Flow Lung Male Other Image Count Uid Plane"
)
FAMILIES = (
    *OUR_WORDS.split(), "Lindqvist", "Öberg", "Müller", "Grünwald", "O'Brien", "van der Berg", "Meyer-Lüden",
    "Łukasiewicz",
    "García Márquez", "Ó Súilleabháin", "Yıldız", "Strauß", "Núñez", "D'Angelo", "Nguyễn", "Li", "Ng", "Wu", "Kim",
    "Do",
    "Иванова", "Παπαδόπουλος",
)  # fmt: skip
GIVENS = ("Brunhilde", "Åke", "José", "Zoë", "Anna", "Bo", "Søren", "Jean-Luc", "Ayşe", "Мария", "Mary Ann")
FULL = (
    "Hong^Gildong=洪^吉洞=홍^길동",
    "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "Li^Ming=李^明",
    "Wang^XiaoDong=王^小东",
    "金^",
)
PRIVATE = ("18.0", "20.0", "63.0", "FALSE", "HU", "CT", "YES", "1", "0.488281", "512", "60", "24", "3")
SITES = ("University Hospital Uppsala", "Klinikum Neuwald", "서울대학교병원", "St Elsewhere")


def person(rng):
    """A PN value."""
    if rng.random() < 0.15:
        return str(rng.choice(FULL))
    title = str(rng.choice(["", "", "^^Dr", "^^^Jr"]))
    return f"{rng.choice(FAMILIES)}^{rng.choice(GIVENS)}{title}"


def day(rng, first, last):
    start = datetime.date(first, 1, 1)
    return start + datetime.timedelta(days=int(rng.integers((datetime.date(last, 12, 31) - start).days)))


@dataclasses.dataclass
class Cohort:
    """The outputs of a simulated cohort, and an audit that knows its identities."""

    dataset: Dataset
    audit: Audit

    def write(self, folder):
        folder.mkdir(parents=True)
        (folder / "flow.svg").write_text(flow_svg(self.dataset.flow))
        self.dataset.write(folder)

    @property
    def texts(self):
        flow = self.dataset.flow
        lines = [progress_line("preprocess", n, flow.used, f"{n} tumours") for n in range(0, flow.used + 1, 7)]
        page = page_of(facts_of(self.dataset, "0123456789ab" * 5), flow, synthetic=False)
        measures = self.dataset.tumours[["z_mm", "width_mm", "height_mm", "area_mm2"]].head(50).to_dict("records")
        return {
            "summary": page,
            "the step's log": "\n".join(lines),
            "the stored part of a patient": json.dumps([["", one] for one in measures] + [["NO_GTV", {}]]),
        }


def cohort(rng, tumours):
    """A cohort with numbered patients, names that are also words in outputs, and scanners that write numbers."""
    audit, pseudonyms = Audit(), Pseudonymiser(b"key")
    patients = [str(n) for n in rng.choice(np.arange(1, 2001), max(1, tumours * 4 // 5), replace=False)]
    of = [str(patient) for patient in rng.choice(patients, tumours)]
    empty = dict.fromkeys((field.name for field in dataclasses.fields(Row)), "")
    rows = [
        Row(
            **{
                **empty,
                "tumour_id": f"T{n}",
                "patient_id": patient,
                "dicom": f"data/{patient}",
                "centre": site_of(patient),
            }
        )
        for n, patient in enumerate(of)
    ]
    audit.learn_rows(rows, pseudonyms)
    for patient in patients:
        audit.learn(
            {
                person(rng): "PatientName",
                str(rng.choice(PRIVATE)): "private attribute (0043,1063)",
                patient: "PatientID",
            }
        )
        born, seen = day(rng, 1930, 1985), day(rng, 2005, 2025)
        audit.learn(
            {
                f"{born:%Y%m%d}": "PatientBirthDate",
                f"{seen:%Y%m%d}": "StudyDate",
                str(rng.choice(SITES)): "InstitutionName",
            }
        )
        audit.learn({f"{rng.integers(24):02d}{rng.integers(60):02d}{rng.integers(60):02d}.25": "StudyTime"})
    return Cohort(dataset(rng, rows, pseudonyms), audit)


def site_of(patient):
    return SITES[int(patient) % len(SITES)]


def dataset(rng, rows, pseudonyms):
    n = len(rows)

    def some(*values):
        return rng.choice(values, n)

    def measure(low, high):
        return rng.uniform(low, high, n) + np.float64(1e-13)

    dose, fractions = some(18.0, 20.0, 24.0, 63.0), some(1, 3, 5)
    columns = {
        "tumour": [pseudonyms.tumour(row.tumour_id) for row in rows],
        "patient": [pseudonyms.patient(row.patient_id) for row in rows],
        "response": some("CR", "PR", "SD", "PD"), "label": rng.integers(0, 2, n), "diameter_mm": measure(10, 35),
        "follow_up_days": rng.integers(1, 90, n), "primary_site": some("lung", "breast", "other"),
        "location": some("cerebrum", "brain_stem"), "age": some(18.0, 63.0, 60.0, None), "sex": some("male", "female"),
        "kps": some(60.0, 80.0), "primary_controlled": some("yes", "no"), "extracranial_metastases": some("yes", None),
        "systemic_therapy": some("yes", "no"), "total_dose_gy": dose, "fractions": fractions,
        "bed10_gy": [bed10_gy(float(d), int(f)) for d, f in zip(dose, fractions, strict=True)],
        "device": some("linac", "cyberknife"), "roi_planes": rng.integers(3, 40, n),
        "match_level": some("uid", "plane"),
        "z_mm": measure(-2000, 2000), "width_mm": measure(5, 40), "height_mm": measure(5, 40),
        "area_mm2": measure(20, 1500),
        "pixel_spacing_mm": some(0.488281, 0.5),
        "centre": [pseudonyms.centre(row.centre) for row in rows], "pseudoprogression": some("yes", "no", None),
        "later_response": some("SD", "PD", None), "later_follow_up_days": some(120.0, 366.0, None),
        "systemic_therapy_kind": some("none", "targeted", "several"), "baseline_diameter_mm": measure(10, 35),
        "follow_up_diameter_mm": measure(0, 40), "nadir_diameter_mm": some(10.0, None),
        "contrast_agent": some("yes", "no", None), "kvp": some(100.0, 120.0), "slice_thickness_mm": some(0.625, 1.0),
        "kernel": some("soft", "standard", "sharp", "unknown"),
    }  # fmt: skip
    flow = Flow(n + 7, n, flow_lines(rng.choice(list(REASONS), 7)), n, max(1, n * 4 // 5), 3)
    crops = rng.normal(40, 300, (n, 3, 3)).astype(np.float32)
    table = pd.DataFrame(columns)[list(TUMOUR_COLUMNS)]
    return Dataset(crops, table, flow, ImageDefinition().to_dict(), synthetic=False)


def clean_cohorts_pass(seeds, folder):
    for seed in seeds:
        one = cohort(np.random.default_rng(seed), 1000)
        one.write(folder / str(seed))
        one.audit.check([folder / str(seed)], one.texts)


def test_clean_cohorts_of_1000_tumours_pass(tmp_path):
    clean_cohorts_pass(range(5), tmp_path)


@pytest.mark.slow
def test_200_clean_cohorts_of_1000_tumours_pass(tmp_path):
    clean_cohorts_pass(range(1000, 1200), tmp_path)


# what is planted ----------------------------------------------------------------------------------------------------

MONTH = "January February March April May June July August September October November December".split()  # noqa: SIM905
MONAT = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()  # noqa: SIM905
DATE_FORMS = (
    lambda d: f"{d:%Y%m%d}", lambda d: f"{d:%Y-%m-%d}", lambda d: f"{d:%d.%m.%Y}",
    lambda d: f"{d.day}.{d.month}.{d:%y}",
    lambda d: f"{d:%d/%m/%Y}", lambda d: f"{d:%m/%d/%Y}", lambda d: f"{d.month}/{d.day}/{d:%y}",
    lambda d: f"{d:%y%m%d}",
    lambda d: f"{d.day} {MONTH[d.month - 1][:3]} {d.year}", lambda d: f"{d.day}. {MONAT[d.month - 1]} {d.year}",
    lambda d: f"{MONTH[d.month - 1]} {d.day}, {d.year}", lambda d: f"{d:%d}{MONTH[d.month - 1][:3].upper()}{d.year}",
    lambda d: f"{d:%Y%m%d}101530.500000+0100", lambda d: f"{d:%Y-%m-%d}T10:15:30Z",
    lambda d: f"{d.year}년 {d.month}월 {d.day}일",
    lambda d: f"{d:%Y%m%d}.0", lambda d: f"IMG_{d:%Y%m%d}_1",
)  # fmt: skip


def planted_name(rng):
    name = person(rng)
    parts = [part for part in re.split(r"[\^=]|\^\^+", name.split("^^")[0]) if part]
    part = str(rng.choice(parts))
    plain = name.partition("=")[0].split("^")
    forms = [part, name, part.upper(), f"{part}_1", quote(part), "".join(reversed(plain[:2])).replace(" ", "")]
    forms += [json.dumps(part).strip('"'), part.casefold()] if len(part) > 2 else []
    return name, "PatientName", str(rng.choice(forms))


def planted_id(rng):
    number = int(rng.integers(1000, 10**8))
    known, *forms = [
        (f"MRN-{number:08d}", f"mrn{number:08d}", f"MRN {number:08d}", f"xmrn-{number:08d}y"),
        (f"{number:09d}", f"{number}", f"{number:012d}", f"P{number}"),
        (f"{number}", f"{number}", f"id={number}.", f"#{number}"),
        (f"{number % 97}", f"{number % 97}", f"patient {number % 97}"),
        (f"510203-{number:08d}", f"510203{number:08d}", f"510203 {number:08d}"),
    ][int(rng.integers(5))]
    attribute = str(rng.choice(["PatientID", "AccessionNumber", "column patient_id", "column tumour_id"]))
    return known, attribute, str(rng.choice([known, *forms]))


def planted_date(rng):
    date = day(rng, 1930, 2025)
    form = DATE_FORMS[int(rng.integers(len(DATE_FORMS)))]
    return f"{date:%Y%m%d}", str(rng.choice(["PatientBirthDate", "StudyDate"])), form(date)


def planted_other(rng):
    if rng.random() < 0.5:
        return "", "a UID", f"1.2.826.0.1.{rng.integers(10**9)}.{rng.integers(10**6)}"
    site = str(rng.choice(SITES))
    return site, "InstitutionName", str(rng.choice([site, site.upper(), f"at {site}."]))


PLANTED = (planted_name, planted_id, planted_date, planted_other)


# where it is planted ------------------------------------------------------------------------------------------------


def _changed(path, change):
    path.write_text(change(path.read_text()))


def _cell(folder, texts, text):
    rows = list(csv.reader(io.StringIO((folder / "tumours.csv").read_text())))
    rows[2][TUMOUR_COLUMNS.index("device")] = text
    with (folder / "tumours.csv").open("w") as file:
        csv.writer(file).writerows(rows)


def _column(folder, texts, text):
    _changed(folder / "tumours.csv", lambda table: table.replace("\n", ',""\n').replace('""', '"' + text + '"', 1))


def _new_table(folder, texts, text):
    with (folder / "more.csv").open("w") as file:
        csv.writer(file).writerows([["tumour", "note"], ["T-ab1234cdef", text]])


def _json(change):
    def plant(folder, texts, text):
        flow = json.loads((folder / "flow.json").read_text())
        change(flow, text)
        (folder / "flow.json").write_text(json.dumps(flow))

    return plant


def _in_page(name, end, markup):
    def plant(folder, texts, text):
        texts[name] = texts[name].replace(end, markup.format(escape(text)) + end, 1)

    return plant


def _in_figure(markup):
    def plant(folder, texts, text):
        _changed(folder / "flow.svg", lambda svg: svg.replace("</svg>", markup.format(escape(text)) + "</svg>"))

    return plant


def _in_log(line):
    def plant(folder, texts, text):
        texts["the step's log"] += "\n" + line.format(text)

    return plant


def _file(folder, texts, text):
    (folder / f"{text.replace('/', '-')}.json").write_text("{}")


def _folder(folder, texts, text):
    (folder / text.replace("/", "-")).mkdir()


def _note(folder, texts, text):
    (folder / "note.txt").write_text(f"a line\nwith {text} in it\n")


def _kept(folder, texts, text):
    texts["the stored part of a patient"] = json.dumps([["", {"z_mm": 1.5, "note": text}]])


def _array(make):
    def plant(folder, texts, text):
        np.save(folder / "more.npy", make(text))

    return plant


def _behind_array(folder, texts, text):
    with (folder / "crops.npy").open("ab") as file:
        file.write(text.encode())


PLACES = {
    "cell": _cell, "column": _column, "new table": _new_table,
    "JSON value": _json(lambda flow, text: flow["exclusions"][0].update(reason=text)),
    "JSON key": _json(lambda flow, text: flow.update({text: 1})),
    "JSON number's place": _json(lambda flow, text: flow.update(listed=text)),
    "fact": _in_page("summary", "</table>", "<tr><th>note</th><td>{}</td></tr>"),
    "name of a fact": _in_page("summary", "</table>", "<tr><th>{}</th><td>3</td></tr>"),
    "comment": _in_page("summary", "</html>", "<!-- {} -->"),
    "attribute": _in_page("summary", "</html>", '<p title="{}"></p>'),
    "style": _in_page("summary", "</style>", ".a{{content:'{}'}}"),
    "figure's text": _in_figure('<text x="1" y="2">{}</text>'),
    "figure's attribute": _in_figure('<rect id="{}"/>'),
    "figure's comment": _in_figure("<!-- {} -->"),
    "log line": _in_log("{}"), "in a log line": _in_log("reading {} now"),
    "in a progress line": _in_log("srs-progress preprocess 3/9 {}"),
    "file name": _file, "folder name": _folder, "text file": _note, "what is kept": _kept,
    "array of text": _array(lambda text: np.array([text])),
    "array of bytes": _array(lambda text: np.frombuffer(text.encode(), np.uint8)),
    "array of characters": _array(lambda text: np.array([ord(c) for c in text], np.int32)),
    "behind an array": _behind_array,
}  # fmt: skip
#: Places whose whole content is refused, so that the attribute need not be named.
REFUSED = {"array of text", "behind an array"}


def planted_are_found(seeds, base):
    missed = []
    one = cohort(np.random.default_rng(0), 8)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        identity, attribute, text = PLANTED[seed % len(PLANTED)](rng)
        place = list(PLACES)[seed // len(PLANTED) % len(PLACES)]
        audit, folder, texts = Audit(), base / str(seed), one.texts
        audit.learn({identity: attribute})
        one.write(folder)
        audit.check([folder], texts)
        PLACES[place](folder, texts, text)
        try:
            audit.check([folder], texts)
            missed.append((place, identity, text, ""))
        except InputError as error:
            if place not in REFUSED and attribute not in error.safe_message:
                missed.append((place, identity, text, error.safe_message))
    assert not missed


def test_planted_identities_are_found(tmp_path):
    planted_are_found(range(200), tmp_path)


@pytest.mark.slow
def test_1000_planted_identities_are_found(tmp_path):
    planted_are_found(range(10_000, 11_000), tmp_path)
