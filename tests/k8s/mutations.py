"""One edit each of a manifest that is right, and the rule that must notice: a check that cannot fail proves nothing.

A row is the rule, the object's kind, the path to what is edited, and what is put there. In a path, `NAME` of a list is the
element of that name and `+` is one more.
"""

import copy

import yaml

GONE = object()
POD = "spec/template/spec"
SIDECAR = f"{POD}/initContainers/pursekeeper"
OPERATOR = f"{POD}/initContainers/pursekeeper-operator"
AGENT = f"{POD}/containers/agent"

#: Of the standard "restricted".
RESTRICTED = [
    ("host-process", "Deployment", f"{AGENT}/securityContext/windowsOptions", {"hostProcess": True}),
    ("host-namespaces", "Deployment", f"{POD}/hostNetwork", True),
    ("host-namespaces", "Deployment", f"{POD}/hostPID", True),
    ("host-namespaces", "Job", f"{POD}/hostIPC", True),
    ("host-ports", "Deployment", f"{SIDECAR}/ports/health/hostPort", 9465),
    ("host-probes", "Deployment", f"{SIDECAR}/livenessProbe/httpGet/host", "169.254.169.254"),
    ("host-probes", "Deployment", f"{AGENT}/lifecycle", {"preStop": {"tcpSocket": {"host": "x", "port": 1}}}),
    ("privileged", "Deployment", f"{AGENT}/securityContext/privileged", True),
    ("proc-mount", "Deployment", f"{AGENT}/securityContext/procMount", "Unmasked"),
    ("apparmor", "Deployment", f"{POD}/securityContext/appArmorProfile", {"type": "Unconfined"}),
    ("selinux", "Deployment", f"{SIDECAR}/securityContext/seLinuxOptions", {"type": "spc_t"}),
    ("selinux", "Deployment", f"{POD}/securityContext/seLinuxOptions", {"user": "root"}),
    ("sysctls", "Deployment", f"{POD}/securityContext/sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("volume-types", "Deployment", f"{POD}/volumes/+", {"name": "host", "hostPath": {"path": "/"}}),
    ("privilege-escalation", "Deployment", f"{OPERATOR}/securityContext/allowPrivilegeEscalation", GONE),
    ("run-as-non-root", "Deployment", f"{POD}/securityContext/runAsNonRoot", GONE),
    ("run-as-non-root", "Deployment", f"{AGENT}/securityContext/runAsNonRoot", False),
    ("run-as-user", "Deployment", f"{AGENT}/securityContext/runAsUser", 0),
    ("seccomp", "Job", f"{POD}/securityContext/seccompProfile", GONE),
    ("seccomp", "Deployment", f"{AGENT}/securityContext/seccompProfile", {"type": "Unconfined"}),
    ("capabilities", "Deployment", f"{SIDECAR}/securityContext/capabilities", {"drop": ["NET_RAW"]}),
    ("capabilities", "Deployment", f"{AGENT}/securityContext/capabilities/add", ["SYS_PTRACE"]),
]

#: Of invariants.py.
INVARIANTS = [
    ("one-journal-one-sidecar", "Deployment", "spec/replicas", 2),
    ("recreate", "Deployment", "spec/strategy", GONE),
    ("recreate", "Deployment", "spec/strategy/type", "RollingUpdate"),
    ("native-sidecar", "Deployment", f"{SIDECAR}/restartPolicy", GONE),
    ("native-sidecar", "Deployment", f"{OPERATOR}/restartPolicy", GONE),
    ("native-sidecar", "Deployment", f"{POD}/containers/+", {"name": "pursekeeper", "image": "x:1.0.0"}),
    ("probed", "Deployment", f"{SIDECAR}/startupProbe", GONE),
    ("probed", "Deployment", f"{SIDECAR}/readinessProbe/httpGet/path", "/livez"),
    ("probed", "Deployment", f"{SIDECAR}/ports/+", {"name": "more", "containerPort": 7443}),
    ("keys-only-in-the-sidecar", "Deployment", f"{AGENT}/volumeMounts/+", {"name": "pursekeeper-keystore", "mountPath": "/k", "readOnly": True}),
    ("keys-only-in-the-sidecar", "Deployment", f"{OPERATOR}/volumeMounts/+", {"name": "pursekeeper-passphrase", "mountPath": "/p", "readOnly": True}),
    ("keys-only-in-the-sidecar", "Deployment", f"{AGENT}/envFrom", [{"secretRef": {"name": "crawler-keystore"}}]),
    ("keys-only-in-the-sidecar", "Deployment", f"{SIDECAR}/env", [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "crawler-passphrase", "key": "passphrase"}}}]),
    ("keys-only-in-the-sidecar", "Deployment", f"{SIDECAR}/volumeMounts/pursekeeper-keystore/readOnly", GONE),
    ("keys-are-there", "Deployment", f"{POD}/volumes/pursekeeper-keystore", {"name": "pursekeeper-keystore", "emptyDir": {}}),
    ("passphrase-apart", "Deployment", f"{POD}/volumes/pursekeeper-passphrase/secret/secretName", "crawler-keystore"),
    ("secrets-for-their-owner", "Job", f"{POD}/volumes/pursekeeper-passphrase/secret/defaultMode", 0o644),
    ("secrets-for-their-owner", "Deployment", f"{POD}/volumes/pursekeeper-keystore/secret/defaultMode", GONE),
    ("journal-only-in-the-sidecar", "Deployment", f"{AGENT}/volumeMounts/+", {"name": "pursekeeper-journal", "mountPath": "/j"}),
    ("journal-only-in-the-sidecar", "Deployment", f"{POD}/volumes/pursekeeper-journal", {"name": "pursekeeper-journal", "emptyDir": {}}),
    ("one-pod-has-the-journal", "PersistentVolumeClaim", "spec/accessModes", ["ReadWriteOnce"]),
    ("one-pod-has-the-journal", "PersistentVolumeClaim", "spec/accessModes/+", "ReadWriteMany"),
    ("journal-is-made-apart", "Deployment", f"{SIDECAR}/args", ["journal", "init"]),
    ("journal-is-made-apart", "Job", "spec/backoffLimit", 6),
    ("journal-is-made-apart", "Job", f"{POD}/containers/journal-init/args", ["journal", "adopt"]),
    ("sockets-in-memory", "Deployment", f"{POD}/volumes/pursekeeper-agent/emptyDir", {}),
    ("sockets-in-memory", "Deployment", f"{SIDECAR}/volumeMounts/pursekeeper-operator/name", "pursekeeper-agent"),
    ("agents-see-one-socket", "Deployment", f"{AGENT}/volumeMounts/+", {"name": "pursekeeper-operator", "mountPath": "/o", "readOnly": True}),
    ("agents-see-one-socket", "Deployment", f"{AGENT}/volumeMounts/pursekeeper-agent/readOnly", GONE),
    ("agents-see-one-socket", "Deployment", f"{AGENT}/volumeMounts", []),
    ("no-sub-path", "Deployment", f"{SIDECAR}/volumeMounts/pursekeeper-policies/subPath", "registry.yaml"),
    ("no-sub-path", "Deployment", f"{AGENT}/volumeMounts/pursekeeper-token/subPathExpr", "$(X)"),
    ("tokens-one-by-one", "Deployment", f"{POD}/automountServiceAccountToken", GONE),
    ("tokens-one-by-one", "Job", f"{POD}/automountServiceAccountToken", True),
    ("tokens-one-by-one", "Deployment", f"{POD}/volumes/pursekeeper-token/projected/sources/0/serviceAccountToken/audience", GONE),
    ("tokens-one-by-one", "Deployment", f"{OPERATOR}/volumeMounts/+", {"name": "pursekeeper-token", "mountPath": "/t"}),
    ("tokens-one-by-one", "Deployment", f"{AGENT}/volumeMounts/+", {"name": "pursekeeper-issuer", "mountPath": "/t"}),
    ("users-differ", "Deployment", f"{AGENT}/securityContext/runAsUser", 65532),
    ("users-differ", "Deployment", f"{AGENT}/securityContext/runAsUser", GONE),
    ("users-differ", "Deployment", f"{OPERATOR}/securityContext/runAsUser", 65534),
    ("users-differ", "Deployment", f"{POD}/shareProcessNamespace", True),
    ("roots-are-read-only", "Deployment", f"{SIDECAR}/securityContext/readOnlyRootFilesystem", False),
    ("groups-reach-files", "Deployment", f"{POD}/securityContext/fsGroup", GONE),
    ("resources-are-said", "Deployment", f"{SIDECAR}/resources/limits", GONE),
    ("image-is-known", "Deployment", f"{OPERATOR}/image", "registry.example/pursekeeper:0.1.1"),
    ("image-is-known", "Job", f"{POD}/containers/journal-init/image", "registry.example/pursekeeper:latest"),
    ("time-to-drain", "Deployment", f"{POD}/terminationGracePeriodSeconds", 10),
    ("networks-are-closed", "NetworkPolicy", "spec/policyTypes", ["Ingress"]),
    ("networks-are-closed", "NetworkPolicy", "spec/ingress/+", {"ports": [{"port": 7443}]}),
    ("networks-are-closed", "NetworkPolicy", "spec/ingress/+", {}),
    ("networks-are-closed", "Deployment", "spec/template/metadata/labels", {"other": "label"}),
]

