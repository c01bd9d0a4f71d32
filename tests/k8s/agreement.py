"""pursekeeper.yaml, registry.yaml and the pod say the same: every rule is a row, as in invariants.py."""

import posixpath
import re

import yaml

from invariants import HEALTH_PORT, OPERATOR, SIDECAR, agents, workloads
from objects import container, mounts, named, volumes

#: Where each path of pursekeeper.yaml may lie: the kind of volume.
KINDS = {
    "policies": "configMap",
    "journal": "persistentVolumeClaim",
    "keystore.dir": "secret",
    "keystore.passphrase_file": "secret",
    "listeners.path": "emptyDir",
    "identity.tokens.ca": "projected",
    "identity.tokens.bearer_file": "projected",
}


def instances(objects):
    """(pod spec, configuration, registry, namespace, ServiceAccount) of every sidecar that runs: one for each ordinal."""
    for found, spec in workloads(objects):
        name, replicas = found["metadata"]["name"], found["spec"].get("replicas", 1)
        ordinals = [f"{name}-{at}" for at in range(replicas)] if found["kind"] == "StatefulSet" else [name]
        for pod in ordinals:
            config = yaml.safe_load(files_of(objects, spec, config_path(spec, pod)))
            registry = yaml.safe_load(files_of(objects, spec, f"{config['policies']}/registry.yaml"))
            yield spec, config, registry, found["metadata"]["namespace"], spec["serviceAccountName"]


def config_path(spec, pod):
    """The path after --config, for the pod of that name."""
    args = container(spec, SIDECAR)["args"]
    return args[args.index("--config") + 1].replace("$(POD_NAME)", pod)


def files_of(objects, spec, path):
    """The text of a file that the sidecar sees, from a ConfigMap."""
    directory, file = posixpath.split(path)
    volume = volumes(spec)[mounts(container(spec, SIDECAR))[directory]["name"]]
    return named(objects, "ConfigMap", volume["configMap"]["name"])["data"][file]


def paths(config):
    """(field, path) of everything that pursekeeper.yaml finds somewhere."""
    yield "policies", config["policies"]
    yield "journal", config["journal"]
    yield from ((f"keystore.{key}", path) for key, path in config["keystore"].items())
    yield from (("listeners.path", listener["path"]) for listener in config["listeners"])
    for issuer in config["identity"]["tokens"]:
        yield from ((f"identity.tokens.{key}", issuer[key]) for key in ("ca", "bearer_file") if key in issuer)


def home(spec, name, path):
    """The volume in which a container finds a path: the mount nearest to it."""
    at = [mount for mount in mounts(container(spec, name)) if path == mount or path.startswith(mount + "/")]
    return mounts(container(spec, name))[max(at, key=len)]["name"] if at else None


def paths_are_mounted(objects):
    for spec, config, _, _, _ in instances(objects):
        for field, path in paths(config):
            volume = volumes(spec).get(home(spec, SIDECAR, path), {})
            # The claims of a StatefulSet stand in its templates.
            claimed = KINDS[field] == "persistentVolumeClaim" and path.startswith("/var/lib/pursekeeper/")
            if KINDS[field] not in volume and not claimed:
                yield f"{field}: {path} lies on {volume or 'no volume'}"


def health_is_probed(objects):
    for _, config, _, _, _ in instances(objects):
        if config.get("health") != f"0.0.0.0:{HEALTH_PORT}":
            yield f"health: {config.get('health')}"


def sockets_are_where_they_are_mounted(objects):
    for spec, config, _, _, _ in instances(objects):
        seen_by = {"agents": [one["name"] for one in agents(spec)], "operators": [OPERATOR]}
        for listener in config["listeners"]:
            volume = home(spec, SIDECAR, listener["path"])
            for name in seen_by[listener["serves"]]:
                if home(spec, name, listener["path"]) not in (volume, None):
                    yield f"{name} sees {listener['path']} in another volume"
            if not any(home(spec, name, listener["path"]) == volume for name in seen_by[listener["serves"]]):
                yield f"nobody sees {listener['path']}"


def registry_knows_the_pod(objects):
    for spec, _, registry, namespace, account in instances(objects):
        known = {uid for agent in registry["agents"].values() for uid in agent.get("uids", [])}
        for agent in agents(spec):
            sees = {mount["name"] for mount in agent.get("volumeMounts", [])}
            if "pursekeeper-agent" in sees and agent["securityContext"]["runAsUser"] not in known:
                yield f"{agent['name']} is no agent of the registry"
        operators = {uid for operator in registry["operators"].values() for uid in operator["uids"]}
        if container(spec, OPERATOR)["securityContext"]["runAsUser"] not in operators:
            yield "the operator is none of the registry"
        for name, agent in registry["agents"].items():
            for token in agent.get("tokens", []):
                if token.split(":", 1)[1] != f"system:serviceaccount:{namespace}:{account}":
                    yield f"{name}: {token} is another ServiceAccount"


def tokens_are_accepted(objects):
    for spec, config, registry, _, _ in instances(objects):
        issuers = {issuer["name"]: issuer for issuer in config["identity"]["tokens"]}
        named_issuers = {token.split(":")[0] for agent in registry["agents"].values() for token in agent.get("tokens", [])}
        if not named_issuers <= set(issuers):
            yield f"the registry names {sorted(named_issuers - set(issuers))}"
        accepted = {audience for issuer in issuers.values() for audience in issuer["audiences"]}
        for agent in agents(spec):
            for mount in agent.get("volumeMounts", []):
                for source in volumes(spec)[mount["name"]].get("projected", {}).get("sources", []):
                    audience = source.get("serviceAccountToken", {}).get("audience")
                    if audience not in accepted:
                        yield f"{agent['name']} has a token for {audience}"


def never_dev(objects):
    for _, config, _, _, _ in instances(objects):
        if config.get("dev") or config.get("sandbox") == "off":
            yield "dev or sandbox: off"


def wallets_are_one_each(objects):
    seen = set()
    for _, _, registry, _, _ in instances(objects):
        for name, wallet in registry["wallets"].items():
            if wallet["address"] in seen:
                yield f"{name} is in two sidecars"
            seen.add(wallet["address"])


def operators_find_their_config(objects):
    for spec, _, _, _, _ in instances(objects):
        operator = container(spec, OPERATOR)
        said = yaml.safe_dump([operator["args"], operator.get("env")])
        sidecar = re.search(r"/etc/pursekeeper/\S+?\.yaml", yaml.safe_dump(container(spec, SIDECAR)["args"])).group()
        if sidecar not in said:
            yield "the operator reads another configuration"


RULES = [
    ("paths-are-mounted", paths_are_mounted),
    ("health-is-probed", health_is_probed),
    ("sockets-are-where-they-are-mounted", sockets_are_where_they_are_mounted),
    ("registry-knows-the-pod", registry_knows_the_pod),
    ("tokens-are-accepted", tokens_are_accepted),
    ("never-dev", never_dev),
    ("wallets-are-one-each", wallets_are_one_each),
    ("operators-find-their-config", operators_find_their_config),
]


def violations(objects):
    """Rule -> what breaks it."""
    found = {rule: list(check(objects)) for rule, check in RULES}
    return {rule: problems for rule, problems in found.items() if problems}
