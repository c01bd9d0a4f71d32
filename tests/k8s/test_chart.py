"""The chart and the kustomize component give what the plain manifests give, and the chart refuses what must not be."""

from os.path import relpath

import helm_python as helm
import pytest
import yaml

from mutations import edit
from objects import (
    CHART,
    DEPLOY,
    changed,
    charted,
    container,
    kustomized,
    manifests,
    named,
    notes,
    of_kind,
    one_wallet,
    pod_of,
    two_ordinals,
    volumes,
    without,
)


def plain(found):
    """An object without what only a chart writes: labels of Helm, the checksum, and defaults of Kubernetes."""
    found = yaml.safe_load(yaml.safe_dump(found))
    meta = found["metadata"]
    meta.pop("labels", None)
    meta.pop("annotations", None)
    if pod_of(found):
        pod_of(found)["metadata"].pop("annotations", None)
        for one in [*pod_of(found)["spec"].get("initContainers", []), *pod_of(found)["spec"]["containers"]]:
            assert one.pop("imagePullPolicy", "IfNotPresent") == "IfNotPresent"
    if found["kind"] == "ConfigMap":
        found["data"] = {name: yaml.safe_load(text) for name, text in found["data"].items()}
    return found


def by_name(objects):
    return {(found["kind"], found["metadata"]["name"]): plain(found) for found in objects}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (one_wallet() | {"journal": {"job": "init"}}, manifests("deployment", "journal")),
        (two_ordinals() | {"journal": {"job": "init"}}, [*of_kind(manifests("deployment"), "NetworkPolicy"), *manifests("statefulset")]),
    ],
    ids=["one-wallet", "two-ordinals"],
)
def test_the_chart_gives_what_the_manifests_give(values, expected):
    rendered = by_name(charted(values))
    for found in of_kind(charted(values), "Deployment", "StatefulSet"):
        # The only difference: while the journal is made, nothing else runs.
        assert rendered[found["kind"], found["metadata"]["name"]]["spec"].pop("replicas") == 0
    expected = by_name(without(expected, "Namespace"))
    for (kind, _), found in expected.items():
        if kind in ("Deployment", "StatefulSet"):
            found["spec"].pop("replicas")
    assert rendered == expected


def test_without_the_first_install_there_is_no_job_and_the_agent_runs():
    for values, replicas in ((one_wallet(), 1), (two_ordinals(), 2)):
        rendered = charted(values)
        assert of_kind(rendered, "Job") == []
        (workload,) = of_kind(rendered, "Deployment", "StatefulSet")
        assert workload["spec"]["replicas"] == replicas


def test_a_lost_journal_is_adopted_by_a_job_of_its_own():
    rendered = charted(changed(one_wallet(), journal__job="adopt"))
    (job,) = of_kind(rendered, "Job")
    assert job["metadata"]["name"] == "crawler-journal-adopt"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][:2] == ["journal", "adopt"]
    assert named(rendered, "Deployment", "crawler")["spec"]["replicas"] == 0


def test_the_component_adds_the_same_containers_and_leaves_the_rest():
    component = named(kustomized("example"), "Deployment", "crawler")
    before = named(manifests_of_base(), "Deployment", "crawler")
    manifest = named(manifests("deployment"), "Deployment", "crawler")
    spec = component["spec"]["template"]["spec"]
    expected = manifest["spec"]["template"]["spec"]
    for name in ("pursekeeper", "pursekeeper-operator"):
        assert container(spec, name) == container(expected, name)
    renamed = yaml.safe_dump(expected["volumes"]).replace("crawler-pursekeeper", "pursekeeper-config")
    renamed = yaml.safe_load(renamed.replace("crawler-", "pursekeeper-"))
    own = {volume["name"] for volume in before["spec"]["template"]["spec"]["volumes"]}
    assert [volume for volume in spec["volumes"] if volume["name"] not in own] == renamed
    # What was there is there as it was, and the agent got two mounts.
    for volume in before["spec"]["template"]["spec"]["volumes"]:
        assert volume in spec["volumes"]
    agent, was = container(spec, "agent"), container(before["spec"]["template"]["spec"], "agent")
    added = [mount for mount in agent.pop("volumeMounts") if mount not in was["volumeMounts"]]
    was.pop("volumeMounts")
    assert agent == was
    assert {mount["name"] for mount in added} == {"pursekeeper-agent", "pursekeeper-token"}


def manifests_of_base():
    return kustomized("example/base")


