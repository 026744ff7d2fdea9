import numpy as np
import pandas as pd
import pytest

from components.evaluate import ensemble
from components.evaluate.covariates import MODELS, covariate_metrics, covariate_table, regression
from components.stats.roc import auc_score


def rows_of(study, group="A"):
    dataset, splits, members = study
    table = ensemble.scores(dataset, splits, members)
    table = table[table["group"] == group]
    return dataset.tumours, table[table["role"] == "development"], table[table["role"] == "evaluation"]


def test_regression_on_the_ensemble_alone_keeps_its_order(study):
    tumours, development_rows, evaluation = rows_of(study)
    metrics = covariate_metrics(tumours, development_rows, evaluation, "mean")
    assert metrics.ensemble.auc == pytest.approx(auc_score(evaluation["label"], evaluation["mean"]))
    assert metrics.n_development == len(development_rows)


def test_finds_an_informative_covariate_and_nothing_in_noise(make):
    make_dataset, make_splits, make_members = make
    informed, noise = [], []
    for seed in range(6):
        dataset, latent = make_dataset(seed=seed, signal=0.0)
        splits = make_splits(dataset, 4, 3, seed=seed)
        tumours, development_rows, evaluation = rows_of(
            (dataset, splits, make_members(dataset, splits, latent, seed=seed))
        )
        noise.append(covariate_metrics(tumours, development_rows, evaluation, "mean").clinical.auc)
        flip = np.random.default_rng(seed).random(len(tumours)) < 0.15
        informative = tumours.assign(extracranial_metastases=np.where((tumours["label"] == 1) ^ flip, "yes", "no"))
        informed.append(covariate_metrics(informative, development_rows, evaluation, "mean"))
    assert abs(np.mean(noise) - 0.5) < 0.12
    assert np.mean([metrics.clinical.auc for metrics in informed]) > 0.75
    assert np.mean([metrics.gain_of_both.difference for metrics in informed]) > 0.15


def test_nothing_is_fitted_to_evaluation_tumours(study):
    tumours, development_rows, evaluation = rows_of(study)
    columns = list(MODELS["both"])
    development = covariate_table(tumours, development_rows, "mean")[columns]
    evaluated = covariate_table(tumours, evaluation, "mean")[columns]
    model = regression(columns).fit(development, development_rows["label"])
    alone = [model.predict_proba(evaluated.iloc[[i]])[0, 1] for i in range(len(evaluated))]
    assert np.allclose(alone, model.predict_proba(evaluated)[:, 1])


def test_unknown_values_and_unseen_categories_are_handled(study):
    tumours, development_rows, evaluation = rows_of(study)
    holes = tumours.assign(kps=np.nan, sex=None, systemic_therapy=None)
    rare = holes["tumour"] == evaluation["tumour"].iloc[0]
    holes.loc[rare, "primary_site"] = "thymus"
    holes.loc[rare, "location"] = np.nan
    metrics = covariate_metrics(holes, development_rows, evaluation, "mean")
    assert np.isfinite(metrics.both.auc)


def test_flags_are_read_in_every_spelling(study):
    tumours, development_rows, _ = rows_of(study)
    rows = development_rows.iloc[:6]
    table = tumours.set_index("tumour")
    table["systemic_therapy"] = table["systemic_therapy"].astype(object)
    table.loc[list(rows["tumour"]), "systemic_therapy"] = ["yes", True, 1, "no", False, None]
    flags = covariate_table(table.reset_index(), rows, "mean")["systemic_therapy"]
    assert flags.iloc[:5].tolist() == [1, 1, 1, 0, 0]
    assert pd.isna(flags.iloc[5])


def test_no_regression_without_both_classes_in_development(study):
    tumours, development_rows, evaluation = rows_of(study)
    assert covariate_metrics(tumours, development_rows[development_rows["label"] == 1], evaluation, "mean") is None
