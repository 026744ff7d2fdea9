"""Examples on the pages name only commands, options, parameters, targets and settings that exist."""

import inspect
import re

import pytest
import yaml
from typer.main import get_command

from components.common.presets import resolve
from pipelines.commands.cli import app
from pipelines.definitions import phantom, srs_response, validate
from tests.docs.pages import PAGES, ROOT

DATA_SCIENTIST = (ROOT / "docs" / "data-scientist.md").read_text()
#: All pages but the history, which may name what is gone.
EVERYTHING = "\n".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")
COMMANDS = get_command(app).commands


@pytest.mark.parametrize("line", sorted(set(re.findall(r"\.venv/bin/srs ([^\n`#]+)", EVERYTHING.replace("\\\n", " ")))))
def test_commands_and_options_exist(line):
    name, *words = line.split()
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_parameters_of_runs_exist():
    pipelines = (srs_response.build(), phantom.build(), validate.build())
    declared = {name for pipeline in pipelines for name in inspect.signature(pipeline.pipeline_func).parameters}
    named = set(re.findall(r"--param (\w+)=", EVERYTHING))
    assert named
    assert named <= declared


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ +)make ([a-z][a-z0-9-]+)", EVERYTHING, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_study_file_of_the_example_is_valid():
    (example,) = re.findall(r"```yaml\n(.*?)```", DATA_SCIENTIST, re.DOTALL)
    assert resolve("default", yaml.safe_load(example)).seed == 2


def test_set_flag_of_the_example_is_valid():
    commands = [re.findall(r"--set (\w+)\.(\w+)=([^\s`]+)", line) for line in EVERYTHING.splitlines()]
    for flags in filter(None, commands):
        resolve("default", *({section: {name: value}} for section, name, value in flags))
