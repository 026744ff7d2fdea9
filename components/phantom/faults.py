"""Faults that a phantom may have on purpose, so that an evaluation can be seen to find them (STUDY 7)."""

import dataclasses

MOST_CENTRES = 9


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in a cohort; by default nothing does.

    Parameters
    ----------
    patient_effect
        0 to 1: intraclass correlation of the labels of a patient's lesions, and the part of the variance of a lesion's
        appearance that is common to its patient. At 1 all lesions of a patient have one label and look alike.
    centres
        1 to 9: number of centres at which the patients were treated.
    centre_effect
        0 to 1: part of each centre's patients who are examined by its own protocol, difference in prevalence, and loss
        of the relation between image and response in the last centre: at 0.5 it has none, at 1 the reverse one.
    contrast_confounder
        0 to 1: strength of the tendency to examine non-responders without contrast agent; at 0 all patients get it.
    """

    patient_effect: float = 0.0
    centres: int = 1
    centre_effect: float = 0.0
    contrast_confounder: float = 0.0

    def facts(self) -> dict[str, float]:
        """The values by name, with one type for each, so that equal faults are written equally."""
        return {name: float(value) for name, value in dataclasses.asdict(self).items()} | {"centres": int(self.centres)}

    def problems(self, patients: int) -> list[str]:
        """A sentence for each value that a cohort of so many patients cannot have."""
        parts = {name: value for name, value in dataclasses.asdict(self).items() if name != "centres"}
        found = [f"{name} {value:g}: not from 0 (none) to 1" for name, value in parts.items() if not 0 <= value <= 1]
        if not 1 <= self.centres <= MOST_CENTRES:
            found.append(f"{self.centres} centres: not from 1 to {MOST_CENTRES}")
        elif self.centres > max(patients, 1):
            found.append(f"{self.centres} centres: more than the {patients} patients")
        if self.centres == 1 and self.centre_effect > 0:
            found.append(f"centre_effect {self.centre_effect:g}: needs at least 2 centres")
        return found


NO_FAULTS = Faults()
