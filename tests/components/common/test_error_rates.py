"""Which error rates a card prints: those of the run's own design, or of the default with a word about it."""

from components.common.error_rates import NULL, NULL_BY_CENTRES, POWER, design_of, simulated_for

DEFAULT = "5 groups of 10 networks, split by patient"


def test_a_design_that_was_simulated_has_its_own_rates():
    by_patient, by_centre = design_of("patient", 5, 50), design_of("centre", 4, 40)
    assert (simulated_for(by_patient).design, simulated_for(by_patient).power) == (by_patient, POWER)
    assert NULL in simulated_for(by_patient).rates
    assert simulated_for(by_centre).design == by_centre
    assert NULL_BY_CENTRES[4] in simulated_for(by_centre).rates


def test_any_other_design_is_given_the_default_ones_under_their_own_name():
    for other in (("tumour", 5, 50), ("patient", 2, 6), ("centre", 3, 30), ("centre", 4, 8)):
        assert (
            simulated_for(design_of(*other)).design == "5 groups of 10 networks, split by patient" != design_of(*other)
        )
