"""The Pod Security Standard "restricted" (it contains "baseline"), as of Kubernetes 1.37: every control is a row.

A row is a rule's name and a function from a pod's spec to what breaks it. https://kubernetes.io/docs/concepts/security/
"""

from objects import containers

SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SECCOMP = {"RuntimeDefault", "Localhost"}


def contexts(spec):
    """(whose, security context) of the pod and of each container."""
    yield "pod", spec.get("securityContext") or {}
    for container in containers(spec):
        yield container["name"], container.get("securityContext") or {}


def each_container(spec, wrong):
    """What `wrong` finds in each container's own security context."""
    for container in containers(spec):
        problem = wrong(container.get("securityContext") or {})
        if problem:
            yield f"{container['name']}: {problem}"


def own_or_pod(spec, field, accept):
    """A field that the pod may say for all, and that no container may say otherwise."""
    whole = (spec.get("securityContext") or {}).get(field)
    for container in containers(spec):
        own = (container.get("securityContext") or {}).get(field)
        if not accept(whole if own is None else own):
            yield f"{container['name']}: {field} is {whole if own is None else own}"
    if whole is not None and not accept(whole):
        yield f"pod: {field} is {whole}"


def host_namespaces(spec):
    return [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]


def host_ports(spec):
    return [
        f"{container['name']}: {port}"
        for container in containers(spec)
        for port in container.get("ports", [])
        if port.get("hostPort")
    ]


def host_fields(spec):
    """Since 1.34: no probe and no hook is sent anywhere but to the pod."""

    def hosts(value):
        if isinstance(value, dict):
            for key, below in value.items():
                if key in ("httpGet", "tcpSocket") and isinstance(below, dict) and below.get("host"):
                    yield below["host"]
                yield from hosts(below)

    keys = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
    return [
        f"{container['name']}: {key} {host}"
        for container in containers(spec)
        for key in keys
        for host in hosts(container.get(key))
    ]


def windows_host_process(spec):
    return [who for who, context in contexts(spec) if (context.get("windowsOptions") or {}).get("hostProcess")]


def volume_types(spec):
    return [
        f"{volume['name']}: {kind}"
        for volume in spec.get("volumes", [])
        for kind in volume
        if kind != "name" and kind not in VOLUMES
    ]


def app_armor(spec):
    allowed = {None, "", "RuntimeDefault", "Localhost"}
    return [
        who for who, context in contexts(spec) if (context.get("appArmorProfile") or {}).get("type") not in allowed
    ]


def selinux(spec):
    return [
        who
        for who, context in contexts(spec)
        for options in [context.get("seLinuxOptions") or {}]
        if options.get("type") not in SELINUX_TYPES or options.get("user") or options.get("role")
    ]


def sysctls(spec):
    asked = (spec.get("securityContext") or {}).get("sysctls") or []
    return [one["name"] for one in asked if one["name"] not in SYSCTLS]


def capabilities(context):
    asked = context.get("capabilities") or {}
    if "ALL" not in (asked.get("drop") or []):
        return "does not drop ALL capabilities"
    added = set(asked.get("add") or []) - {"NET_BIND_SERVICE"}
    return f"adds {sorted(added)}" if added else None


RULES = [
    ("host-process", windows_host_process),
    ("host-namespaces", host_namespaces),
    ("host-ports", host_ports),
    ("host-probes", host_fields),
    ("privileged", lambda spec: each_container(spec, lambda own: own.get("privileged") and "is privileged")),
    (
        "proc-mount",
        lambda spec: each_container(
            spec, lambda own: own.get("procMount") not in (None, "Default") and "has another /proc"
        ),
    ),
    ("apparmor", app_armor),
    ("selinux", selinux),
    ("sysctls", sysctls),
    ("volume-types", volume_types),
    (
        "privilege-escalation",
        lambda spec: each_container(
            spec, lambda own: own.get("allowPrivilegeEscalation") is not False and "may gain privileges"
        ),
    ),
    ("run-as-non-root", lambda spec: own_or_pod(spec, "runAsNonRoot", lambda value: value is True)),
    ("run-as-user", lambda spec: own_or_pod(spec, "runAsUser", lambda value: value != 0)),
    (
        "seccomp",
        lambda spec: own_or_pod(
            spec, "seccompProfile", lambda value: isinstance(value, dict) and value.get("type") in SECCOMP
        ),
    ),
    ("capabilities", lambda spec: each_container(spec, capabilities)),
]


def violations(spec):
    """Rule -> what breaks it, for one pod."""
    found = {rule: list(check(spec)) for rule, check in RULES}
    return {rule: problems for rule, problems in found.items() if problems}