def test_the_component_leaves_other_deployments_alone(tmp_path):
    """A Deployment without the label gets nothing: it would have the same wallet."""
    other = yaml.safe_load(yaml.safe_dump(named(manifests_of_base(), "Deployment", "crawler")))
    other["metadata"] = {"name": "other"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    kustomization = {
        "resources": [relpath(DEPLOY / "kustomize/example/base", tmp_path), "other.yaml"],
        "components": [relpath(DEPLOY / "kustomize/component", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    rendered = kustomized(tmp_path)
    assert named(rendered, "Deployment", "other") == other
    assert "pursekeeper" in volumes_of(rendered, "crawler")


def volumes_of(objects, name):
    return " ".join(volumes(named(objects, "Deployment", name)["spec"]["template"]["spec"]))


#: What is refused, and a word of why.
REFUSED = [
    ({"replicas": 2}, "two sidecars could spend its budget twice"),
    ({"replicas": 2, "ordinals": two_ordinals()["ordinals"][:1], "policies": {}}, "there are 1 ordinals"),
    ({"replicas": -1}, "replicas"),
    ({"agent__image": ""}, "agent.image is empty"),
    ({"agent__uid": 65532}, "whoever spends must not govern"),
    ({"agent__uid": 65533}, "whoever spends must not govern"),
    ({"agent__uid": 0}, "uid"),
    ({"agent__name": "pursekeeper"}, "is a container of the chart"),
    ({"agent__token__audience": ""}, "audience"),
    ({"agent__volumeMounts": [{"name": "pursekeeper-operator", "mountPath": "/o"}]}, "is not in `volumes`"),
    ({"agent__volumeMounts": [{"name": "pursekeeper-keystore", "mountPath": "/k"}]}, "is not in `volumes`"),
    ({"volumes": [{"name": "k", "secret": {"secretName": "crawler-keystore"}}]}, "for the sidecar alone"),
    ({"volumes": [{"name": "k", "projected": {"sources": [{"secret": {"name": "crawler-passphrase"}}]}}]}, "for the sidecar alone"),
    ({"volumes": [{"name": "j", "persistentVolumeClaim": {"claimName": "crawler-journal"}}]}, "for the sidecar alone"),
    ({"agent__env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "crawler-passphrase", "key": "x"}}}]}, "for the sidecar alone"),
    ({"keystore__secretName": "one", "passphrase__secretName": "one"}, "is named twice"),
    ({"policies": {}}, "there is no registry.yaml"),
    ({"policies": {"night.cedar": "x"}}, "there is no registry.yaml"),
    ({"policies": {"../registry.yaml": "x"}}, "does not match pattern"),
    ({"config__dev": True}, "dev"),
    ({"config__journal": "/tmp/journal"}, "journal"),
    ({"config__listeners": []}, "listeners"),
    ({"journal__job": "again"}, "job"),
    ({"image__digest": "sha256:12"}, "digest"),
    ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
    ({"replica": 1}, "replica"),
]


@pytest.mark.parametrize(("changes", "why"), REFUSED, ids=[str(changes)[:60] for changes, _ in REFUSED])
def test_the_chart_refuses(changes, why):
    with pytest.raises(helm.HelmError, match=why):
        charted(changed(one_wallet(), **changes))


def test_the_chart_refuses_ordinals_that_share_something():
    for what in ("keystore", "passphrase"):
        values = two_ordinals()
        edit(values, ["ordinals", "1", what, "secretName"], f"crawler-0-{what}")
        with pytest.raises(helm.HelmError, match="is named twice"):
            charted(values)
    with pytest.raises(helm.HelmError, match="there are 2 ordinals"):
        charted(changed(two_ordinals(), replicas=3))
    with pytest.raises(helm.HelmError, match="stand in each of them"):
        charted(changed(two_ordinals(), keystore__secretName="one"))


def test_values_change_what_they_say():
    """Value -> a piece of what is rendered only with it."""
    digest = "sha256:" + "a" * 64
    table = [
        ({"replicas": 0}, "replicas: 0"),
        ({"image__digest": digest}, f"registry.example/pursekeeper@{digest}"),
        ({"image__pullPolicy": "Always"}, "imagePullPolicy: Always"),
        ({"imagePullSecrets": [{"name": "pull"}]}, "imagePullSecrets:"),
        ({"journal__size": "7Gi"}, "storage: 7Gi"),
        ({"journal__storageClassName": "fast"}, "storageClassName: fast"),
        ({"journal__existingClaim": "mine"}, "claimName: mine"),
        ({"keystore__secretName": "mine"}, "secretName: mine"),
        ({"passphrase__secretName": "mine"}, "secretName: mine"),
        ({"existingPoliciesConfigMap": "mine"}, "name: mine"),
        ({"config__sandbox": "enforce"}, "sandbox: enforce"),
        ({"requireToken": True}, "token: true"),
        ({"resources__limits__memory": "333Mi"}, "memory: 333Mi"),
        ({"agent__command": ["/own"]}, "- /own"),
        ({"agent__args": ["--own"]}, "- --own"),
        ({"agent__env": [{"name": "OWN", "value": "1"}]}, "name: OWN"),
        ({"agent__ports": [{"containerPort": 4711}]}, "containerPort: 4711"),
        ({"agent__pullPolicy": "Never"}, "imagePullPolicy: Never"),
        ({"agent__gid": 4711}, "runAsGroup: 4711"),
        ({"agent__token__expirationSeconds": 601}, "expirationSeconds: 601"),
        ({"agent__resources__limits__memory": "444Mi"}, "memory: 444Mi"),
        ({"operator__resources__limits__memory": "55Mi"}, "memory: 55Mi"),
        ({"fsGroup": 4711}, "fsGroup: 4711"),
        ({"terminationGracePeriodSeconds": 77}, "terminationGracePeriodSeconds: 77"),
        ({"nodeSelector": {"own": "node"}}, "own: node"),
        ({"tolerations": [{"key": "own"}]}, "key: own"),
        ({"affinity": {"nodeAffinity": {}}}, "nodeAffinity: {}"),
        ({"podAnnotations": {"own": "note"}}, "own: note"),
        ({"serviceAccount__name": "own"}, "serviceAccountName: own"),
        ({"networkPolicy__monitoringNamespace": "own"}, "kubernetes.io/metadata.name: own"),
        ({"networkPolicy__dnsNamespace": "own"}, "kubernetes.io/metadata.name: own"),
        ({"networkPolicy__apiServer__cidrs": ["10.9.8.7/32"]}, "cidr: 10.9.8.7/32"),
        ({"networkPolicy__apiServer__ports": [4711]}, "port: 4711"),
        ({"networkPolicy__egress": [{"ports": [{"port": 4711}]}]}, "port: 4711"),
        (
            {"volumes": [{"name": "own", "emptyDir": {}}], "agent__volumeMounts": [{"name": "own", "mountPath": "/own"}]},
            "mountPath: /own",
        ),
    ]
    usual = yaml.safe_dump_all(charted(one_wallet()))
    for changes, piece in table:
        rendered = yaml.safe_dump_all(charted(changed(one_wallet(), **changes)))
        assert piece in rendered and piece not in usual, changes
    absent = [
        ({"operator__enabled": False}, "pursekeeper-operator\n    image"),
        ({"networkPolicy__enabled": False}, "NetworkPolicy"),
        ({"serviceAccount__create": False}, "kind: ServiceAccount\n"),
        ({"existingPoliciesConfigMap": "mine"}, "registry.yaml:"),
        ({"journal__existingClaim": "mine"}, "PersistentVolumeClaim"),
    ]
    for changes, piece in absent:
        rendered = yaml.safe_dump_all(charted(changed(one_wallet(), **changes)))
        if piece.startswith("pursekeeper-operator"):
            assert len(of_kind(charted(changed(one_wallet(), **changes)), "Deployment")[0]["spec"]["template"]["spec"]["initContainers"]) == 1
        else:
            assert piece not in rendered and piece in usual, changes


def test_the_claim_outlives_the_release():
    for values in (one_wallet(), two_ordinals()):
        for claim in of_kind(charted(values), "PersistentVolumeClaim"):
            assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_chart_is_sound():
    found = helm.lint(str(CHART), values=one_wallet(), strict=True)
    errors = [message for message in found["messages"] if "icon" not in message["error"]]
    assert errors == [] and found["errors"] == []


def test_notes_say_what_to_do_next():
    assert "exec deploy/crawler -c pursekeeper-operator -- pursekeeper status" in notes(one_wallet())
    assert "exec crawler-0 -c pursekeeper-operator -- pursekeeper status" in notes(two_ordinals())
    first = notes(two_ordinals() | {"journal": {"job": "init"}})
    for ordinal in ("crawler-0", "crawler-1"):
        assert f"job/{ordinal}-journal-init" in first and f"secret generic {ordinal}-keystore" in first
