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
    ("TRIPOD+AI", "2", "Abstract after TRIPOD+AI for Abstracts", MISSING, "the publication's abstract"),
    ("TRIPOD+AI", "3a", "Health-care context and existing models", MISSING, "by the authors"),
    ("TRIPOD+AI", "3b", "Target population, place in the care pathway, users", DECLARED, "model card, intended use"),
    ("TRIPOD+AI", "3c", "Health inequalities between groups of patients", MISSING, "to be described by the authors"),
    ("TRIPOD+AI", "4", "Objectives", DECLARED, "model card, intended use"),
    ("TRIPOD+AI", "5a", "Source of data and its representativeness", MISSING, "centre, recruitment, why these data"),
    ("TRIPOD+AI", "5b", "Dates of treatment and follow-up", MISSING, "left out on purpose: dates identify patients"),
    ("TRIPOD+AI", "6a", "Setting, number and place of centres", MISSING, "to be supplied"),
    ("TRIPOD+AI", "6b", "Eligibility criteria", FILLED, "report, flow"),
    ("TRIPOD+AI", "6c", "Treatments received", FILLED, "report, Table II"),
    ("TRIPOD+AI", "7", "Data preparation, the same for all groups of patients", FILLED, "report, image definition"),
    ("TRIPOD+AI", "8a", "Outcome, its horizon and assessment (RECIST 1.1)", DECLARED, "model card, data"),
    ("TRIPOD+AI", "8b", "Qualifications of those who judged the outcome", MISSING, "who read the follow-up images"),
    ("TRIPOD+AI", "8c", "Blinding of the outcome's assessors", MISSING, "what the readers of the images knew"),
    ("TRIPOD+AI", "9a", "Choice of the first predictors", DECLARED, "model card: one CT slice, after the paper"),
    ("TRIPOD+AI", "9b", "Definition and measurement of all predictors", FILLED, "report, images and network"),
    ("TRIPOD+AI", "9c", "Qualifications of those who judged predictors", MISSING, "who contoured the GTV"),
    ("TRIPOD+AI", "10", "Sample size, and whether it suffices", MISSING, "a justification by the authors"),
    ("TRIPOD+AI", "11", "Missing data", FILLED, "report, Tables I and II (n where not all are known)"),
    ("TRIPOD+AI", "12a", "Use of data for training and evaluation", FILLED, "report, splits"),
    ("TRIPOD+AI", "12b", "Handling of predictors: form, scaling", FILLED, "report, images and network"),
    ("TRIPOD+AI", "12c", "Type of model, all steps, tuning, internal validation", FILLED, "report, network and facts"),
    ("TRIPOD+AI", "12d", "Heterogeneity between clusters", FILLED, "report: patients resampled whole; one centre"),
    ("TRIPOD+AI", "12e", "Measures of performance", FILLED, "report, Table III and calibration"),
    ("TRIPOD+AI", "12f", "Updating after evaluation", FILLED, "report: none but Platt scaling, shown apart"),
    ("TRIPOD+AI", "12g", "How predictions are computed for evaluation", FILLED, "report, ensembles"),
    ("TRIPOD+AI", "13", "Class imbalance", FILLED, "report, flow: arms and quotas"),
    ("TRIPOD+AI", "14", "Fairness between groups of patients", MISSING, "performance by sex, age and site"),
    ("TRIPOD+AI", "15", "Output of the model and thresholds", FILLED, "report, Table III; cut-off in the facts"),
    ("TRIPOD+AI", "16", "Differences between training and evaluation data", FILLED, "report, splits: one cohort"),
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
    ("TRIPOD+AI", "20c", "Development and evaluation data compared", MISSING, "Tables I and II by side of the split"),
    ("TRIPOD+AI", "21", "Participants and events in every analysis", FILLED, "report, splits and Table III"),
    ("TRIPOD+AI", "22", "The full model, so that it can be used", DECLARED, "model registry: the bundle"),
    ("TRIPOD+AI", "23a", "Performance with confidence intervals", FILLED, "report, Table III"),
    ("TRIPOD+AI", "23b", "Heterogeneity of performance", FILLED, "report, five groups (of one centre)"),
    ("TRIPOD+AI", "24", "Results of updating", FILLED, "report, calibration: Platt scaling"),
    ("TRIPOD+AI", "25", "Interpretation, fairness included", MISSING, "by the authors"),
    ("TRIPOD+AI", "26", "Limitations", DECLARED, "model card, limits"),
    ("TRIPOD+AI", "27a", "Poor or unavailable input at use", DECLARED, "model card, limits: refused with a code"),
    ("TRIPOD+AI", "27b", "Interaction and expertise that users need", DECLARED, "model card, intended use"),
    ("TRIPOD+AI", "27c", "Next steps of research", DECLARED, "model card, next steps"),
    ("CLAIM", "1", "Title or abstract names the technology", DECLARED, "model card, head"),
    ("CLAIM", "2", "Structured summary", MISSING, "the publication's abstract"),
    ("CLAIM", "3", "Background, intended use and clinical role", DECLARED, "model card, intended use"),
    ("CLAIM", "4", "Objectives and hypotheses", DECLARED, "model card, intended use"),
    ("CLAIM", "5", "Prospective or retrospective", MISSING, "to be stated by the authors"),
    ("CLAIM", "6", "Goal of the study", DECLARED, "model card, intended use"),
    ("CLAIM", "7", "Data sources", MISSING, "centre, scanners, planning protocol"),
    ("CLAIM", "8", "Eligibility: how, where and when", FILLED, "report, flow (where and when: by the authors)"),
    ("CLAIM", "9", "Preprocessing", FILLED, "report, image definition"),
    ("CLAIM", "10", "Selection of data subsets", FILLED, "report, flow"),
    ("CLAIM", "11", "Definitions of data elements", DECLARED, "README, columns of the cohort table"),
    ("CLAIM", "12", "De-identification", DECLARED, "pseudonyms by allow-list; no dates, names or UIDs"),
    ("CLAIM", "13", "Handling of missing data", FILLED, "report, Tables I and II"),
    ("CLAIM", "14", "Reference standard", DECLARED, "model card, data (RECIST 1.1)"),
    ("CLAIM", "15", "Why this reference standard", MISSING, "by the authors; the paper's is RECIST 1.1"),
    ("CLAIM", "16", "Source of annotations and who made them", MISSING, "who contoured the GTV, with what experience"),
    ("CLAIM", "17", "Annotation tools", MISSING, "the planning system"),
    ("CLAIM", "18", "Inter-rater variability of the reference", MISSING, "not known from this cohort"),
    ("CLAIM", "19", "Sample size and how it was set", MISSING, "a justification by the authors"),
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
    ("CLAIM", "33", "Flow of participants", FILLED, "report, flow"),
    ("CLAIM", "34", "Demographics and clinic in each partition", MISSING, "Tables I and II by side of the split"),
    ("CLAIM", "35", "Performance on all partitions", FILLED, "report, evaluation and out-of-bag"),
    ("CLAIM", "36", "Estimates with their precision", FILLED, "report, Table III and intervals"),
    ("CLAIM", "37", "Analysis of failed cases", FILLED, "report, failures"),
    ("CLAIM", "38", "Limitations", DECLARED, "model card, limits"),
    ("CLAIM", "39", "Implications for practice", MISSING, "by the authors"),
    ("CLAIM", "40", "Registration", MISSING, "register and number, or that there is none"),
    ("CLAIM", "41", "Where the protocol can be read", MISSING, "to be supplied"),
    ("CLAIM", "42", "Funding", MISSING, "to be supplied"),
)  # fmt: skip

#: Answers that only a cohort of patients can give: on a phantom they are not filled whatever the report prints.
OF_PATIENTS = {
    ("TRIPOD+AI", "6c"), ("TRIPOD+AI", "20b"), ("TRIPOD+AI", "23a"), ("TRIPOD+AI", "23b"),
    ("CLAIM", "28"), ("CLAIM", "29"), ("CLAIM", "35"), ("CLAIM", "36"),
}  # fmt: skip


def checklist(evaluation: Evaluation, dataset: Dataset) -> list[dict[str, Any]]:
    """Every item with ``standard, item, topic, status, where``; a phantom's figures answer none about patients."""
    items = [dict(zip(("standard", "item", "topic", "status", "where"), row, strict=True)) for row in ITEMS]
    if evaluation.metrics["synthetic"] or dataset.synthetic:
        for item in items:
            if (item["standard"], item["item"]) in OF_PATIENTS:
                item |= {"status": MISSING, "where": "SYNTHETIC data: nothing is known of patients"}
    return items