#: Of agreement.py. `CONFIG` and `REGISTRY` are texts of YAML: the path goes on inside.
CONFIG = "data/pursekeeper.yaml"
REGISTRY = "data/registry.yaml"
AGREEMENT = [
    ("paths-are-mounted", "ConfigMap", f"{CONFIG}/journal", "/var/lib/other/pursekeeper.db"),
    ("paths-are-mounted", "ConfigMap", f"{CONFIG}/keystore/dir", "/etc/pursekeeper"),
    ("paths-are-mounted", "ConfigMap", f"{CONFIG}/identity/tokens/cluster/ca", "/etc/ca.crt"),
    ("paths-are-mounted", "Deployment", f"{SIDECAR}/volumeMounts/pursekeeper-passphrase/mountPath", "/p"),
    ("health-is-probed", "ConfigMap", f"{CONFIG}/health", "127.0.0.1:9465"),
    ("sockets-are-where-they-are-mounted", "ConfigMap", f"{CONFIG}/listeners/0/path", "/var/run/pursekeeper/operator/agent.sock"),
    ("registry-knows-the-pod", "Deployment", f"{AGENT}/securityContext/runAsUser", 10002),
    ("registry-knows-the-pod", "Deployment", f"{OPERATOR}/securityContext/runAsUser", 65534),
    ("registry-knows-the-pod", "Deployment", f"{POD}/serviceAccountName", "default"),
    ("tokens-are-accepted", "ConfigMap", f"{CONFIG}/identity/tokens/cluster/name", "other"),
    ("tokens-are-accepted", "ConfigMap", f"{CONFIG}/identity/tokens/cluster/audiences", ["other"]),
    ("never-dev", "ConfigMap", f"{CONFIG}/dev", True),
    ("never-dev", "ConfigMap", f"{CONFIG}/sandbox", "off"),
    ("operators-find-their-config", "Deployment", f"{OPERATOR}/args", ["audit", "tail", "--follow"]),
]


