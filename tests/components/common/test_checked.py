"""Checked values: types, ranges and unknown names, all problems in one error that says what is allowed."""

import dataclasses
import pickle
from collections.abc import Mapping
from typing import Literal, Self

import pydantic
import pytest

from components.common.checked import Conflicts, Refusal, checked, fields, range_of, sentence, setting, validated
from components.common.errors import InputError
from components.common.field_types import Integer, Number, Text, Truth

OVEN = Refusal("the oven:", invalid="OVEN_INVALID", unknown="OVEN_UNKNOWN", hint="See the manual.")


@checked(OVEN)
class Tray:
    height: Integer = setting(2, "rail from below", 1, 5)
    rack: Truth = setting(False, "whether it is a rack")


@checked(OVEN)
class Oven:
    heat: Number = setting(180.0, "temperature, degrees Celsius", 50, 250)
    mode: Literal["fan", "grill"] = setting("fan", "what heats")
    dish: Text = setting("", "what is in it")
    doors: Integer = setting(1, "number of doors", 1)
    tray: Tray = dataclasses.field(default_factory=Tray)
    notes: Mapping[Text, Text] = setting({}, "anything")

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.mode == "grill" and self.heat < 200:
            raise Conflicts("a grill is hotter", "and browner")
        return self


DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
LOOP: list = []
LOOP.append(LOOP)


def refused(**values) -> InputError:
    with pytest.raises(InputError) as caught:
        validated(Oven, values, OVEN)
    return caught.value


def test_names_every_problem_at_once_with_value_range_and_help():
    error = refused(heat=300.0, mode="steam", dish=4, doors=0, tray={"height": "x", "rack": 1}, notes={"a": 1})
    assert (error.code, error.exit_code, error.hint) == ("OVEN_INVALID", 2, "See the manual.")
    assert error.safe_message.splitlines() == [
        "the oven:",
        "  - heat: 300.0 is outside 50 to 250. Temperature, degrees Celsius.",
        "  - mode: 'steam' is not one of fan, grill. What heats.",
        "  - dish: 4 is not text. What is in it.",
        "  - doors: 0 is not 1 or more. Number of doors.",
        "  - tray.height: 'x' is not an integer. Rail from below.",
        "  - tray.rack: 1 is not true or false. Whether it is a rack.",
        "  - notes.a: 1 is not text. Anything.",
    ]


def test_names_unknown_keys_with_suggestions_beside_wrong_values():
    error = refused(heet=1, tray={"hight": 1, "x": 2}, dish=4)
    assert error.code == "OVEN_UNKNOWN"
    for line in ("heet: unknown name; did you mean heat?", "tray.hight: unknown name; did you mean height?", "dish: 4"):
        assert line in error.safe_message
    assert "tray.x: unknown name; known names: height, rack" in error.safe_message


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        (1, "1"),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        (float("inf"), ".inf"),
        (10**5000, "a number of too many digits"),
        ("", "''"),
        (" heat", "' heat'"),
        ("a\nb", "'a\\nb'"),
        ("[key]", "[key]"),
        ("x" * 1000, f"'{'x' * 76}..."),
    ],
    ids=["integer", "true", "null", "float", "infinite", "digits", "empty", "space", "line", "key", "long"],
)
@pytest.mark.parametrize("where", ["", "tray."])
def test_an_unknown_name_is_quoted_as_it_is_written_in_yaml(name, quoted, where):
    with pytest.raises(InputError) as caught:
        validated(Oven, {"tray": {name: 2}} if where else {name: 2}, OVEN)
    assert caught.value.code == "OVEN_UNKNOWN"
    assert f"  - {where}{quoted}: unknown name; " in caught.value.safe_message


def test_the_key_of_an_entry_is_quoted_as_it_is_written_in_yaml():
    assert "  - notes.true: true is not text. Anything." in refused(notes={True: "a"}).safe_message
    assert "  - notes.null: null is not text. Anything." in refused(notes={None: "a"}).safe_message


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"heat": "hot"}, "heat: 'hot' is not a number"),
        ({"heat": True}, "heat: true is not a number"),
        ({"heat": None}, "heat: null is not a number"),
        ({"heat": float("nan")}, "heat: .nan is not a finite number"),
        ({"heat": "nan"}, "heat: .nan is not a finite number"),
        ({"heat": float("inf")}, "heat: .inf is not a finite number"),
        ({"heat": "-inf"}, "heat: -.inf is not a finite number"),
        ({"heat": 10**400}, "is not a number"),
        ({"doors": 1.5}, "doors: 1.5 is not an integer"),
        ({"doors": "1.0"}, "doors: '1.0' is not an integer"),
        ({"doors": True}, "doors: true is not a number"),
        ({"dish": b"pie"}, "is not text"),
        ({"dish": None}, "dish: null is not text"),
        ({"dish": {"a": [True, None, "x"]}}, 'dish: {"a": [true, null, "x"]} is not text'),
        ({"dish": {(1, 2): "\ud800"}}, "dish: {"),
        ({"doors": float("nan")}, "doors: .nan is not an integer"),
        ({"tray": DEEP}, "tray: "),
        ({"dish": LOOP}, "dish: [[...]] is not text"),
        ({"tray": {"rack": "yes"}}, "tray.rack: 'yes' is not true or false"),
        ({"tray": [1]}, "tray: [1] is not a mapping of names to values"),
        ({"dish": ["x" * 1000]}, "x..."),
        ({"doors": 10**5000, "heat": 1.0}, "heat: 1.0 is outside"),
        ({"tray": {"height": 10**5000}}, "tray.height: a number of too many digits is outside 1 to 5"),
        ({"mode": "\ud800"}, "mode: '\\ud800' is not text"),
    ],
)
def test_converts_nothing_but_numbers(values, says):
    error = refused(**values)
    assert says in error.safe_message
    assert len(error.safe_message) < 250


def test_numbers_may_be_text_or_float_and_booleans_text():
    read = validated(Oven, {"heat": "200", "doors": 2.0, "tray": {"height": "3", "rack": "True"}}, OVEN)
    assert (read.heat, read.doors, read.tray.height, read.tray.rack) == (200.0, 2, 3, True)
    assert [type(value) for value in (read.heat, read.doors, Oven(heat=60).heat)] == [float, int, float]


def test_conflicts_between_valid_fields_are_named():
    assert "- a grill is hotter\n  - and browner" in refused(mode="grill").safe_message
    assert "hotter" not in refused(mode="grill", heat=0).safe_message


def test_values_are_frozen_hashable_dataclasses_and_replace_validates():
    tray = Tray(height=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        tray.height = 1
    assert {tray, Tray(3)} == {pickle.loads(pickle.dumps(tray))}
    assert list(dataclasses.asdict(tray).items()) == [("height", 3), ("rack", False)]
    assert dataclasses.replace(tray, rack=True) == Tray(3, True)
    with pytest.raises(InputError, match="height: 9 is outside 1 to 5"):
        dataclasses.replace(tray, height=9)
    with pytest.raises(InputError, match="hight: unknown name"):
        Tray(hight=1)


def test_help_and_ranges_come_from_the_declaration():
    declared = fields(Oven)
    assert [range_of(declared[name]) for name in ("heat", "mode", "dish", "doors")] == [
        "50 to 250",
        "one of fan, grill",
        "",
        "1 or more",
    ]
    assert sentence(declared["heat"]) == "Temperature, degrees Celsius."
    assert list(fields(Oven, "tray")) == ["height", "rack"]
