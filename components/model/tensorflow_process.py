"""Loads a Keras model with TensorFlow, as anyone can: a script that imports nothing of this project.

tensorflow_process.py answers MODEL.keras CROPS.npy ANSWERS.npy
tensorflow_process.py saved-model MODEL.keras FOLDER
"""

import sys

BATCH = 32


def answers(model_file: str, crops_file: str, answers_file: str) -> None:
    """Writes the model's output for crops."""
    import numpy as np
    import tensorflow as tf

    model = tf.keras.models.load_model(model_file, compile=False)
    crops = np.load(crops_file, allow_pickle=False)
    batches = [model(crops[i : i + BATCH], training=False).numpy() for i in range(0, len(crops), BATCH)]
    np.save(answers_file, np.concatenate(batches), allow_pickle=False)


def saved_model(model_file: str, folder: str) -> None:
    """Writes the model as a SavedModel."""
    import tensorflow as tf

    tf.keras.models.load_model(model_file, compile=False).export(folder, verbose=False)


if __name__ == "__main__":
    if sys.argv[1] == "answers":
        answers(*sys.argv[2:])
    else:
        saved_model(*sys.argv[2:])
