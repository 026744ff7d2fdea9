"""What in a DICOM header is identity: the attributes of DICOM PS3.15 Table E.1-1 (Basic Profile) seen in CT and RT."""

import re
from collections.abc import Iterator

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

#: Attributes of the Basic Profile that a study keeps (as columns of its table), so that they are no identity here.
KEPT = frozenset({"PatientSex", "PatientAge"})

#: Attributes of the Basic Profile whose values are searched for, beside every name (VR PN) and every UID but classes.
BASIC_PROFILE = frozenset(
    """
AccessionNumber AcquisitionComments AcquisitionDate AcquisitionDateTime AcquisitionTime
ActualHumanPerformersSequence AdditionalPatientHistory AdmissionID AdmittingDate AdmittingDiagnosesDescription
AdmittingTime Allergies AuthorObserverSequence BranchOfService ClinicalTrialCoordinatingCenterName
ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSponsorName
ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ContentDate ContentTime CountryOfResidence
CurrentPatientLocation DerivationDescription DetectorID DeviceSerialNumber DeviceUID DischargeDiagnosisDescription
EthnicGroup FillerOrderNumberImagingServiceRequest GantryID GeneratorID ImageComments ImagingServiceRequestComments
InstanceCreationDate InstanceCreationTime InstitutionAddress InstitutionalDepartmentName InstitutionName
InsurancePlanIdentification IssuerOfPatientID MedicalAlerts MedicalRecordLocator MilitaryRank Occupation
OperatorIdentificationSequence OtherPatientIDs OtherPatientNames PatientAddress PatientBirthDate PatientBirthName
PatientBirthTime PatientComments PatientID PatientInstitutionResidence PatientMotherBirthName PatientName
PatientReligiousPreference PatientTelephoneNumbers PerformedProcedureStepDescription PerformedProcedureStepID
PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformingPhysicianName PersonAddress PersonName
PersonTelephoneNumbers PhysiciansOfRecord PlateID PlacerOrderNumberImagingServiceRequest PreMedication ProtocolName
ReferringPhysicianAddress ReferringPhysicianName ReferringPhysicianTelephoneNumbers RegionOfResidence
RequestAttributesSequence RequestedProcedureComments RequestedProcedureDescription RequestedProcedureID
RequestingPhysician RequestingService ResponsibleOrganization ResponsiblePerson ReviewDate ReviewerName ReviewTime
RTPlanDate RTPlanLabel RTPlanName RTPlanTime ScheduledProcedureStepDescription ScheduledProcedureStepID SeriesDate
SeriesDescription SeriesTime ServiceEpisodeDescription ServiceEpisodeID SmokingStatus SpecialNeeds StationName
StructureSetDate StructureSetDescription StructureSetLabel StructureSetName StructureSetTime StudyDate
StudyDescription StudyID StudyTime TimezoneOffsetFromUTC TreatmentDate TreatmentTime VisitComments
""".split()  # noqa: SIM905
)

PROFILE_TAGS = frozenset(tag_for_keyword(keyword) for keyword in BASIC_PROFILE)

#: Shortest value, and shortest part of a name, that is searched for.
SHORTEST_VALUE, SHORTEST_NAME = 4, 3


def identities_in(header: Dataset) -> dict[str, str]:
    """Identity in a header: text to search for -> the keyword of the attribute it stands in.

    Values of 4 or more characters as they are; of names their parts of 3 or more letters. Values that cannot be
    decoded are passed over: they cannot be written by mistake either.
    """
    found: dict[str, str] = {}
    for element in _elements(header):
        if element.keyword in KEPT:
            continue
        parts = name_parts(str(element.value)) if element.VR == "PN" else values_of(element)
        found |= dict.fromkeys(parts, element.keyword)
    return found


def name_parts(name: str) -> list[str]:
    """The parts of a name that have 3 or more letters."""
    return [part for part in re.findall(r"[^\W\d_]+", name) if len(part) >= SHORTEST_NAME]


def values_of(element: DataElement) -> list[str]:
    """The values of an element that are long enough to be searched for."""
    values = element.value if element.VM > 1 else [element.value]
    texts = [str(value).strip() for value in values if value is not None]
    return [text for text in texts if len(text) >= SHORTEST_VALUE]


def _elements(header: Dataset) -> Iterator[DataElement]:
    for tag in header.keys():  # noqa: SIM118
        try:
            # most elements are passed over before they are decoded, which is what takes time
            if tag not in PROFILE_TAGS and (header.get_item(tag).VR or dictionary_VR(tag)) not in ("PN", "UI", "SQ"):
                continue
            element = header[tag]
            if element.VR == "SQ":
                for item in element.value:
                    yield from _elements(item)
            elif element.VR != "UI" or _is_own_uid(element):
                yield element
        except Exception:  # noqa: S112
            continue


def _is_own_uid(element: DataElement) -> bool:
    return not str(element.value).startswith("1.2.840.10008.")