def key_of(at, part):
    """A part of a path as what indexes `at`."""
    if not isinstance(at, list):
        return part
    if part.isdigit():
        return int(part)
    (found,) = [position for position, element in enumerate(at) if element["name"] == part]
    return found


def edit(at, parts, value):
    part, *rest = parts
    if part == "+":
        at.append(value)
    elif rest:
        key = key_of(at, part) if isinstance(at, list) else part
        if isinstance(at, dict) and isinstance(at.get(part), str):
            inside = yaml.safe_load(at[part])
            edit(inside, rest, value)
            at[part] = yaml.safe_dump(inside)
        else:
            if isinstance(at, dict):
                at.setdefault(part, [] if rest[0] == "+" else {})
            edit(at[key], rest, value)
    elif value is GONE:
        del at[key_of(at, part)]
    else:
        at[key_of(at, part)] = value


def split(path):
    """The parts of a path; a file name in `data` may hold a dot, never a slash."""
    return path.split("/")


def mutated(objects, kind, path, value):
    """A copy of the objects with one edit, of the first of that kind that has the path."""
    objects = copy.deepcopy(objects)
    parts = split(path)
    for found in objects:
        fits = found["kind"] == kind and (parts[0] != "data" or parts[1] in found["data"])
        if fits:
            edit(found, parts, value)
            return objects
    raise LookupError(f"no {kind} has {path}")
