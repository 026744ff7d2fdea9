"""TRIPOD+AI and CLAIM items of a run: filled by the run, declared by the study, or missing.

TRIPOD+AI: Collins et al., BMJ 2024;385:e078378. CLAIM: Mongan et al., Radiol Artif Intell 2020;2:e200029. The
items are named in our own words. ``filled``: a figure or text of this run answers it; ``declared``: the method's
documentation answers it, the same for every run; ``missing``: only the study's authors can answer it.
"""

from typing import Any

from components.common.artifacts import Dataset, Evaluation

FILLED, DECLARED, MISSING = "filled", "declared", "missing"

#: Standard, item, topic, status, where it is answered or what is to be supplied.
ITEMS = (
    ("TRIPOD+AI", "1", "Title says prediction model, population and outcome", DECLARED, "model card, head"),
    ("TRIPOD+AI", "3a", "Health-care context and existing models", DECLARED, "model card, intended use"),
    ("TRIPOD+AI", "3c", "Health inequalities between groups of patients", MISSING, "to be described by the authors"),
    ("TRIPOD+AI", "4", "Objectives", DECLARED, "model card, intended use"),
    ("TRIPOD+AI", "5a", "Source of data and its representativeness", MISSING, "centre, dates, recruitment"),
    ("TRIPOD+AI", "5b", "Dates of treatment and follow-up", MISSING, "left out on purpose: dates identify patients"),
    ("TRIPOD+AI", "6b", "Eligibility criteria", FILLED, "report, flow"),
    ("TRIPOD+AI", "6c", "Treatments received", FILLED, "report, Table II"),
    ("TRIPOD+AI", "7", "Data preparation, the same for all groups of patients", FILLED, "report, image definition"),
    ("TRIPOD+AI", "8a", "Outcome and its assessment (RECIST 1.1)", DECLARED, "model card, data"),
    ("TRIPOD+AI", "8c", "Blinding of the outcome's assessors", MISSING, "who read the follow-up images, knowing what"),
    ("TRIPOD+AI", "9", "Predictors", FILLED, "report, images and network"),
    ("TRIPOD+AI", "10", "Sample size, and whether it suffices", MISSING, "a justification by the authors"),
    ("TRIPOD+AI", "11", "Missing data", FILLED, "report, Tables I and II (n where not all are known)"),
    ("TRIPOD+AI", "12a", "Use of data for training and evaluation", FILLED, "report, splits"),
    ("TRIPOD+AI", "12c", "Type of model, all steps, tuning, internal validation", FILLED, "report, network and facts"),
    ("TRIPOD+AI", "12e", "Measures of performance", FILLED, "report, Table III and calibration"),
    ("TRIPOD+AI", "13", "Class imbalance", FILLED, "report, flow: arms and quotas"),
    ("TRIPOD+AI", "14", "Fairness between groups of patients", MISSING, "performance by sex, age and site"),
    ("TRIPOD+AI", "15", "Output of the model and thresholds", FILLED, "report, Table III; cut-off in the facts"),
    ("TRIPOD+AI", "17", "Ethical approval", MISSING, "committee and number"),
    ("TRIPOD+AI", "18a", "Funding", MISSING, "to be supplied"),
    ("TRIPOD+AI", "18b", "Conflicts of interest", MISSING, "to be supplied"),
    ("TRIPOD+AI", "18c", "Protocol", MISSING, "where it can be read"),
    ("TRIPOD+AI", "18d", "Registration", MISSING, "register and number, or that there is none"),
    ("TRIPOD+AI", "18e", "Availability of data", MISSING, "to be stated by the owner of the data"),
    ("TRIPOD+AI", "18f", "Availability of code", DECLARED, "this platform, Apache-2.0"),
    ("TRIPOD+AI", "19", "Involvement of patients and public", MISSING, "to be supplied"),
    ("TRIPOD+AI", "20a", "Flow of participants", FILLED, "report, flow"),
    ("TRIPOD+AI", "20b", "Characteristics of participants", FILLED, "report, Tables I and II"),
    ("TRIPOD+AI", "21", "Participants and events in every analysis", FILLED, "report, splits and Table III"),
    ("TRIPOD+AI", "22", "The full model, so that it can be used", DECLARED, "model registry: the bundle"),
    ("TRIPOD+AI", "23a", "Performance with confidence intervals", FILLED, "report, Table III"),
    ("TRIPOD+AI", "23b", "Heterogeneity between clusters", FILLED, "report, five groups (of one centre)"),
    ("TRIPOD+AI", "25", "Interpretation, fairness included", MISSING, "by the authors"),
    ("TRIPOD+AI", "26", "Limitations", DECLARED, "model card, limits"),
    ("TRIPOD+AI", "27", "Usability: poor input, user expertise, next steps", DECLARED, "model card, limits"),
    ("CLAIM", "7", "Data sources", MISSING, "centre, scanners, planning protocol"),
    ("CLAIM", "9", "Preprocessing", FILLED, "report, image definition"),
    ("CLAIM", "10", "Selection of data subsets", FILLED, "report, flow"),
    ("CLAIM", "12", "De-identification", DECLARED, "pseudonyms by allow-list; no dates, names or UIDs"),
    ("CLAIM", "13", "Handling of missing data", FILLED, "report, Tables I and II"),
    ("CLAIM", "14", "Reference standard", DECLARED, "model card, data (RECIST 1.1)"),
    ("CLAIM", "16", "Source of annotations and who made them", MISSING, "who contoured the GTV, with what experience"),
    ("CLAIM", "18", "Inter-rater variability of the reference", MISSING, "not known from this cohort"),
    ("CLAIM", "20", "Assignment to partitions", FILLED, "report, splits"),
    ("CLAIM", "21", "Level at which partitions are disjoint", FILLED, "report, leakage statement"),
    ("CLAIM", "22", "Detailed model", FILLED, "report, Figure 2"),
    ("CLAIM", "23", "Software and versions", FILLED, "report, run facts"),
    ("CLAIM", "24", "Initialisation of parameters", DECLARED, "He and Glorot, drawn anew at a restart"),
    ("CLAIM", "25", "Training details", FILLED, "report, run facts and training curves"),
    ("CLAIM", "26", "Selection of the final model", FILLED, "report, training and out-of-bag choice"),
    ("CLAIM", "27", "Ensembling", FILLED, "report, ensembles"),
    ("CLAIM", "28", "Metrics of performance", FILLED, "report, Table III"),
    ("CLAIM", "29", "Statistical measures of significance and uncertainty", FILLED, "report, Table III and intervals"),
    ("CLAIM", "30", "Robustness or sensitivity analysis", FILLED, "report: five groups, number of members"),
    ("CLAIM", "31", "Explainability", FILLED, "report, what the ensemble looked at"),
    ("CLAIM", "32", "Validation on external data", MISSING, "one cohort only"),
    ("CLAIM", "37", "Analysis of failed cases", FILLED, "report, failures"),
)  # fmt: skip

#: Answers that only a cohort of patients can give: on a phantom they are not filled whatever the report prints.
OF_PATIENTS = {("TRIPOD+AI", "20b"), ("TRIPOD+AI", "6c"), ("TRIPOD+AI", "23a"), ("CLAIM", "28"), ("CLAIM", "29")}


def checklist(evaluation: Evaluation, dataset: Dataset) -> list[dict[str, Any]]:
    """Every item with ``standard, item, topic, status, where``; a phantom's figures answer none about patients."""
    items = [dict(zip(("standard", "item", "topic", "status", "where"), row, strict=True)) for row in ITEMS]
    if evaluation.metrics["synthetic"] or dataset.synthetic:
        for item in items:
            if (item["standard"], item["item"]) in OF_PATIENTS:
                item |= {"status": MISSING, "where": "SYNTHETIC data: nothing is known of patients"}
    return items
