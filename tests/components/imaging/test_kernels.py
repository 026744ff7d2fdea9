"""Kernels are classed by the names that manufacturers give them, and every other text is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.imaging.kernels import KERNEL_CLASSES, kernel_class


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        # Siemens, SOMATOM Sensation Cardiac, operating instructions, page 316: B30s and B40s are the standard kernels,
        # B10s and B20s are softer, B50s to B80s sharper; S80s and S90s are for bone.
        ("B10s", "soft"), ("B20s", "soft"), ("B30s", "standard"), ("B31s", "standard"), ("B40s", "standard"),
        ("B41s", "standard"), ("B50s", "sharp"), ("B60s", "sharp"), ("B70s", "sharp"), ("B80s", "sharp"),
        ("S80s", "sharp"), ("S90s", "sharp"),
        # The names of other generations, with the strength of an iterative reconstruction as a second value
        ("H31s", "standard"), ("H60s", "sharp"), ("Hr38f", "standard"), ("Br40d\\3", "standard"),
        ("J40s\\2", "standard"),
        ("I30f\\3", "standard"), ("Qr40s", "standard"), ("Sm40f\\3", "standard"), ("Br59", "sharp"),
        ("BR40D", "standard"),
        # GE
        ("SOFT", "soft"), ("STANDARD", "standard"), ("STND", "standard"), ("LUNG", "sharp"), ("BONE", "sharp"),
        ("BONEPLUS", "sharp"), ("EDGE", "sharp"), ("Standard", "standard"), ("DETAIL", "unknown"),
        # Philips
        ("A", "soft"), ("B", "standard"), ("C", "sharp"), ("D", "sharp"), ("UA", "soft"), ("UB", "standard"),
        ("UC", "sharp"), ("YC", "sharp"),
        # Canon, Toshiba: "conventional lung kernel (FC55) and conventional soft tissue kernel (FC13)"
        # (synapse.koreamed.org/articles/1099806), and others of their groups
        ("FC13", "standard"), ("FC55", "sharp"), ("FC21", "standard"), ("FC51", "sharp"), ("FC81", "sharp"),
        ("FC64", "unknown"),
    ],
)  # fmt: skip
def test_kernels_of_manufacturers(kernel, expected):
    assert kernel_class(kernel) == expected


@pytest.mark.parametrize(
    "kernel", ["Lindqvist", "B30f Lindqvist", "B300f", "B3", "B00f", "FC1", "STANDARDS", "?", "Б30f", "B٣0"]
)
def test_other_texts_are_unknown(kernel):
    assert kernel_class(kernel) == "unknown"


@pytest.mark.parametrize("kernel", ["", "  ", "\\3"])
def test_an_empty_kernel_has_no_class(kernel):
    assert kernel_class(kernel) is None


@given(st.text())
def test_no_text_leaves(kernel):
    assert kernel_class(kernel) in (None, *KERNEL_CLASSES)
