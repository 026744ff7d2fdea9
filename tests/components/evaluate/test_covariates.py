import numpy as np
import pandas as pd
import pytest

from components.evaluate import ensemble
from components.evaluate.covariates import MODELS, beyond_the_image, covariate_table, regression
from components.stats.roc import auc_score


def rows_of(study, group="A"):
    dataset, splits, members = study
    table = ensemble.scores(dataset, splits, members)
    table = table[table["group"] == group]
    return dataset.tumours, table[table["role"] == "out_of_bag"], table[table["role"] == "evaluation"]


def test_regression_on_the_ensemble_alone_keeps_its_order(study):
    tumours, out_of_bag, evaluation = rows_of(study)
    found = beyond_the_image(tumours, out_of_bag, evaluation, "mean")
    assert found.ensemble.auc == pytest.approx(auc_score(evaluation["label"], evaluation["mean"]))
    assert found.n_development == len(out_of_bag)


def test_finds_a_covariate_that_decides_and_nothing_in_noise(make):
    make_dataset, make_splits, make_members = make
    informed, noise = [], []
    for seed in range(6):
        dataset, latent = make_dataset(seed=seed, signal=0.0)
        splits = make_splits(dataset, 1, 10, seed=seed)
        tumours, out_of_bag, evaluation = rows_of((dataset, splits, make_members(dataset, splits, latent, seed=seed)))
        noise.append(beyond_the_image(tumours, out_of_bag, evaluation, "mean").clinical.auc)
        flip = np.random.default_rng(seed).random(len(tumours)) < 0.15
        told = tumours.assign(extracranial_metastases=np.where((tumours["label"] == 1) ^ flip, "yes", "no"))
        informed.append(beyond_the_image(told, out_of_bag, evaluation, "mean"))
    assert abs(np.mean(noise) - 0.5) < 0.12
    assert np.mean([found.clinical.auc for found in informed]) > 0.75
    assert np.mean([found.gain_of_both.difference for found in informed]) > 0.15


def test_nothing_is_learnt_from_evaluation_tumours(study):
    tumours, out_of_bag, evaluation = rows_of(study)
    columns = list(MODELS["both"])
    learnt = covariate_table(tumours, out_of_bag, "mean")[columns]
    judged = covariate_table(tumours, evaluation, "mean")[columns]
    model = regression(columns).fit(learnt, out_of_bag["label"])
    alone = [model.predict_proba(judged.iloc[[i]])[0, 1] for i in range(len(judged))]
    assert np.allclose(alone, model.predict_proba(judged)[:, 1])


def test_unknown_values_and_unseen_categories_are_borne(study):
    tumours, out_of_bag, evaluation = rows_of(study)
    holes = tumours.assign(kps=np.nan, sex=None, systemic_therapy=None)
    rare = holes["tumour"] == evaluation["tumour"].iloc[0]
    holes.loc[rare, "primary_site"] = "thymus"
    holes.loc[rare, "location"] = np.nan
    found = beyond_the_image(holes, out_of_bag, evaluation, "mean")
    assert np.isfinite(found.both.auc)


def test_flags_are_read_in_every_spelling(study):
    tumours, out_of_bag, _ = rows_of(study)
    rows = out_of_bag.iloc[:6]
    told = tumours.set_index("tumour")
    told["systemic_therapy"] = told["systemic_therapy"].astype(object)
    told.loc[list(rows["tumour"]), "systemic_therapy"] = ["yes", True, 1, "no", False, None]
    flags = covariate_table(told.reset_index(), rows, "mean")["systemic_therapy"]
    assert flags.iloc[:5].tolist() == [1, 1, 1, 0, 0]
    assert pd.isna(flags.iloc[5])


def test_no_regression_without_both_classes_in_development(study):
    tumours, out_of_bag, evaluation = rows_of(study)
    assert beyond_the_image(tumours, out_of_bag[out_of_bag["label"] == 1], evaluation, "mean") is None
