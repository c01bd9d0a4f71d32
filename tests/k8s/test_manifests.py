"""Everything that deploy/ shows, rendered and held against the schemas of Kubernetes and the rules of this folder."""

import kubernetes_validate
import pytest
import yaml

import agreement
import invariants
import objects
import restricted
from mutations import AGREEMENT, INVARIANTS, RESTRICTED, mutated

#: The oldest release with stable native sidecars, and the newest whose schemas there are.
KUBERNETES = ["1.33", "1.37"]
ALL = objects.everything()
PLAIN = ALL["deployment"]


def ids(rows):
    return [f"{rule}-{at}" for at, (rule, *_) in enumerate(rows)]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("how", ALL)
def test_every_object_is_one_that_kubernetes_knows(how, version):
    for found in ALL[how]:
        assert kubernetes_validate.validate(found, version, strict=True) == version


def test_a_field_that_kubernetes_does_not_know_is_noticed():
    wrong = mutated(PLAIN, "Deployment", "spec/template/spec/initContainers/pursekeeper/restartpolicy", "Always")
    with pytest.raises(kubernetes_validate.ValidationError):
        for found in wrong:
            kubernetes_validate.validate(found, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("how", ALL)
def test_every_pod_meets_the_restricted_standard(how):
    assert objects.pods(ALL[how])
    for found, spec in objects.pods(ALL[how]):
        assert restricted.violations(spec) == {}, found["kind"]


@pytest.mark.parametrize("how", ALL)
def test_every_invariant_holds(how):
    assert invariants.violations(ALL[how]) == {}


@pytest.mark.parametrize("how", ALL)
def test_configuration_registry_and_pod_agree(how):
    assert agreement.violations(ALL[how]) == {}


@pytest.mark.parametrize("row", RESTRICTED, ids=ids(RESTRICTED))
def test_what_breaks_the_standard_is_refused(row):
    rule, *edit = row
    found = [restricted.violations(spec) for _, spec in objects.pods(mutated(PLAIN, *edit))]
    assert rule in {broken for one in found for broken in one}


@pytest.mark.parametrize("row", INVARIANTS, ids=ids(INVARIANTS))
def test_what_breaks_an_invariant_is_refused(row):
    rule, *edit = row
    assert rule in invariants.violations(mutated(PLAIN, *edit))


@pytest.mark.parametrize("row", AGREEMENT, ids=ids(AGREEMENT))
def test_what_does_not_agree_is_refused(row):
    rule, *edit = row
    assert rule in agreement.violations(mutated(PLAIN, *edit))


def test_a_secret_in_the_files_is_refused():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "crawler-keystore"}}
    assert "no-secret-in-the-files" in invariants.violations([*PLAIN, secret])


def test_ordinals_with_one_wallet_are_refused():
    statefulset = ALL["statefulset"]
    address = {"0x" + "3" * 40: "0x" + "2" * 40}
    text = yaml.safe_dump_all(statefulset)
    for old, new in address.items():
        assert old in text
        text = text.replace(old, new)
    assert "wallets-are-one-each" in agreement.violations(list(yaml.safe_load_all(text)))


@pytest.mark.parametrize(
    ("table", "rows"),
    [(restricted.RULES, RESTRICTED), (invariants.RULES, INVARIANTS), (agreement.RULES, AGREEMENT)],
)
def test_every_rule_is_broken_by_somebody(table, rows):
    elsewhere = {"no-secret-in-the-files", "wallets-are-one-each"}
    assert {rule for rule, _ in table} - elsewhere == {rule for rule, *_ in rows}
