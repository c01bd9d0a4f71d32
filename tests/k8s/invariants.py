"""What must be true of every way to run Pursekeeper, whatever renders it: every invariant is a row.

A row is a rule's name and a function from all objects to what breaks it.
"""

import re

import yaml

from objects import containers, mounts, of_kind, pod_of, pods, volumes

SIDECAR, OPERATOR, INIT = "pursekeeper", "pursekeeper-operator", "journal-init"
#: Who is which user in the pod.
UIDS = {SIDECAR: 65532, OPERATOR: 65533, INIT: 65532}
HEALTH_PORT = 9465
PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
#: What is left for the sidecar after the agent has ended: it must be able to drain.
DRAIN_SECS_MAX = 10


def workloads(objects):
    """(object, pod spec) of what runs the sidecar day by day."""
    return [(found, spec) for found, spec in pods(objects) if found["kind"] in ("Deployment", "StatefulSet")]


def jobs(objects):
    return [(found, spec) for found, spec in pods(objects) if found["kind"] == "Job"]


def keepers(spec):
    """The containers that may have keys and journal."""
    return [container for container in containers(spec) if container["name"] in (SIDECAR, INIT)]


def agents(spec):
    """Whoever is neither the sidecar nor the operator."""
    return [container for container in containers(spec) if container["name"] not in UIDS]


def mounted(spec, volume):
    """(container, mount) of a volume."""
    return [
        (container, mount)
        for container in containers(spec)
        for mount in container.get("volumeMounts", [])
        if mount["name"] == volume
    ]


def secret_names(volume):
    """The Secrets a volume brings."""
    direct = [volume["secret"]["secretName"]] if "secret" in volume else []
    sources = volume.get("projected", {}).get("sources", [])
    return direct + [source["secret"]["name"] for source in sources if "secret" in source]


def mount_path(spec, path):
    """The volumes that the sidecar has at a path or below it."""
    return {
        mount["name"]
        for container in keepers(spec)
        for at, mount in mounts(container).items()
        if at == path or at.startswith(path + "/")
    }


def keystores(spec):
    return mount_path(spec, "/var/run/secrets/pursekeeper")


def passphrases(spec):
    return mount_path(spec, "/var/run/secrets/pursekeeper-passphrase")


def claims(spec, found):
    """The volumes with a journal: claims of the pod, and templates of a StatefulSet."""
    direct = [volume["name"] for volume in volumes(spec).values() if "persistentVolumeClaim" in volume]
    templates = found["spec"].get("volumeClaimTemplates", [])
    return direct + [template["metadata"]["name"] for template in templates]


def one_journal_one_sidecar(objects):
    for found, _ in workloads(objects):
        if found["kind"] == "Deployment" and found["spec"].get("replicas", 1) > 1:
            yield f"{found['spec']['replicas']} replicas of one wallet"


def recreate(objects):
    for found, _ in workloads(objects):
        strategy = found["spec"].get("strategy", {"type": "RollingUpdate"})
        if found["kind"] == "Deployment" and strategy != {"type": "Recreate"}:
            yield f"strategy {strategy}"


def native_sidecar(objects):
    for _, spec in workloads(objects):
        first = spec.get("initContainers", [{"name": None}])[0]
        if first["name"] != SIDECAR or first.get("restartPolicy") != "Always":
            yield "the sidecar is not the first init container with restartPolicy Always"
        for other in spec.get("initContainers", []):
            if other["name"] == OPERATOR and other.get("restartPolicy") != "Always":
                yield "the operator keeps the agent from starting"
        for other in spec["containers"]:
            if other["name"] in UIDS:
                yield f"{other['name']} is an ordinary container"


def probed(objects):
    for _, spec in workloads(objects):
        for sidecar in keepers(spec):
            ports = {port["name"]: port["containerPort"] for port in sidecar.get("ports", [])}
            if ports != {"health": HEALTH_PORT}:
                yield f"ports {ports}"
            for probe, path in PROBES.items():
                if sidecar.get(probe, {}).get("httpGet") != {"path": path, "port": "health"}:
                    yield f"{probe} does not ask {path} on the health port"


def keys_only_in_the_sidecar(objects):
    for _, spec in pods(objects):
        names = {name for at in keystores(spec) | passphrases(spec) for name in secret_names(volumes(spec)[at])}
        for volume in volumes(spec).values():
            if not names & set(secret_names(volume)):
                continue
            for container, mount in mounted(spec, volume["name"]):
                if container not in keepers(spec):
                    yield f"{container['name']} sees {volume['name']}"
                if not mount.get("readOnly"):
                    yield f"{volume['name']} can be written"
        for container in containers(spec):
            text = yaml.safe_dump([container.get("env"), container.get("envFrom")])
            yield from (f"{container['name']} has {name} in its environment" for name in names if name in text)


