"""Tables I and II by split, the sizes of sets, and what the page says of them."""

import json
import re

import pandas as pd
import pytest

from components.common.settings import EvaluateSettings
from components.evaluate.checklist import DECLARED, FILLED, MISSING, checklist
from components.evaluate.evaluation import EvaluatedRun, evaluate
from components.evaluate.model_card import write_model_card
from components.evaluate.report import write_report
from components.evaluate.split_tables import set_sizes, split_table

SETTINGS = EvaluateSettings(bootstrap=100)


@pytest.fixture(scope="module")
def run(study):
    return EvaluatedRun(*study, evaluate(*study, SETTINGS, seed=1), {})


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("page"), run).read_text()


def test_split_table_counts_tumours_by_hand(study):
    dataset, splits, _ = study
    sets = {split.group: set(split.evaluation) for split in splits.members}
    tumours = dataset.tumours
    female = [100 * (tumours[tumours["tumour"].isin(names)]["sex"] == "F").mean() for names in sets.values()]
    ever = tumours["tumour"].isin(set.union(*sets.values()))
    lines = {(line.characteristic, line.category): line for line in split_table(tumours, splits)}
    (sex,) = (line for (title, name), line in lines.items() if name == "F")
    assert sex.evaluated == f"{100 * (tumours[ever]['sex'] == 'F').mean():.0f} %"
    assert sex.never_evaluated == f"{100 * (tumours[~ever]['sex'] == 'F').mean():.0f} %"
    assert sex.evaluation_sets == f"{min(female):.0f}-{max(female):.0f} %"
    age = lines["Age, median (range), years", ""]
    medians = [tumours[~tumours["tumour"].isin(names)]["age"].median() for names in sets.values()]
    assert age.development_sets == f"{min(medians):.0f}-{max(medians):.0f}"
    of_ever = tumours.loc[ever, "age"]
    assert age.evaluated == f"{of_ever.median():.0f} ({of_ever.min():.0f}-{of_ever.max():.0f})"


def test_sizes_of_the_sets_are_those_of_the_splits(study, page):
    dataset, splits, _ = study
    label = dataset.tumours.set_index("tumour")["label"]
    for row, group in zip(set_sizes(dataset.tumours, splits), splits.groups, strict=True):
        split = splits.of_group(group)[0]
        assert (row.group, row.evaluation, row.development) == (
            group,
            len(split.evaluation),
            len(split.training) + len(split.validation),
        )
        assert row.evaluation_non_responders == label[list(split.evaluation)].sum()
        assert row.development_non_responders + row.evaluation_non_responders == label.sum()
    assert "Tables I and II by split" in page


def test_page_says_how_often_patients_with_several_tumours_are_evaluated(study, page):
    tumours, splits = study[0].tumours, study[1]
    evaluated = {name for split in splits.members for name in split.evaluation}
    by_patient = tumours.assign(ever=tumours["tumour"].isin(evaluated)).groupby("patient")["ever"].agg(["size", "any"])
    for chosen, words in ((by_patient["size"] == 1, "with one tumour"), (by_patient["size"] > 1, "with several")):
        own = by_patient[chosen]
        of = f"{own['any'].sum()} of {len(own)}"
        assert re.search(of + rf" (patients )?{words}", page)


def test_page_holds_the_disclaimer_the_software_and_how_missing_data_were_handled(page):
    top = page[: page.index('class="cards"')]
    assert "Research only. Not a medical device." in top
    assert re.search(r"srs-response \d+\.\d+", top)
    limits = page[page.index('id="limits"') :]
    for words in ("Retrospective", "numbers by their median", "on the day of SRS", "no clusters"):
        assert words in limits


def items(run, tmp_path):
    write_model_card(tmp_path, run)
    listed = json.loads((tmp_path / "checklist.json").read_text())["items"]
    return {(item["standard"], item["item"]): (item["status"], item["where"]) for item in listed}


@pytest.mark.parametrize("centres", [0, 1, 2])
def test_groups_are_no_clusters_and_centres_are(make, tmp_path, centres):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(40, 30, synthetic=False)
    names = {0: [None], 1: ["C-a"], 2: ["C-a", "C-b"]}[centres]
    dataset.tumours["centre"] = pd.Series([names[n % len(names)] for n in range(40)], dtype=object)
    splits = make_splits(dataset, 2, 2)
    members = make_members(dataset, splits, latent)
    result = evaluate(dataset, splits, members, SETTINGS, seed=1)
    found = items(EvaluatedRun(dataset, splits, members, result, {}), tmp_path)
    for item in ("12d", "23b"):
        status, where = found["TRIPOD+AI", item]
        assert status == (FILLED if centres == 2 else MISSING)
        assert ("groups are no clusters" in where) == (centres < 2)
    assert found["TRIPOD+AI", "20c"][0] == found["CLAIM", "36"][0] == FILLED
    status, where = found["CLAIM", "5"]
    assert status == DECLARED
    assert "retrospective" in where


def test_what_the_checklist_names_is_a_section_of_the_page(run, page):
    """An item that is filled by the report names a heading that the page has, or the run details."""
    headings = " ".join(re.findall(r"<h[23][^>]*>(.*?)</h[23]>", page)).lower()
    for item in checklist(run):
        where = item["where"]
        for words in ("subgroups", "limits", "splits"):
            if item["status"] == FILLED and where.startswith(f"report, {words}"):
                assert words in headings
