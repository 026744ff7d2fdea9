"""TRIPOD+AI and CLAIM items of a run: filled by the run, declared by the study, or missing.

TRIPOD+AI: Collins et al., BMJ 2024;385:e078378, 27 items in 52 parts. CLAIM: the 2024 update, Tejani et al.,
Radiol Artif Intell 2024;6:e240300, 44 items. All stand here, named in our own words. ``filled``: a figure or text of
this run answers it; ``declared``: the method's documentation answers it, the same for every run; ``missing``: only
the study's authors can answer it.
"""

from typing import Any

from components.evaluate.evaluation import EvaluatedRun

FILLED, DECLARED, MISSING = "filled", "declared", "missing"

#: Item, topic, status, where it is answered or what is to be supplied.
TRIPOD_AI = (
    ("1", "Title names a prediction model, its population and outcome", DECLARED, "model card, head"),
    ("2", "Abstract (TRIPOD+AI for Abstracts)", MISSING, "by the authors"),
    ("3a", "Health-care context, rationale, existing models", MISSING, "rationale and existing models, by the authors"),
    ("3b", "Target population, place in the care pathway, users", DECLARED, "model card, intended use"),
    ("3c", "Known health inequalities between groups of patients", MISSING, "to be described by the authors"),
    ("4", "Objectives: development, evaluation or both", DECLARED, "model card, intended use (both, on one cohort)"),
    ("5a", "Sources of data, their representativeness", MISSING, "centre, recruitment, representativeness"),
    ("5b", "Dates of treatment and end of follow-up", MISSING, "left out on purpose: dates identify patients"),
    ("6a", "Setting, number and place of centres", MISSING, "centre, kind of hospital, country"),
    ("6b", "Eligibility criteria", FILLED, "report, flow"),
    ("6c", "Treatments received", FILLED, "report, Table II"),
    ("7", "Preparation of the data, checks of quality", FILLED, "report, run facts: image definition"),
    ("8a", "Outcome, its time horizon and assessment", DECLARED, "model card, data (RECIST 1.1)"),
    ("8b", "Qualification of those who assessed the outcome", MISSING, "who read the follow-up images"),
    ("8c", "Blinding of the outcome's assessment", MISSING, "what the readers of the follow-up images knew"),
    ("9a", "Choice of the initial predictors", DECLARED, "model card, head: one planning-CT slice, by design"),
    ("9b", "Definition of the predictors, how and when measured", FILLED, "report, images and network"),
    ("9c", "Qualification of those who assessed predictors", MISSING, "who contoured the GTV, with what experience"),
    ("10", "Sample size, and whether it suffices", MISSING, "a justification by the authors"),
    ("11", "Missing data", FILLED, "report, Tables I and II (n where not all are known), beyond the image"),
    ("12a", "How the data served development and evaluation", FILLED, "report, splits"),
    ("12b", "Handling of the predictors", FILLED, "report, images and network; beyond the image"),
    ("12c", "Type of model, all steps, tuning, internal validation", FILLED, "report, network, training, run facts"),
    ("12d", "Heterogeneity between clusters", FILLED, "report, five groups (repeated draws of one cohort)"),
    ("12e", "Measures of performance", FILLED, "report, results, ensembles, calibration"),
    ("12f", "Updating of the model after evaluation", DECLARED, "none; Platt scaling is shown, not applied"),
    ("12g", "How predictions were calculated", DECLARED, "the registered bundle; report, ensembles"),
    ("13", "Class imbalance", FILLED, "report, flow: quotas; run facts: class_weights"),
    ("14", "Fairness between groups of patients", MISSING, "performance by sex, age and primary site"),
    ("15", "Output of the model, thresholds and their choice", FILLED, "report, results: cut-offs"),
    ("16", "Differences of development and evaluation data", DECLARED, "none by design: draws from one cohort"),
    ("17", "Ethical approval, consent", MISSING, "committee and number"),
    ("18a", "Funding", MISSING, "to be supplied"),
    ("18b", "Conflicts of interest", MISSING, "to be supplied"),
    ("18c", "Protocol", MISSING, "where it can be read, or that there is none"),
    ("18d", "Registration", MISSING, "register and number, or that there is none"),
    ("18e", "Availability of the data", MISSING, "to be stated by the owner of the data"),
    ("18f", "Availability of the code", DECLARED, "this platform, Apache-2.0"),
    ("19", "Involvement of patients and the public", MISSING, "to be supplied, or that there was none"),
    ("20a", "Flow of participants, outcomes", FILLED, "report, flow"),
    ("20b", "Characteristics of participants", FILLED, "report, Tables I and II"),
    ("20c", "Predictors in evaluation against development data", MISSING, "Tables I and II by split"),
    ("21", "Participants and events in every analysis", FILLED, "report, training and Table III"),
    ("22", "The full model, so that it can be used", DECLARED, "model registry: the bundle"),
    ("23a", "Performance with confidence intervals", FILLED, "report, Table III, ensembles"),
    ("23b", "Heterogeneity of performance between clusters", FILLED, "report, five groups (of one cohort)"),
    ("24", "Results of updating the model", DECLARED, "the model is not updated"),
    ("25", "Interpretation, fairness included", MISSING, "by the authors"),
    ("26", "Limitations", DECLARED, "model card, limits"),
    ("27a", "Poor or missing input at use", DECLARED, "model card, limits"),
    ("27b", "Interaction and expertise asked of users", DECLARED, "model card, intended use"),
    ("27c", "Next steps, generalisability", DECLARED, "model card, next steps"),
)

