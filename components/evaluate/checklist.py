"""TRIPOD+AI and CLAIM items of a run: filled by the run, declared by the study, or missing.

TRIPOD+AI: Collins et al., BMJ 2024;385:e078378, 27 items in 52 parts. CLAIM: the 2024 update, Tejani et al.,
Radiol Artif Intell 2024;6:e240300, 44 items. Topics are paraphrased. ``filled``: a result or text of this run reports
the item; ``declared``: the documentation of the method reports it, the same for every run; ``missing``: only the
study's authors can report it.
"""

from typing import Any

from components.evaluate.evaluation import EvaluatedRun

FILLED, DECLARED, MISSING = "filled", "declared", "missing"

#: Item, topic, status, and where the item is reported or what the authors must supply.
TRIPOD_AI = (
    ("1", "Title identifies a prediction model, its population and outcome", DECLARED, "model card, introduction"),
    ("2", "Abstract (TRIPOD+AI for Abstracts)", MISSING, "an abstract by the authors"),
    ("3a", "Healthcare context, rationale, existing models", MISSING, "a description by the authors"),
    ("3b", "Target population, purpose in the care pathway, intended users", DECLARED, "model card, intended use"),
    ("3c", "Known health inequalities between groups of patients", MISSING, "a description by the authors"),
    ("4", "Objectives: development, evaluation or both", DECLARED, "model card, intended use (both, on one cohort)"),
    ("5a", "Sources of data and their representativeness", MISSING, "centre, recruitment, representativeness"),
    ("5b", "Dates of treatment and end of follow-up", MISSING, "omitted on purpose: dates identify patients"),
    ("6a", "Setting, number and location of centres", MISSING, "centre, type of hospital, country"),
    ("6b", "Eligibility criteria", FILLED, "report, flow of tumours"),
    ("6c", "Treatments received", FILLED, "report, Table II"),
    ("7", "Data preparation and quality checks", FILLED, "report, run details: image definition"),
    ("8a", "Outcome, its time horizon and how it is assessed", DECLARED, "model card, data (RECIST 1.1)"),
    ("8b", "Qualifications of the outcome assessors", MISSING, "who read the follow-up images, with what experience"),
    ("8c", "Blinding of the outcome assessment", MISSING, "what the readers of the follow-up images knew"),
    ("9a", "Choice of the initial predictors", DECLARED, "model card, introduction: one slice of the CT, by design"),
    ("9b", "Definition of the predictors, how and when they are measured", FILLED, "report, images and network"),
    ("9c", "Qualifications of the predictor assessors", MISSING, "who contoured the GTV, with what experience"),
    ("10", "Sample size and its justification", MISSING, "a justification by the authors"),
    ("11", "Missing data", FILLED, "report, limits: missing data; Tables I and II: n where values are missing"),
    ("12a", "How the data were used for development and evaluation", FILLED, "report, splits and leakage"),
    ("12b", "Handling of the predictors", FILLED, "report, images and network, clinical covariates"),
    ("12c", "Type of model, model building, internal validation", FILLED, "report, network, training, run details"),
    ("12d", "Heterogeneity between clusters", FILLED, "report, subgroups: centre; centres left out"),
    ("12e", "Performance measures", FILLED, "report, results, ensembles, calibration"),
    ("12f", "Model updating after evaluation", DECLARED, "recalibration alone (Platt scaling): report, calibration"),
    ("12g", "How predictions were calculated", DECLARED, "the registered bundle; report, ensembles"),
    ("13", "Class imbalance", FILLED, "report, run details: class_weights; calibration: Platt scaling; splits: events"),
    ("14", "Fairness across groups of patients", DECLARED, "no method was used; report, subgroups: sex, age, centre"),
    ("15", "Output of the model, classification thresholds and their choice", FILLED, "report, results: cut-offs"),
    ("16", "Differences between development and evaluation data", FILLED, "report, splits: Tables I and II by split"),
    ("17", "Ethical approval and informed consent", MISSING, "committee and number"),
    ("18a", "Funding", MISSING, "to be supplied"),
    ("18b", "Conflicts of interest", MISSING, "to be supplied"),
    ("18c", "Protocol", MISSING, "where it is available, or that there is none"),
    ("18d", "Registration", MISSING, "register and number, or that there is none"),
    ("18e", "Availability of the data", MISSING, "to be stated by the owner of the data"),
    ("18f", "Availability of the code", DECLARED, "this platform, Apache-2.0"),
    ("19", "Patient and public involvement", MISSING, "a description, or that there was none"),
    ("20a", "Flow of participants and their outcomes", FILLED, "report, flow of tumours: outcomes, follow-up time"),
    ("20b", "Characteristics of participants", FILLED, "report, Tables I and II"),
    (
        "20c",
        "Comparison of predictors in evaluation and development data",
        FILLED,
        "report, splits: Tables I and II by split",
    ),
    ("21", "Numbers of participants and events in each analysis", FILLED, "report, splits: tumours and events"),
    ("22", "Details of the full model, so that it can be used", DECLARED, "model registry: the bundle"),
    ("23a", "Performance with confidence intervals", FILLED, "report, Table III, ensembles"),
    (
        "23b",
        "Heterogeneity of performance between clusters",
        FILLED,
        "report, subgroups: centre",
    ),
    ("24", "Results of model updating", FILLED, "report, calibration: after Platt scaling"),
    ("25", "Interpretation, including fairness", MISSING, "an interpretation by the authors"),
    ("26", "Limitations", FILLED, "report, limits; model card, limits"),
    ("27a", "Handling of poor or missing input in use", DECLARED, "model card, limits"),
    ("27b", "User interaction and expertise required", DECLARED, "model card, intended use"),
    ("27c", "Next steps and generalisability", DECLARED, "model card, next steps"),
)

