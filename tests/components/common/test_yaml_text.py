"""Users' YAML is read as JSON's types; what hides a mistake, or grows without bound, is refused."""

import re

import pytest

from components.common.yaml_text import read_yaml


def test_the_types_of_json_are_read():
    text = "\ufeffa: [1, 2.5, true, null, text]\nb: {c: 'yes'}\nday: 2024-01-31\n"
    assert read_yaml(text.encode()) == {"a": [1, 2.5, True, None, "text"], "b": {"c": "yes"}, "day": "2024-01-31"}
    assert read_yaml('{"a": {"b": [1e3, -0.5, 1E-3]}}') == {"a": {"b": [1000.0, -0.5, 0.001]}}
    assert read_yaml("[~, null, yes, No, TRUE, off, .5, -3, .nan]")[:8] == [
        None,
        None,
        True,
        False,
        True,
        False,
        0.5,
        -3,
    ]
    assert read_yaml(b"") is None


@pytest.mark.parametrize("text", ["010", "1:30", "1_000", "0x1F", "0b1", "=", "<<", "2001-99-99", "9" * 5000])
def test_what_only_yaml_takes_for_a_number_or_more_stays_text(text):
    assert read_yaml(f"a: {text}") == {"a": text}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: 1\nsplit: 2\ntrain: 3", "'train' is given more than once"),
        ("a:\n  b: 1\n  b: 2", "line 2: 'b' is given more than once"),
        ("a: &x 1\nb: *x", "line 2: aliases"),
        ("&a [*a]", "aliases"),
        ("[" * 3000, "nested too deeply"),
        (b"a: \xff", "not UTF-8"),
        ("a: [1", "line 1: expected ',' or ']'"),
        ("a: b: c", "line 1: mapping values are not allowed here"),
        ("a: !!set {b}", "line 1: tags (!name) are not read"),
        ("a: !!python/object:os.system x", "line 1: tags"),
        ("a: 1\nb: !!bool maybe", "line 2: tags"),
        ("a: !own [b]", "line 1: tags"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: \0", "not YAML"),
    ],
)
def test_other_texts_are_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_yaml(text)
