"""The API server for tests implements versions, generations, owners and conflicts."""

import pytest

from tests.kubernetes_api import KubernetesApi, Refused

WHERE = "/api/v1/namespaces/a/things/b"


def thing(**spec: object) -> dict:
    return {"metadata": {"name": "b"}, "spec": spec}


@pytest.fixture
def api():
    with KubernetesApi() as api:
        yield api


def test_versions_move_with_changes_and_generations_with_the_specification(api):
    first = api.apply(WHERE, thing(x=1), "one", force=False)["metadata"].copy()
    same = api.apply(WHERE, thing(x=1), "one", force=False)["metadata"].copy()
    labelled = api.apply(WHERE, thing(x=1) | {"metadata": {"name": "b", "labels": {"l": "1"}}}, "one", force=False)
    assert first == same
    assert labelled["metadata"]["generation"] == first["generation"] == 1
    assert labelled["metadata"]["resourceVersion"] > first["resourceVersion"]
    assert api.apply(WHERE, thing(x=2), "one", force=False)["metadata"]["generation"] == 2


def test_a_field_has_one_owner_unless_two_agree_or_one_forces(api):
    api.apply(WHERE, thing(x=1, mine=[1, 2]), "one", force=False)
    api.apply(WHERE, thing(x=1, other=3), "two", force=False)
    with pytest.raises(Refused, match="Conflict") as caught:
        api.apply(WHERE, thing(mine=[3]), "two", force=False)
    assert caught.value.status == 409
    assert api.apply(WHERE, thing(mine=[3]), "two", force=True)["spec"]["mine"] == [3]


def test_what_a_manager_no_longer_names_goes_and_what_others_own_stays(api):
    api.apply(WHERE, thing(x=1, deep={"y": 1}), "one", force=False)
    api.apply(WHERE, thing(z=1), "two", force=False)
    assert api.apply(WHERE, thing(x=1), "one", force=False)["spec"] == {"x": 1, "z": 1}


def test_an_old_version_is_refused(api):
    api.apply(WHERE, thing(x=1), "one", force=False)
    api.apply(WHERE, thing(x=2), "one", force=False)
    with pytest.raises(Refused, match="Conflict"):
        api.apply(WHERE, thing(x=3) | {"metadata": {"name": "b", "resourceVersion": "1"}}, "one", force=True)
