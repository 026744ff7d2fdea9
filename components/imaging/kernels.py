"""The class of a reconstruction kernel, by the names that manufacturers write into ConvolutionKernel (0018,1210).

The names are compared with an allow-list; where a manufacturer's order of names leaves a class open, they are left out.
"""

import re
from collections.abc import Mapping

#: Classes, from smooth to sharp; ``unknown`` where a kernel is named but not recognised.
KERNEL_CLASSES = ("soft", "standard", "sharp", "unknown")

#: GE's names without Detail and Chest, which lie between standard and sharp. Philips: A (smooth), B (standard), C
#: (sharp) and D (detail), the same after U for the brain, and sharper ones after Y.
_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("SOFT", "A", "UA"), "soft"),
    **dict.fromkeys(("STANDARD", "STND", "STD", "B", "UB"), "standard"),
    **dict.fromkeys(("LUNG", "BONE", "BONEPLUS", "EDGE", "C", "D", "UC", "YB", "YC", "YD"), "sharp"),
}
#: Siemens: letters for the part of the body and the method, two digits that grow with sharpness, and letters for the
#: speed, as in B30f, H31s, J40s, Hr38, Br40d, Sm40f.
_SIEMENS = re.compile(r"[BCDHIJQSU][A-Z]?([1-9][0-9])[A-Z]{0,2}")
#: "As standard kernels B30s or B40s are recommended; softer images are obtained with B20s or B10s"; from B50s "for
#: higher sharpness" (SOMATOM Sensation Cardiac, operating instructions, page 316).
_SIEMENS_STANDARD, _SIEMENS_SHARP = 30, 50
#: Canon and Toshiba: FC01 to FC03 and FC11 to FC13 (body), FC21 to FC23 (head), FC10 and FC20 smoother; FC30 to FC39
#: (bone), FC50 to FC59 (lung) and FC80 to FC89 (high resolution).
_CANON: Mapping[str, str] = {"soft": r"FC[12]0", "standard": r"FC[012][1-3]", "sharp": r"FC[358][0-9]"}


def kernel_class(kernel: str) -> str | None:
    r"""The class of a kernel, None where it is empty.

    Parameters
    ----------
    kernel
        ConvolutionKernel; of several values, divided by backslashes, the first is the kernel, and others may give the
        strength of an iterative reconstruction (``Br40d\\3``).
    """
    name = re.sub(r"[\s_-]", "", kernel.partition("\\")[0]).upper()
    if not name:
        return None
    if match := _SIEMENS.fullmatch(name):
        number = int(match[1])
        return "sharp" if number >= _SIEMENS_SHARP else "standard" if number >= _SIEMENS_STANDARD else "soft"
    canon = (one for one, pattern in _CANON.items() if re.fullmatch(pattern, name))
    return _NAMES.get(name) or next(canon, "unknown")
