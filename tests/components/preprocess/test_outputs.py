"""The audit accepts expected values whatever patients are called, and refuses everything else that is identity."""

import csv
import json
import logging
import re
import sys

import numpy as np
import pandas as pd
import pytest

from components.common.artifacts.dataset import TUMOUR_COLUMNS, Dataset, Exclusion, Flow
from components.common.errors import InputError
from components.common.settings import PreprocessSettings, StudySettings
from components.common.steps import progress_line
from components.imaging.crop import ImageDefinition
from components.preprocess import step
from components.preprocess.deidentify import Audit, Pseudonymiser
from components.preprocess.exclusions import REASONS
from components.preprocess.flow_diagram import flow_svg
from components.preprocess.kinds import COLUMN_KINDS, JSON_KINDS, is_log_line
from components.preprocess.locating import fingerprint
from components.preprocess.parts import MEASURES, Outcome, Part
from components.preprocess.summary import facts_of, page_of

CELLS = {
    "tumour": Pseudonymiser(b"k").tumour("1"), "patient": Pseudonymiser(b"k").patient("1"), "response": "PR",
    "label": 0,
    "diameter_mm": 18.625, "follow_up_days": 60, "primary_site": "lung", "location": "brain_stem", "age": 63.0,
    "sex": "female",
    "kps": 80.0, "primary_controlled": "yes", "extracranial_metastases": "no", "systemic_therapy": None,
    "total_dose_gy": 18.0,
    "fractions": 3, "bed10_gy": 28.799999999999997, "device": "cyberknife", "roi_planes": 9, "match_level": "uid",
    "z_mm": -6.123233995736766e-17, "width_mm": 18.0, "height_mm": 20.140506565705278, "area_mm2": 254.5,
    "pixel_spacing_mm": 0.488281, "centre": Pseudonymiser(b"k").centre("1"), "pseudoprogression": "no",
    "later_response": "SD", "later_follow_up_days": 180.0, "systemic_therapy_kind": "none",
    "baseline_diameter_mm": 20.0, "follow_up_diameter_mm": 12.5, "nadir_diameter_mm": None, "contrast_agent": "yes",
    "kvp": 120.0, "slice_thickness_mm": 1.25, "kernel": "standard",
}  # fmt: skip
FLOW = Flow(3, 2, (Exclusion("TOO_LARGE", REASONS["TOO_LARGE"], 1),), 2, 2, 1)


@pytest.fixture
def data():
    crops = np.linspace(-1000, 3000, 2 * 151 * 151, dtype=np.float32).reshape(2, 151, 151)
    tumours = pd.DataFrame([CELLS, CELLS])[list(TUMOUR_COLUMNS)]
    return Dataset(crops, tumours, FLOW, ImageDefinition().to_dict(), synthetic=True)


@pytest.fixture
def folder(data, tmp_path):
    place = tmp_path / "dataset"
    place.mkdir()
    (place / "flow.svg").write_text(flow_svg(FLOW))
    data.write(place)
    return place


@pytest.fixture
def texts(data):
    texts_and_pairs = {"match_level": "plane", "pixel_spacing_mm": (0.5, 0.5), "contrast_agent": None, "kernel": "soft"}
    outcomes = (Outcome({**dict.fromkeys(MEASURES, 3.5), **texts_and_pairs, "planes": 9, "kvp": 120.0}),)
    return {
        "summary": page_of(facts_of(data, "0123456789ab" * 5), FLOW, synthetic=True),
        "the stored part of a patient": Part((*outcomes, Outcome(code="NO_GTV"))).measures(),
        "the step's log": progress_line("preprocess", 1, 2, "3 tumours, 1 patients read earlier")
        + "\na new key for pseudonyms was made: keep the file, later runs need it\n",
    }


def refused(folder, known=(("Lindqvist^Brunhilde", "PatientName"),), texts=None):
    audit = Audit()
    audit.learn(dict(known))
    with pytest.raises(InputError) as caught:
        audit.check([folder], texts)
    assert caught.value.code == "IDENTITY_LEFT"
    return caught.value.safe_message