def keys_are_there(objects):
    for found, spec in pods(objects):
        for what, found_at in (("keystore", keystores(spec)), ("passphrase", passphrases(spec))):
            wrong = [name for name in found_at if "secret" not in volumes(spec)[name]]
            if wrong or not found_at:
                yield f"{found['kind']}: no Secret for the {what}"


def passphrase_apart(objects):
    for _, spec in pods(objects):
        keys, phrases = (
            {name for at in found_at for name in secret_names(volumes(spec)[at])}
            for found_at in (keystores(spec), passphrases(spec))
        )
        yield from (f"{name} holds keystore and passphrase" for name in keys & phrases)


def secrets_for_their_owner(objects):
    for _, spec in pods(objects):
        for volume in volumes(spec).values():
            mode = volume.get("secret", {}).get("defaultMode")
            if "secret" in volume and mode != 0o400:
                yield f"{volume['name']} has mode {mode}"


def no_secret_in_the_files(objects):
    yield from (f"Secret {found['metadata']['name']}" for found in of_kind(objects, "Secret"))


def journal_only_in_the_sidecar(objects):
    for found, spec in pods(objects):
        names = claims(spec, found)
        at = mount_path(spec, "/var/lib/pursekeeper")
        if len(at) != 1 or not at <= set(names):
            yield f"{found['kind']}: the journal does not lie on a claim"
        for name in at:
            for container, _ in mounted(spec, name):
                if container not in keepers(spec):
                    yield f"{container['name']} sees the journal"


def one_pod_has_the_journal(objects):
    claimed = of_kind(objects, "PersistentVolumeClaim")
    templates = [one for found, _ in pods(objects) for one in found["spec"].get("volumeClaimTemplates", [])]
    for claim in claimed + templates:
        if claim["spec"]["accessModes"] != ["ReadWriteOncePod"]:
            yield f"{claim['metadata']['name']}: {claim['spec']['accessModes']}"
    if not claimed:
        yield "no claim is declared"


def journal_is_made_apart(objects):
    for _, spec in workloads(objects):
        for container in containers(spec):
            words = [*container.get("command", []), *container.get("args", [])]
            if container["name"] in UIDS and "journal" in words:
                yield f"{container['name']} makes journals"
    for found, spec in jobs(objects):
        if spec["restartPolicy"] != "Never" or found["spec"].get("backoffLimit") != 0:
            yield "the Job tries again"
        if keepers(spec)[0]["args"][:2] != ["journal", "init"]:
            yield "the Job does something else"


def sockets_in_memory(objects):
    for _, spec in workloads(objects):
        for path in ("/var/run/pursekeeper/agent", "/var/run/pursekeeper/operator"):
            for name in mount_path(spec, path):
                if volumes(spec)[name].get("emptyDir", {}).get("medium") != "Memory":
                    yield f"{name} is not in memory"
        if len(mount_path(spec, "/var/run/pursekeeper")) != 2:
            yield "the two sockets do not have a volume each"


def agents_see_one_socket(objects):
    for _, spec in workloads(objects):
        operators = mount_path(spec, "/var/run/pursekeeper/operator")
        sockets = mount_path(spec, "/var/run/pursekeeper/agent")
        seen = False
        for agent in agents(spec):
            for mount in agent.get("volumeMounts", []):
                if mount["name"] in operators:
                    yield f"{agent['name']} sees the operators' socket"
                if mount["name"] in sockets:
                    seen = True
                    if not mount.get("readOnly"):
                        yield f"{agent['name']} can put another socket in place"
        if not seen:
            yield "no agent sees its socket"
        for container, _ in (one for name in operators for one in mounted(spec, name)):
            if container["name"] not in (SIDECAR, OPERATOR):
                yield f"{container['name']} sees the operators' socket"


def no_sub_path(objects):
    for _, spec in pods(objects):
        for container in containers(spec):
            for mount in container.get("volumeMounts", []):
                if mount.get("subPath") or mount.get("subPathExpr"):
                    yield f"{container['name']}: {mount['mountPath']} would never change"


