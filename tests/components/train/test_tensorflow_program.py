"""The compiled program of TensorFlow, in a process of its own: a process has one Keras backend."""

import os
import subprocess
import sys
from pathlib import Path


def test_passes_the_tests_of_the_program_of_jax():
    module = Path(__file__).with_name("test_programs.py")
    environment = {**os.environ, "SRS_KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(module)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