CLAIM = (
    ("1", "Title or abstract identifies the AI method", DECLARED, "model card, introduction"),
    ("2", "Summary of design, methods, results, conclusions", MISSING, "a summary by the authors"),
    ("3", "Background, intended use and role", DECLARED, "model card, intended use"),
    ("4", "Aims and hypotheses", DECLARED, "model card, intended use"),
    ("5", "Prospective or retrospective", DECLARED, "retrospective; report, limits; model card, intended use"),
    ("6", "Goal of the study", DECLARED, "model card, intended use"),
    ("7", "Data sources", MISSING, "centre and years"),
    ("8", "Inclusion and exclusion criteria", FILLED, "report, flow of tumours"),
    ("9", "Preprocessing", FILLED, "report, images and network; run details: image definition"),
    ("10", "Selection of subsets of the data", FILLED, "report, images and network: one slice per tumour"),
    ("11", "De-identification", DECLARED, "pseudonyms and an allow-list; no dates, names or UIDs"),
    ("12", "Handling of missing data", FILLED, "report, limits: missing data"),
    ("13", "Image acquisition protocol", MISSING, "scanners and protocol (report, Table S1, holds what the files say)"),
    ("14", "Reference standard and how it was obtained", DECLARED, "model card, data (RECIST 1.1)"),
    ("15", "Rationale for the reference standard", MISSING, "a rationale by the authors"),
    ("16", "Source of the reference annotations", MISSING, "who measured the response, with what experience"),
    ("17", "Annotation of the test set", MISSING, "who contoured and measured the evaluation tumours"),
    ("18", "Inter- and intra-rater variability", MISSING, "not known from this cohort"),
    ("19", "How data were assigned to partitions", FILLED, "report, splits and leakage"),
    ("20", "Level at which partitions are disjoint", FILLED, "report, splits and leakage"),
    ("21", "Intended sample size", MISSING, "a justification by the authors"),
    ("22", "Detailed description of the model", FILLED, "report, Figure 2"),
    ("23", "Software libraries and frameworks", FILLED, "report, run details: versions"),
    ("24", "Initialisation of the parameters", DECLARED, "random (He and Glorot), new weights at each restart"),
    ("25", "Details of training", FILLED, "report, training, run details: settings"),
    ("26", "Selection of the final model", FILLED, "report, training, ensembles (choice of group)"),
    ("27", "Ensembling", FILLED, "report, ensembles"),
    ("28", "Performance metrics", FILLED, "report, results"),
    ("29", "Statistical measures of significance and uncertainty", FILLED, "report, Table III, ensembles"),
    ("30", "Robustness or sensitivity analysis", FILLED, "report, ensembles: groups, number of networks, two scores"),
    ("31", "Explainability", FILLED, "report, saliency maps"),
    ("32", "Evaluation on internal data", FILLED, "report, results"),
    ("33", "Testing on external data", MISSING, "one cohort only"),
    ("34", "Clinical trial registration", MISSING, "number, or that this is no trial"),
    ("35", "Patients or examinations included and excluded", FILLED, "report, flow of tumours"),
    ("36", "Characteristics of the cases in each partition", FILLED, "report, splits: Tables I and II by split"),
    ("37", "Performance metrics with their uncertainty", FILLED, "report, Table III, ensembles"),
    ("38", "Diagnostic performance and its precision", FILLED, "report, results: sensitivity and specificity"),
    ("39", "Failure analysis", FILLED, "report, misclassified tumours"),
    ("40", "Limitations", FILLED, "report, limits; model card, limits"),
    ("41", "Implications for practice", DECLARED, "model card, intended use: none yet"),
    ("42", "Reference to the full protocol or details", DECLARED, "report, run details: settings and digests"),
    ("43", "Availability of software, model and data", MISSING, "data: to be stated by the owner of the data"),
    ("44", "Funding and role of the funders", MISSING, "to be supplied"),
)

#: Standard and the four columns above.
ITEMS = tuple((name, *row) for name, rows in (("TRIPOD+AI", TRIPOD_AI), ("CLAIM", CLAIM)) for row in rows)

#: Items that only a cohort of patients can fill; for a phantom cohort they are missing, whatever the report prints.
OF_PATIENTS = {
    *(("TRIPOD+AI", item) for item in ("6c", "20b", "20c", "23a", "23b")),
    *(("CLAIM", item) for item in ("32", "36", "37", "38")),
}

#: The item that a run fills only if its members' weights are stored.
OF_WEIGHTS = ("CLAIM", "31")

#: Items about clusters, which are centres: unless splits are by centre, groups are repeated samples and no clusters.
OF_CENTRES = {("TRIPOD+AI", "12d"), ("TRIPOD+AI", "23b")}


def checklist(run: EvaluatedRun) -> list[dict[str, Any]]:
    """Every item with ``standard, item, topic, status, where``; a phantom cohort fills no item about patients."""
    items = [dict(zip(("standard", "item", "topic", "status", "where"), row, strict=True)) for row in ITEMS]
    explained = any(member.weights for member in run.members.members)
    centres = run.dataset.tumours["centre"].nunique()
    for item in items:
        key = item["standard"], item["item"]
        if key in OF_CENTRES and centres < 2:
            item |= {"status": MISSING, "where": "one centre, or centres are not known; groups are no clusters"}
        if run.dataset.synthetic and key in OF_PATIENTS:
            item |= {"status": MISSING, "where": "SYNTHETIC data: no result is about patients"}
        if key == OF_WEIGHTS and not explained:
            item |= {"status": MISSING, "where": "the weights of this run's networks are not stored"}
    return items