def tokens_one_by_one(objects):
    for found, spec in pods(objects):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{found['kind']} mounts a token into every container"
        for volume in volumes(spec).values():
            sources = volume.get("projected", {}).get("sources", [])
            for token in (source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source):
                names = [container["name"] for container, _ in mounted(spec, volume["name"])]
                if len(names) != 1:
                    yield f"{volume['name']} is in {names}, and a token is for one container"
                if names and names[0] not in UIDS and not token.get("audience"):
                    yield f"{names[0]} has a token for the API server"


def users_differ(objects):
    for _, spec in pods(objects):
        seen = {}
        for container in containers(spec):
            uid = (container.get("securityContext") or {}).get("runAsUser")
            if uid is None or uid in seen:
                yield f"{container['name']} is user {uid}, and so is {seen.get(uid)}"
            if container["name"] in UIDS and uid != UIDS[container["name"]]:
                yield f"{container['name']} is user {uid}"
            seen[uid] = container["name"]
        if spec.get("shareProcessNamespace"):
            yield "the processes of a pod see each other"


def roots_are_read_only(objects):
    for _, spec in pods(objects):
        for container in containers(spec):
            own = container.get("securityContext") or {}
            if container["name"] in UIDS and not own.get("readOnlyRootFilesystem"):
                yield f"{container['name']} can write to its image"


def groups_reach_files(objects):
    for found, spec in pods(objects):
        if not spec["securityContext"].get("fsGroup"):
            yield f"{found['kind']}: Secrets and sockets belong to root"


def resources_are_said(objects):
    for _, spec in pods(objects):
        for container in containers(spec):
            said = container.get("resources", {})
            if not {"cpu", "memory"} <= set(said.get("requests", {})) or "memory" not in said.get("limits", {}):
                yield container["name"]


def image_is_known(objects):
    for _, spec in pods(objects):
        images = {container["image"] for container in containers(spec) if container["name"] in UIDS}
        if len(images) != 1:
            yield f"{sorted(images)}"
        for image in images:
            if not re.search(r":[0-9]+\.[0-9]+\.[0-9]+$|@sha256:[0-9a-f]{64}$", image):
                yield f"{image} can become another one"


def time_to_drain(objects):
    for found, spec in workloads(objects):
        if spec.get("terminationGracePeriodSeconds", 30) < DRAIN_SECS_MAX + 5:
            yield f"{found['kind']}: calls under way are cut off"


def networks_are_closed(objects):
    policies = of_kind(objects, "NetworkPolicy")
    for found, _ in pods(objects):
        labels = pod_of(found)["metadata"]["labels"]
        chosen = [
            policy["spec"]
            for policy in policies
            if policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        if not any(set(spec["policyTypes"]) == {"Ingress", "Egress"} for spec in chosen):
            yield f"{found['kind']} {found['metadata']['name']} can be reached by everybody"
        ports = [
            port["port"]
            for spec in chosen
            for rule in spec.get("ingress", [])
            for port in rule.get("ports", [{"port": "any"}])
        ]
        if any(port != HEALTH_PORT for port in ports):
            yield f"{found['kind']} lets in {ports}"


RULES = [
    ("one-journal-one-sidecar", one_journal_one_sidecar),
    ("recreate", recreate),
    ("native-sidecar", native_sidecar),
    ("probed", probed),
    ("keys-only-in-the-sidecar", keys_only_in_the_sidecar),
    ("keys-are-there", keys_are_there),
    ("passphrase-apart", passphrase_apart),
    ("secrets-for-their-owner", secrets_for_their_owner),
    ("no-secret-in-the-files", no_secret_in_the_files),
    ("journal-only-in-the-sidecar", journal_only_in_the_sidecar),
    ("one-pod-has-the-journal", one_pod_has_the_journal),
    ("journal-is-made-apart", journal_is_made_apart),
    ("sockets-in-memory", sockets_in_memory),
    ("agents-see-one-socket", agents_see_one_socket),
    ("no-sub-path", no_sub_path),
    ("tokens-one-by-one", tokens_one_by_one),
    ("users-differ", users_differ),
    ("roots-are-read-only", roots_are_read_only),
    ("groups-reach-files", groups_reach_files),
    ("resources-are-said", resources_are_said),
    ("image-is-known", image_is_known),
    ("time-to-drain", time_to_drain),
    ("networks-are-closed", networks_are_closed),
]


def violations(objects):
    """Rule -> what breaks it."""
    found = {rule: list(check(objects)) for rule, check in RULES}
    return {rule: problems for rule, problems in found.items() if problems}