def test_patients_named_like_any_expected_value_do_not_stop_the_run(folder, texts):
    audit = Audit()
    whole = "\n".join(
        [
            *texts.values(),
            *(p.read_text() for p in folder.iterdir() if p.suffix != ".npy"),
            *(p.name for p in folder.iterdir()),
        ]
    )
    words, numbers = set(re.findall(r"[^\W\d_]+", whole)), set(re.findall(r"\d+(?:\.\d+)?", whole))
    assert {"Cohort", "min", "svg", "stem", "uid", "Flow", "progress"} <= words
    assert {"2000", "18.0", "63.0", "60", "1"} <= numbers
    audit.learn({f"{word}^A": "PatientName" for word in words})
    for attribute in ("PatientID", "column patient_id", "column tumour_id", "StudyDescription", "private attribute"):
        audit.learn(dict.fromkeys(words | numbers, attribute))
    audit.check([folder], texts)


def test_every_column_and_key_has_a_kind():
    assert set(COLUMN_KINDS) == set(TUMOUR_COLUMNS)
    assert {*MEASURES, *Flow.__slots__, *Exclusion.__slots__, *ImageDefinition().to_dict()} <= set(JSON_KINDS)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("age", "7781234"), ("age", "63 Lindqvist"), ("z_mm", "20140506.5"), ("total_dose_gy", "4711"),
        ("device", "Min"), ("label", "2"),
        ("tumour", "T-1"), ("patient", "P-lindqvist"), ("location", "LUNG"), ("match_level", "Stem"),
        ("fractions", "٣"), ("kps", "1_0"), ("centre", "St Elsewhere"), ("centre", "centre-1"), ("kernel", "B30f"),
        ("contrast_agent", "OMNIPAQUE"), ("kvp", "1200"), ("slice_thickness_mm", "47"), ("later_response", "stable"),
        ("systemic_therapy_kind", "osimertinib"), ("pseudoprogression", "maybe"), ("nadir_diameter_mm", "7781234"),
    ],
)  # fmt: skip
def test_a_cell_must_be_of_its_columns_kind(folder, column, cell):
    table = pd.read_csv(folder / "tumours.csv", dtype=str)
    table.loc[1, column] = cell
    table.to_csv(folder / "tumours.csv", index=False)
    assert f"tumours.csv: row 3, column {column}: not allowed there" in refused(folder, {})


def test_a_cell_that_holds_identity_is_named_by_attribute(folder):
    table = pd.read_csv(folder / "tumours.csv", dtype=str)
    table.loc[0, "device"] = "lindqvist"
    table.to_csv(folder / "tumours.csv", index=False)
    assert "tumours.csv: PatientName in row 2, column device" in refused(folder)


def test_a_table_has_no_other_columns_or_cells(folder):
    rows = (folder / "tumours.csv").read_text().splitlines()
    (folder / "tumours.csv").write_text("\n".join([f"{rows[0]},note", f"{rows[1]},1", rows[2]]))
    assert f"header of column {len(TUMOUR_COLUMNS) + 1}" in refused(folder, {})
    (folder / "tumours.csv").write_text("\n".join([rows[0], f"{rows[1]},1", rows[2]]))
    assert f"row 2, column {len(TUMOUR_COLUMNS) + 1}" in refused(folder, {})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("flow.json", lambda flow: flow | {"note": 1}), ("flow.json", lambda flow: flow | {"listed": "2"}),
        ("flow.json", lambda flow: flow | {"listed": 77812345}),
        ("cohort.json", lambda flags: flags | {"synthetic": "yes"}),
        ("image_definition.json", lambda definition: definition | {"centre": "gtv"}),
        ("layout.json", lambda layout: layout | {"files": {**layout["files"], "more.csv": "0" * 64}}),
    ],
)  # fmt: skip
def test_json_holds_our_keys_and_values_of_their_kinds(folder, name, change):
    (folder / name).write_text(json.dumps(change(json.loads((folder / name).read_text()))))
    assert f"{name}: " in refused(folder, {})