CLAIM = (
    ("1", "Title or abstract names the AI method", DECLARED, "model card, head"),
    ("2", "Summary of design, methods, results, conclusions", MISSING, "by the authors"),
    ("3", "Background, intended use and role", DECLARED, "model card, intended use"),
    ("4", "Aims and hypotheses", DECLARED, "model card, intended use"),
    ("5", "Prospective or retrospective", DECLARED, "model card, intended use: no prospective validation"),
    ("6", "Goal of the study", DECLARED, "model card, intended use"),
    ("7", "Sources of the data", MISSING, "centre and years"),
    ("8", "Inclusion and exclusion criteria", FILLED, "report, flow"),
    ("9", "Preprocessing", FILLED, "report, images and network; run facts: image definition"),
    ("10", "Selection of subsets of the data", FILLED, "report, images and network: one slice a tumour"),
    ("11", "De-identification", DECLARED, "pseudonyms by allow-list; no dates, names or UIDs"),
    ("12", "Handling of missing data", FILLED, "report, Tables I and II, beyond the image"),
    ("13", "Protocol of image acquisition", MISSING, "scanners, slice thickness, contrast agent"),
    ("14", "Reference standard, how obtained", DECLARED, "model card, data (RECIST 1.1)"),
    ("15", "Why this reference standard", MISSING, "by the authors"),
    ("16", "Source of the reference annotations", MISSING, "who measured the response, with what experience"),
    ("17", "Annotation of the test set", MISSING, "who contoured and measured the evaluation tumours"),
    ("18", "Inter- and intra-rater variability", MISSING, "not known from this cohort"),
    ("19", "How data were assigned to partitions", FILLED, "report, splits"),
    ("20", "Level at which partitions are disjoint", FILLED, "report, leakage statement"),
    ("21", "Intended sample size", MISSING, "a justification by the authors"),
    ("22", "Detailed description of the model", FILLED, "report, Figure 2"),
    ("23", "Software libraries and frameworks", FILLED, "report, run facts: versions"),
    ("24", "Initialisation of the parameters", DECLARED, "He and Glorot, drawn anew at a restart"),
    ("25", "Details of training", FILLED, "report, training, run facts: settings"),
    ("26", "Selection of the final model", FILLED, "report, training and out-of-bag choice"),
    ("27", "Ensembling", FILLED, "report, ensembles"),
    ("28", "Metrics of performance", FILLED, "report, results"),
    ("29", "Measures of significance and uncertainty", FILLED, "report, Table III, ensembles"),
    ("30", "Robustness or sensitivity analysis", FILLED, "report: five groups, number of members, two scores"),
    ("31", "Explainability", FILLED, "report, what the ensemble looked at"),
    ("32", "Evaluation on internal data", FILLED, "report, results"),
    ("33", "Testing on external data", MISSING, "one cohort only"),
    ("34", "Clinical trial registration", MISSING, "number, or that it is no trial"),
    ("35", "Patients or examinations included and excluded", FILLED, "report, flow"),
    ("36", "Characteristics of the cases in each partition", MISSING, "Tables I and II by split"),
    ("37", "Performance metrics with their uncertainty", FILLED, "report, Table III, ensembles"),
    ("38", "Diagnostic performance and its precision", FILLED, "report, sensitivity and specificity"),
    ("39", "Failure analysis", FILLED, "report, failures"),
    ("40", "Limitations", DECLARED, "model card, limits"),
    ("41", "Implications for practice", DECLARED, "model card, intended use: none yet"),
    ("42", "Reference to the full protocol or details", DECLARED, "report, run facts: settings and digests"),
    ("43", "Availability of software, model and data", MISSING, "data: to be stated by their owner"),
    ("44", "Funding and the funders' role", MISSING, "to be supplied"),
)

#: Standard and the four columns above.
ITEMS = tuple((name, *row) for name, rows in (("TRIPOD+AI", TRIPOD_AI), ("CLAIM", CLAIM)) for row in rows)

#: Answers that only a cohort of patients can give: on a phantom they are not filled whatever the report prints.
OF_PATIENTS = {
    *(("TRIPOD+AI", item) for item in ("6c", "20b", "23a", "23b")),
    *(("CLAIM", item) for item in ("32", "37", "38")),
}

#: The answer that a run gives only where it holds its members' weights.
OF_WEIGHTS = ("CLAIM", "31")


def checklist(run: EvaluatedRun) -> list[dict[str, Any]]:
    """Every item with ``standard, item, topic, status, where``; a phantom's figures answer none about patients."""
    items = [dict(zip(("standard", "item", "topic", "status", "where"), row, strict=True)) for row in ITEMS]
    explained = any(member.weights for member in run.members.members)
    for item in items:
        key = item["standard"], item["item"]
        if run.dataset.synthetic and key in OF_PATIENTS:
            item |= {"status": MISSING, "where": "SYNTHETIC data: nothing is known of patients"}
        if key == OF_WEIGHTS and not explained:
            item |= {"status": MISSING, "where": "this run does not hold its members' weights"}
    return items
