import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.members import Members
from components.common.errors import InputError
from components.common.files import read_json
from components.common.settings import EvaluateSettings
from components.evaluate.evaluation import TABLE_III_COLUMNS, evaluate, group_curves
from tests.components.evaluate.golden_metrics import golden_dict, golden_metrics, golden_study

SETTINGS = EvaluateSettings(bootstrap=300)


@pytest.fixture(scope="module")
def result(study):
    return evaluate(*study, SETTINGS, seed=1)


def test_table_iii_has_a_row_for_every_member_and_ensemble(result):
    table = result.table_iii
    assert tuple(table.columns) == TABLE_III_COLUMNS
    assert len(table) == 5 * 11
    assert list(table["member"][:11]) == [*map(str, range(1, 11)), "ensemble"]
    # Hard votes: AUC = (sensitivity + specificity) / 2, as in 47 of the paper's 50 networks.
    single = table[table["member"] != "ensemble"]
    assert np.allclose(single["auc"], (single["sensitivity"] + single["specificity"]) / 2)
    assert table["restarts"][2] == 1
    assert bool(table["flagged"][6])
    assert not bool(table["flagged"][0])


def test_metrics_agree_with_scikit_learn(result):
    rows = result.scores[(result.scores["group"] == "B") & (result.scores["role"] == "evaluation")]
    figures = result.metrics.groups["B"].evaluation
    for score in ("mean", "vote"):
        assert getattr(figures, score).auc == pytest.approx(sklearn_metrics.roc_auc_score(rows["label"], rows[score]))
    assert figures.auc == figures.mean.auc
    assert figures.calibration.brier == pytest.approx(sklearn_metrics.brier_score_loss(rows["label"], rows["mean"]))
    aucs = [result.metrics.groups[g].evaluation.auc for g in "ABCDE"]
    assert result.metrics.mean_auc == pytest.approx(np.mean(aucs))
    assert result.metrics.mean_auc_lower_bound < result.metrics.mean_auc


def test_group_for_the_gate_is_best_out_of_bag_not_on_evaluation(result):
    groups = result.metrics.groups
    best = result.metrics.best_out_of_bag_group
    assert best == max(groups, key=lambda name: groups[name].out_of_bag.auc)


def test_votes_can_be_the_primary_score(study):
    result = evaluate(*study, EvaluateSettings(ensemble_score="vote", bootstrap=100), seed=1)
    for figures in result.metrics.groups.values():
        assert figures.evaluation.auc == figures.evaluation.vote.auc
    assert result.metrics.mean_auc == result.metrics.mean_auc_by_score.vote


def test_metrics_are_finite_json_and_are_read_back_unchanged(result, tmp_path):
    json.dumps(result.metrics.to_dict(), allow_nan=False)
    result.write(tmp_path / "evaluation")
    again = Evaluation.read(tmp_path / "evaluation")
    assert again.metrics == result.metrics
    assert list(again.table_iii["member"]) == list(result.table_iii["member"])


def flat(values, path=""):
    """Path and value of every number, text and null."""
    if isinstance(values, dict | list | tuple):
        pairs = values.items() if isinstance(values, dict) else enumerate(values)
        return {name: leaf for key, value in pairs for name, leaf in flat(value, f"{path}/{key}").items()}
    return {path: values}


#: The bound of the mean AUC was a percentile of the resamples and is now computed on the logit scale.
COMPUTED_OTHERWISE = ("/mean_auc_lower_bound",)


@pytest.mark.parametrize(("case", "score"), [("usual", "mean"), ("one_class_out_of_bag", "vote")])
def test_metrics_json_keeps_its_keys_types_and_values(make, tmp_path, case, score):
    settings = EvaluateSettings(bootstrap=100, ensemble_score=score)
    evaluate(*golden_study(make, case), settings, seed=1).write(tmp_path)
    golden = flat(golden_dict(case))
    for path in COMPUTED_OTHERWISE:
        assert type(golden.pop(path)) is float
    # A later release may write more than the file of an earlier one holds.
    written = {path: value for path, value in flat(read_json(tmp_path / "metrics.json")).items() if path in golden}
    assert {path: type(value) for path, value in written.items()} == {
        path: type(value) for path, value in golden.items()
    }
    # The fits stop at a small gradient, not at an exact value: other processors may stop at slightly different values.
    assert written == {
        p: pytest.approx(v, rel=1e-6, abs=1e-9) if isinstance(v, float) else v for p, v in golden.items()
    }