def test_a_duplicate_json_key_hides_nothing(folder):
    (folder / "cohort.json").write_text('{"synthetic": "Lindqvist", "synthetic": true}')
    assert "cohort.json: PatientName in key synthetic" in refused(folder)


@pytest.mark.parametrize("name", ["more.csv", "notes.txt", "crops/flow.json", "crops.npy.bak", ".DS_Store"])
def test_a_dataset_has_no_other_files(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    assert f"{name}: a file that a dataset does not have" in refused(folder, {})


def test_files_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "table.xlsx").write_bytes(b"PK\3\4\xff\xfe")
    (tmp_path / "wide.txt").write_text("Lindqvist", encoding="utf-16")
    message = refused(tmp_path)
    assert "table.xlsx: not a text" in message
    assert "wide.txt: not a text" in message


@pytest.mark.parametrize("text", ["Lindqvist", "20140506", "MRN-7781234"])
def test_text_among_the_bytes_of_the_crops_is_found(folder, text):
    known = {"Lindqvist^B": "PatientName", "20140506": "StudyDate", "MRN-7781234": "PatientID"}
    crops = bytearray((folder / "crops.npy").read_bytes())
    crops[4000 : 4000 + len(text)] = text.encode()
    (folder / "crops.npy").write_bytes(crops)
    assert "crops.npy: " in refused(folder, known.items())


def test_text_in_the_header_of_an_array_is_refused(folder):
    crops = (folder / "crops.npy").read_bytes()
    (folder / "crops.npy").write_bytes(crops[:110] + b"# Lindqvist".ljust(17) + b"\n" + crops[128:])
    np.load(folder / "crops.npy")
    assert "crops.npy: not a plain array" in refused(folder)


@pytest.mark.parametrize("array", [[20140506], [20140506.0], [ord(c) for c in "Lindqvist"]])
def test_numbers_that_are_identity_are_found_in_arrays(tmp_path, array):
    np.save(tmp_path / "more.npy", np.array(array))
    assert "more.npy" in refused(tmp_path, {"20140506": "StudyDate", "Lindqvist^B": "PatientName"}.items())


MARKUP = [
    "<p>Lind<b>qvist</b></p>", "<p><!-- Lindqvist --></p>", "<p title=Lindqvist>", "<lindqvist>", "</p Lindqvist>",
    "<![CDATA[Lindqvist]]>",
    "<?note Lindqvist?>", "<p>&#76;indqvist</p>", "<script>var a = 'Lindqvist'</script>", "<p", "<!-- Lindqvist",
]  # fmt: skip


@pytest.mark.parametrize("markup", MARKUP)
@pytest.mark.parametrize("name", ["summary", "flow.svg"])
def test_identity_is_found_in_any_markup(folder, texts, name, markup):
    page = texts["summary"] if name == "summary" else (folder / "flow.svg").read_text()
    markup = "<p>Lindqvist</p>" if markup == "<p" else markup
    assert f"{name}: PatientName" in refused(folder, texts={name: page.rstrip() + markup})


@pytest.mark.parametrize("name", ["Min", "Max", "Key", "Read", "Small", "Svg", "Table"])
@pytest.mark.parametrize("place", ["cell", "JSON value", "fact", "figure", "log"])
def test_a_name_that_is_also_a_word_of_the_page_is_found_among_values(folder, texts, name, place):
    known = [(f"{name}^Brunhilde", "PatientName")]
    if place == "cell":
        table = pd.read_csv(folder / "tumours.csv", dtype=str)
        table.loc[0, "device"] = name
        table.to_csv(folder / "tumours.csv", index=False)
    elif place == "JSON value":
        cohort = json.loads((folder / "cohort.json").read_text())
        (folder / "cohort.json").write_text(json.dumps(cohort | {"told_apart_by": [name]}))
    elif place == "fact":
        texts["summary"] = re.sub(r"(<th>GTVs without a row</th><td>)\d+", rf"\g<1>{name}", texts["summary"])
    elif place == "figure":
        svg = (folder / "flow.svg").read_text()
        (folder / "flow.svg").write_text(re.sub(r"(<text[^>]*>)[^<]*", rf"\g<1>{name}", svg, count=1))
    else:
        texts["the step's log"] += f"a library: {name} was opened\n"
    assert "PatientName in " in refused(folder, known, texts)


