"""Named sets of settings: what a preset changes in the defaults of ``settings``."""

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    # All that the paper states, also where it is the default today; the image's 151 px and 40 mm are constants.
    "paper": {
        "preprocess": {
            "slice_rule": "centre",
            "follow_up_window_days": 92,
            "min_diameter_mm": 10.0,
            "max_diameter_mm": 35.0,
            "max_metastases": 5,
        },
        "split": {
            "groups": 5,
            "members": 10,
            "evaluation_responders": 12,
            "evaluation_non_responders": 11,
            "split_unit": "tumour",
        },
        # Plain SGD: no momentum is stated, so the step is as long as the default's comes to with momentum 0.9.
        "train": {
            "momentum": 0.0,
            "learning_rate": 0.1,
            "dropout_after": "conv_2",
            "class_weights": "none",
            "weight_decay": 0.0,
            "augmentation": "none",
            "weight_average": 0.0,
        },
        "evaluate": {"ensemble_score": "vote", "cut_off": 0.5},
    },
    "fast": {
        "split": {"groups": 2, "members": 3},
        "train": {"max_steps": 200, "restart_step": 100, "patience_steps": 60, "max_restarts": 1},
    },
}