@pytest.mark.parametrize("case", ["usual", "one_class_out_of_bag"])
def test_metrics_of_an_earlier_run_are_read_and_written_again_unchanged(case):
    """Whatever statistic is added has a default, or no ``metrics.json`` of an earlier release could be read."""
    assert flat(golden_metrics(case).to_dict()).items() >= flat(golden_dict(case)).items()


def test_same_seed_gives_the_same_metrics(study, result):
    assert evaluate(*study, SETTINGS, seed=1).metrics == result.metrics


def test_metrics_name_synthetic_data_split_unit_and_shared_patients(make, result):
    assert result.metrics.synthetic is True
    assert (result.metrics.split_unit, result.metrics.shared_patients) == ("patient", 0)
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(40, 25, synthetic=False)
    splits = make_splits(dataset, 2, 3, unit="tumour")
    other = evaluate(dataset, splits, make_members(dataset, splits, latent), SETTINGS, seed=1)
    assert other.metrics.synthetic is False
    assert other.metrics.split_unit == "tumour"
    assert other.metrics.shared_patients > 0


def test_ensemble_gains_over_its_members_where_their_errors_are_independent(result):
    gains = [figures.gain_over_votes.difference for figures in result.metrics.groups.values()]
    assert np.mean(gains) > 0.03
    for figures in result.metrics.groups.values():
        sizes = [size.members for size in figures.auc_by_size]
        assert sizes == list(range(1, 11))
        assert figures.auc_by_size[-1].mean_auc == pytest.approx(figures.evaluation.auc)
        assert 0.5 < figures.agreement < 1


def test_confusion_by_response_counts_every_evaluation_tumour(result):
    for figures in result.metrics.groups.values():
        counts = [n for calls in dataclasses.astuple(figures.confusion_by_response) for n in calls]
        assert sum(counts) == figures.evaluation.n


def test_null_members_give_no_small_p_values(make):
    make_dataset, make_splits, make_members = make
    means, ps, passed = [], [], 0
    for seed in range(12):
        dataset, latent = make_dataset(110, 89, signal=0.0, seed=seed)
        splits = make_splits(dataset, 4, 3, seed=seed)
        result = evaluate(dataset, splits, make_members(dataset, splits, latent, seed=seed), SETTINGS, seed=seed)
        ensembles = result.table_iii[result.table_iii["member"] == "ensemble"]
        means.append(result.metrics.mean_auc)
        ps.extend(ensembles["p_value"])
        passed += result.metrics.mean_auc_lower_bound > 0.5 and result.metrics.mean_auc >= 0.6
    assert abs(np.mean(means) - 0.5) < 0.06
    assert np.median(ps) > 0.25
    assert np.mean(np.array(ps) < 0.05) < 0.15
    assert passed <= 2


def test_tiny_cohort_gets_metrics_without_a_bound_rather_than_an_error(make):
    make_dataset, make_splits, make_members = make
    dataset, latent = make_dataset(8, 8)
    splits = make_splits(dataset, 2, 2)
    result = evaluate(dataset, splits, make_members(dataset, splits, latent), SETTINGS, seed=1)
    json.dumps(result.metrics.to_dict(), allow_nan=False)
    assert math.isfinite(result.metrics.mean_auc)


def test_refuses_members_of_another_dataset(study):
    dataset, splits, members = study
    with pytest.raises(InputError) as refused:
        evaluate(dataset, splits, Members(members.members, "f" * 64), SETTINGS, seed=1)
    assert refused.value.code == "MEMBERS_MISMATCHED"


def test_curves_for_the_ui_are_finite_and_agree_with_scikit_learn(result):
    curves = group_curves(result)
    assert len(curves) == len("ABCDE")
    for name, curve in zip("ABCDE", curves, strict=True):
        rows = result.scores[(result.scores["group"] == name) & (result.scores["role"] == "evaluation")]
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(
            sklearn_metrics.roc_auc_score(rows["label"], rows["mean"])
        )
        assert curve.confusion == sklearn_metrics.confusion_matrix(rows["label"], rows["mean"] > 0.5).tolist()
        assert all(type(value) is float and math.isfinite(value) for value in curve.threshold)