def test_whole_numbers_in_columns_of_unknown_name_are_compared(tmp_path):
    (tmp_path / "more.csv").write_text("tumour,number\nT-x,47\nT-y,48\n")
    assert "more.csv: PatientID in row 2, column 2" in refused(tmp_path, {"47": "PatientID"}.items())
    audit = Audit()
    audit.learn({"47": "PatientID", "18.0": "PatientID"})
    audit.check(texts={"tumours.csv": "47.0,18.0\n18.0,47.25\n"})


# the whole step -----------------------------------------------------------------------------------------------------

HEAD = (
    "tumour_id,patient_id,dicom,roi,response,follow_up_days,primary_brain_cancer,whole_brain_radiotherapy,n_brain_metastases,"
    "skull_infiltration,primary_site,location,age,sex,kps,primary_controlled,extracranial_metastases,systemic_therapy,"
    "total_dose_gy,fractions,device"
)


@pytest.fixture
def run(tmp_path, make_study, monkeypatch):
    """Runs the step over three patients and gives the dataset's folder and the page."""
    monkeypatch.setenv("SRS_PSEUDONYM_KEY", "secret")
    patients = {"mean": ("2000", "18.0"), "tumours": ("progress", "20.0"), "2000": ("Min", "63.0")}
    for patient, (name, number) in patients.items():
        study = make_study().of_patient(patient)
        for data in (*study.cts, *study.rtstructs):
            data.PatientName, data.PatientID, data.StationName, data.StudyDescription = (
                f"{name}^Max",
                patient,
                "version",
                "flow 2024",
            )
            data.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x63, "SH", number)
        study.write(tmp_path / "in" / patient)
    rows = [
        f"size{p},{p},{p},,PR,60,no,no,2,no,lung,cerebrum,63,male,80,yes,no,yes,18,3,linac".split(",") for p in patients
    ]
    with (tmp_path / "in" / "cohort.csv").open("w") as file:
        csv.writer(file).writerows([HEAD.split(","), *rows])

    def go(progress=lambda *what: print(progress_line("preprocess", *what))):
        settings = StudySettings(preprocess=PreprocessSettings()).to_json()
        here = str(tmp_path / "in")
        places = (str(tmp_path / name) for name in ("out", "summary"))
        step.run(here, fingerprint(here), settings, "", *places, progress)

    return go


def test_patients_named_like_common_words_and_numbers_pass_the_audit(run, tmp_path, capsys):
    run()
    assert len(pd.read_csv(tmp_path / "out" / "tumours.csv")) == 3
    assert "Cohort" in (tmp_path / "summary").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(map(is_log_line, lines))


def test_outputs_of_a_step_that_wrote_identity_are_removed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "flow_svg", lambda flow: flow_svg(flow).replace("</svg>", "<text>of Min</text></svg>"))
    with pytest.raises(InputError, match=r"flow\.svg: PatientName in the page's text"):
        run()
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "summary").exists()


def to_stderr(text):
    print(text, file=sys.stderr)


def to_log(text):
    logging.getLogger("a library").warning("object %s", text)


@pytest.mark.parametrize("tell", [print, to_stderr, to_log])
def test_identity_in_printed_or_logged_text_is_found(run, tmp_path, tell):
    with pytest.raises(InputError, match="the step's log: PatientName"):
        run(lambda *_: tell("read Max"))
    assert not (tmp_path / "out").exists()
