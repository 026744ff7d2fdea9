"""Invents the identities that a hospital's DICOM headers hold, so that de-identification can be tested."""

import dataclasses
import datetime

import numpy as np

SURNAMES = (
    "Abernathy", "Baumgarten", "Castellanos", "Dunmore", "Ekström", "Fairweather", "Grünwald", "Hollenbeck", "Iglesias",
    "Jankowski", "Kirkwood", "Lindqvist", "Marchetti", "Nakamura", "Okonkwo", "Pemberton", "Quintero", "Rosenthal",
    "Sandoval", "Thornbury", "Ueda", "Vasquez", "Whitlock", "Yamashita", "Zielinski", "Brightwell", "Corrigan",
)  # fmt: skip
GIVEN = {
    "male": ("Adam", "Bruno", "Carl", "David", "Emil", "Frank", "Georg", "Henry", "Ivan", "Jonas", "Karim", "Louis"),
    "female": ("Alice", "Berta", "Clara", "Diana", "Elena", "Flora", "Greta", "Helen", "Irene", "Julia", "Karin"),
}
PHYSICIANS = ("Harrowgate^Miriam^^Dr", "Stenberg^Ulrik^^Dr", "Oyelaran^Tunde^^Prof", "Bellweather^Anne^^Dr")
INSTITUTIONS = ("St. Aldhelm Hospital", "Rivermouth Cancer Centre", "Klinikum Neuwald")
#: One for each centre of a cohort that has several.
CENTRES = (
    *INSTITUTIONS, "Hospital of the Five Wells", "Lakeside University Hospital", "Centre Hospitalier du Val",
    "Northgate Infirmary", "Ospedale della Collina", "Harbour City Oncology",
)  # fmt: skip
STREETS = ("Mill Lane", "Harbour Road", "Station Street", "Orchard Way")
FIRST_STUDY_DAY, STUDY_DAYS = datetime.date(2007, 1, 8), 3250


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """One invented person and their visit."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    age: int
    address: str
    study_date: str
    study_time: str
    accession: str
    physician: str
    institution: str
    station: str


def sample_identity(rng: np.random.Generator, number: int, age: int, sex: str, centre: int = 0) -> Identity:
    """Samples a person and their visit.

    Parameters
    ----------
    rng
        Samples what is not given.
    number
        Makes the patient ID unique within a cohort.
    age, sex
        In years; ``male`` or ``female``.
    centre
        Number of the institution, from 1; 0 for any.
    """
    study = FIRST_STUDY_DAY + datetime.timedelta(days=int(rng.integers(STUDY_DAYS)))
    born = study - datetime.timedelta(days=int(age * 365.25 + rng.uniform(30, 330)))
    given, middle = rng.choice(GIVEN[sex], 2, replace=False)
    identity = Identity(
        name=f"{rng.choice(SURNAMES)}^{given}^{middle[0]}",
        patient_id=f"{int(rng.integers(10, 99))}{number:04d}{int(rng.integers(10, 99))}",
        birth_date=f"{born:%Y%m%d}",
        sex=sex[0].upper(),
        age=age,
        address=f"{int(rng.integers(1, 200))} {rng.choice(STREETS)}",
        study_date=f"{study:%Y%m%d}",
        study_time=f"{int(rng.integers(8, 17)):02d}{int(rng.integers(60)):02d}{int(rng.integers(60)):02d}",
        accession=f"A{int(rng.integers(10**7, 10**8))}",
        physician=str(rng.choice(PHYSICIANS)),
        institution=str(rng.choice(INSTITUTIONS)),
        station=f"RTCT{int(rng.integers(1, 4))}",
    )
    return dataclasses.replace(identity, institution=CENTRES[centre - 1]) if centre else identity
