"""README names only commands, options, targets and settings that exist."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from components.common.settings import resolve
from pipelines.commands.cli import app
from pipelines.definitions import phantom, srs_response

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BOTH = README + (ROOT / "infra" / "README.md").read_text()
COMMANDS = get_command(app).commands


@pytest.mark.parametrize("line", sorted(set(re.findall(r"\.venv/bin/srs ([^\n`#]+)", BOTH.replace("\\\n", " ")))))
def test_commands_and_options_exist(line):
    name, *words = line.split()
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_parameters_of_runs_exist():
    pipelines = (srs_response.build(), phantom.build())
    declared = {name for pipeline in pipelines for name in inspect.signature(pipeline.pipeline_func).parameters}
    named = set(re.findall(r"--param (\w+)=", BOTH))
    assert named
    assert named <= declared


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z][a-z0-9-]+)", BOTH)) <= targets


def test_study_file_of_the_example_is_valid():
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert resolve("default", yaml.safe_load(example)).seed == 2


def test_set_flag_of_the_example_is_valid():
    for section, name, value in re.findall(r"--set (\w+)\.(\w+)=([^\s`]+)", README):
        resolve("default", {section: {name: value}})
