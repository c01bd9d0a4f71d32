"""Everything that deploy/ shows, as Kubernetes objects: the manifests, the kustomize examples and the chart."""

import copy
import subprocess
from pathlib import Path

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/pursekeeper"
NAMESPACE = "agents"

AGENT_IMAGE = "registry.example/crawler:1.0.0"


def manifests(*names):
    """The objects of plain files."""
    texts = [path.read_text() for name in names for path in sorted((DEPLOY / "kubernetes" / name).glob("*.yaml"))]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def kustomized(directory):
    """The objects of a kustomization."""
    text = subprocess.run(
        ["kubectl", "kustomize", DEPLOY / "kustomize" / directory], check=True, capture_output=True, text=True
    ).stdout
    return [found for found in yaml.safe_load_all(text) if found]


def charted(values):
    """The objects of the chart under these values. Refusals are `helm.HelmError`."""
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(values, name="crawler", namespace=NAMESPACE)
    texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def notes(values):
    """What the chart tells whoever installed it."""
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(values, name="crawler", namespace=NAMESPACE)
    return next(text for path, text in rendered.items() if path.endswith("NOTES.txt"))


def of_kind(objects, *kinds):
    return [found for found in objects if found["kind"] in kinds]


def named(objects, kind, name):
    """The one object of that kind and name."""
    (found,) = [found for found in of_kind(objects, kind) if found["metadata"]["name"] == name]
    return found


def registry(objects, config_map):
    return named(objects, "ConfigMap", config_map)["data"]["registry.yaml"]


def one_wallet():
    """Values with which the chart gives what deploy/kubernetes/deployment gives."""
    return {
        "agent": {"image": AGENT_IMAGE},
        "policies": {"registry.yaml": registry(manifests("deployment"), "crawler-policies")},
    }


def two_ordinals():
    """Values with which the chart gives what deploy/kubernetes/statefulset gives."""
    plain = manifests("statefulset")

    def ordinal(position):
        name = f"crawler-{position}"
        return {
            "keystore": {"secretName": f"{name}-keystore"},
            "passphrase": {"secretName": f"{name}-passphrase"},
            "policies": {"registry.yaml": registry(plain, f"{name}-policies")},
        }

    return {"agent": {"image": AGENT_IMAGE}, "replicas": 2, "ordinals": [ordinal(0), ordinal(1)]}


def changed(values, **changes):
    """A copy of values with other ones at dotted paths, written with `__` for the dot."""
    values = copy.deepcopy(values)
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = values
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return values


def everything():
    """Name -> objects, of all that deploy/ can become. Each is complete: what a workload needs is in it."""
    once = {"journal": {"job": "init"}}
    return {
        "deployment": manifests("deployment", "journal"),
        "statefulset": [
            *of_kind(manifests("deployment"), "Namespace", "NetworkPolicy"),
            *manifests("statefulset"),
        ],
        "kustomize": [*kustomized("example"), *without(kustomized("example/journal"), "ConfigMap")],
        "chart": charted(one_wallet()),
        "chart-first": charted(one_wallet() | once),
        "chart-ordinals": charted(two_ordinals()),
        "chart-ordinals-first": charted(two_ordinals() | once),
    }


def without(objects, *kinds):
    return [found for found in objects if found["kind"] not in kinds]


def pod_of(found):
    """The pod of whatever has one: its labels and its spec; none for other objects."""
    template = found.get("spec", {}).get("template")
    return None if not isinstance(template, dict) else template


def pods(objects):
    """(object, pod spec) of everything that runs."""
    return [(found, pod_of(found)["spec"]) for found in objects if pod_of(found)]


def containers(spec):
    """Every container of a pod, sidecars included."""
    return [
        container
        for key in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(key, [])
    ]


def container(spec, name):
    (found,) = [found for found in containers(spec) if found["name"] == name]
    return found


def volumes(spec):
    return {volume["name"]: volume for volume in spec.get("volumes", [])}


def mounts(container):
    """Mount path -> mount."""
    return {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
