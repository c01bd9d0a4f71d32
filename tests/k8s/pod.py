"""One container of a rendered pod, as kubelet would give it to the program: the same paths, owners, modes and links.

A name space of mounts, a root of its own, the container's user and the pod's group. No Kubernetes runs here.
"""

import os
import subprocess
from pathlib import Path

from objects import container, mounts, named, volumes

#: What the program needs of this machine.
SHARED = ("usr", "lib", "lib64", "proc", "dev")
TIMESTAMP = "..2026_11_23_00_00_00.1"

#: A certificate of nobody: what a cluster's authority looks like.
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUViC1kwD0Qy2duCa8GuTFF/9UDvowCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHY2x1c3RlcjAgFw0yNjExMjMxMDQ3MjZaGA8yMTI2MTAzMDEw
NDcyNlowEjEQMA4GA1UEAwwHY2x1c3RlcjBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABHM7C1ACav+89HAH0zU68c+DGaIZfz5Zhbdd3UAnGswU+Le8+pEeGOdBsAGi
tXwGyflzNLr6pR/FsQiocNEt4tyjUzBRMB0GA1UdDgQWBBSA6YsZo6kMFdhNCJzo
9qVhXY5XxzAfBgNVHSMEGDAWgBSA6YsZo6kMFdhNCJzo9qVhXY5XxzAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIENVZXEc1lVVOIvxHp5kZAZtBTMY
SpS1szQJMqwOg1o8AiEA5hY0BtKe7qJcpOZMp6p8mj9jrQLhfaavTVI6riZhsXg=
-----END CERTIFICATE-----
"""

SCRIPT = r"""
set -eu
root=$1 binary=$2 shared=$3 readonly=$4 uid=$5 group=$6
shift 6
mount --rbind "$root" "$root"
for name in $shared; do mount --rbind "/$name" "$root/$name"; done
mount --bind "$binary" "$root/pursekeeper"
for path in $readonly; do mount -o remount,bind,ro "$root$path"; done
exec setpriv --no-new-privs chroot --userspec="$uid:$uid" --groups="$group" "$root" /pursekeeper "$@"
"""


class Pod:
    """Its volumes lie in a directory and stay from one container, and from one run, to the next."""

    def __init__(self, directory, objects, spec, secrets):
        self.directory = Path(directory)
        self.objects = objects
        self.spec = spec
        self.group = spec["securityContext"]["fsGroup"]
        self.volumes = {}
        for name, volume in volumes(spec).items():
            self.volumes[name] = self.make(name, volume, secrets)

    def run(self, name, *args, binary, pod="crawler"):
        """Runs the program in the container of that name. Returns the finished process."""
        one = container(self.spec, name)
        root = self.directory / f"root-{name}"
        # The one with the shorter path first: another may lie below it.
        for path, mount in sorted(mounts(one).items()):
            self.attach(root, path, mount["name"])
        for shared in (*SHARED, "tmp"):
            (root / shared).mkdir(parents=True, exist_ok=True)
        (root / "pursekeeper").touch()
        readonly = [path for path, mount in mounts(one).items() if mount.get("readOnly")]
        uid = str(one["securityContext"]["runAsUser"])
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", self.script(root, one), "pod"]
        command += [root, binary, " ".join(SHARED), " ".join(readonly), uid, str(self.group)]
        args = [arg.replace("$(POD_NAME)", pod) for arg in args]
        return subprocess.run(
            [str(word) for word in [*command, *args]], capture_output=True, text=True, timeout=60, cwd="/"
        )

    def script(self, root, one):
        """The volumes are put where the container has them, then the script goes on."""
        lines = []
        for path, mount in sorted(mounts(one).items()):
            lines.append(f'mount --bind "{self.volumes[mount["name"]]}" "{root}{path}"')
        return SCRIPT.replace('for name in $shared', "\n".join(lines) + "\nfor name in $shared", 1)

    def attach(self, root, path, volume):
        """Makes the place for a mount. kubelet makes it inside of another volume as well, if it lies there."""
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for other, mount in mounts_of_all(self.spec).items():
            if path != other and path.startswith(other + "/"):
                (self.volumes[mount] / path[len(other) + 1 :]).mkdir(parents=True, exist_ok=True)

    def make(self, name, volume, secrets):
        """A volume as kubelet makes it for a pod with an fsGroup."""
        at = self.directory / "volumes" / name
        at.mkdir(parents=True)
        if "configMap" in volume:
            data = named(self.objects, "ConfigMap", volume["configMap"]["name"])["data"]
            self.project(at, {file: text.encode() for file, text in data.items()}, 0o644)
        elif "secret" in volume:
            secret = volume["secret"]
            # With an fsGroup, kubelet lets the group read whatever the mode says.
            self.project(at, secrets[secret["secretName"]], secret["defaultMode"] | 0o040)
        elif "projected" in volume:
            self.project(at, {"token": b"header.payload.signature", "ca.crt": AUTHORITY.encode()}, 0o640)
        elif "persistentVolumeClaim" in volume:
            own(at, self.group, 0o2775)
        else:
            own(at, self.group, 0o2777)
        return at

    def project(self, at, files, mode):
        """Files are links to files of a directory that is swapped as a whole."""
        inside = at / TIMESTAMP
        inside.mkdir()
        for file, content in files.items():
            (inside / file).write_bytes(content)
            own(inside / file, self.group, mode)
            (at / file).symlink_to(f"..data/{file}")
        (at / "..data").symlink_to(TIMESTAMP)
        own(inside, self.group, 0o2755)
        own(at, self.group, 0o3777)

    def swap(self, name, files, mode):
        """Other files in a volume, as after `kubectl apply`."""
        at = self.volumes[name]
        for path in at.iterdir():
            if path.is_symlink():
                path.unlink()
            elif path.name == TIMESTAMP:
                path.rename(at / f"{TIMESTAMP}.old{len(list(at.iterdir()))}")
        self.project(at, files, mode)


def mounts_of_all(spec):
    """Mount path -> volume, of every container: kubelet does not ask which."""
    found = {}
    for one in [*spec.get("initContainers", []), *spec["containers"]]:
        found.update({path: mount["name"] for path, mount in mounts(one).items()})
    return found


def own(path, group, mode):
    os.chown(path, 0, group)
    path.chmod(mode)
