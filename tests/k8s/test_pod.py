"""What the manifests show is taken by the real program, in the volumes that a pod has: links, read-only Secrets, groups.

PURSEKEEPER_BIN names it. Needs root, for name spaces of mounts with several users.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

import objects
from invariants import INIT, SIDECAR, jobs, keystores, passphrases, secret_names, workloads
from objects import container, volumes
from pod import Pod

BINARY = Path(os.environ["PURSEKEEPER_BIN"])
PLACEHOLDERS = ["0x" + digit * 40 for digit in "23"]
UNBOUND = b'{"version":1,"journal_id":null}\n'
ALL = {how: found for how, found in objects.everything().items() if jobs(found)}


@pytest.fixture(scope="module")
def purses(tmp_path_factory):
    """(files of a keystore, passphrase, address) of as many wallets as there are ordinals."""
    made = []
    for _ in PLACEHOLDERS:
        purse = tmp_path_factory.mktemp("workstation") / "purse"
        told = subprocess.run(
            [BINARY, "init", "--output", "json", purse], check=True, capture_output=True, text=True
        ).stdout
        keystore = {path.name: path.read_bytes() for path in (purse / "keystore").iterdir()}
        made.append((keystore, (purse / "passphrase").read_bytes(), json.loads(told)["wallet"]["address"]))
    return made


class Cluster:
    """What somebody has applied: the objects with real addresses, and the Secrets."""

    def __init__(self, directory, rendered, purses):
        self.directory = directory
        text = yaml.safe_dump_all(rendered)
        for placeholder, (_, _, address) in zip(PLACEHOLDERS, purses, strict=True):
            text = text.replace(placeholder, address)
        self.objects = list(yaml.safe_load_all(text))
        self.secrets = {}
        for (_, spec), (keystore, passphrase, _) in zip(self.inits(), purses, strict=False):
            (keys,), (phrase,) = keystores(spec), passphrases(spec)
            # As on the first day: the keystore has no journal yet.
            self.secrets[secret_names(volumes(spec)[keys])[0]] = keystore | {"keystore.json": UNBOUND}
            self.secrets[secret_names(volumes(spec)[phrase])[0]] = {"passphrase": passphrase}

    def inits(self):
        return jobs(self.objects)

    def workload(self):
        ((found, spec),) = workloads(self.objects)
        return found, spec

    def pod(self, name, spec):
        return Pod(self.directory / name, self.objects, spec, self.secrets)


@pytest.fixture(params=ALL)
def cluster(request, tmp_path, purses):
    return Cluster(tmp_path, ALL[request.param], purses)


def journal_of(pod):
    return next(path for name, path in pod.volumes.items() if name.endswith("journal"))


def config_of(spec, name):
    args = container(spec, name)["args"]
    return args[args.index("--config") + 1]


def said(process):
    return process.stdout + process.stderr


def test_the_bundle_is_valid(cluster):
    for found, spec in cluster.inits():
        # The Job has no policies: they are looked at where the sidecar has them.
        name = volumes(spec)["pursekeeper-config"]["configMap"]["name"]
        files = objects.named(cluster.objects, "ConfigMap", name)["data"]
        config = yaml.safe_load(files[Path(config_of(spec, INIT)).name])
        workload, sidecar = cluster.workload()
        checked = cluster.pod(found["metadata"]["name"], with_claim(workload, sidecar)).run(
            SIDECAR, "policy", "check", config["policies"], binary=BINARY
        )
        assert checked.returncode == 0, said(checked)


def with_claim(found, spec):
    """A StatefulSet's volumes of claims stand beside its pod."""
    templates = found["spec"].get("volumeClaimTemplates", [])
    claims = [{"name": one["metadata"]["name"], "persistentVolumeClaim": {}} for one in templates]
    return {**spec, "volumes": [*spec["volumes"], *claims]}


def test_a_journal_is_made_once_and_never_again(cluster):
    """The Job makes the journal, and the keystore is told. From then on neither a restart nor a lost volume is a fresh budget."""
    workload, sidecar = cluster.workload()
    for at, (found, spec) in enumerate(cluster.inits()):
        pod = cluster.pod(found["metadata"]["name"], spec)
        args = container(spec, INIT)["args"]
        made = pod.run(INIT, *args, binary=BINARY)
        assert made.returncode == 0, said(made)
        journal_id = json.loads(made.stdout)["journal_id"]
        again = pod.run(INIT, *args, binary=BINARY)
        assert again.returncode != 0, "a second run made another journal"

        # The keystore is told, as the README says; the sidecar's pod comes up on the same volume.
        (keys,) = keystores(spec)
        (secret,) = secret_names(volumes(spec)[keys])
        bound = json.dumps({"version": 1, "journal_id": journal_id}).encode()
        unbound = dict(cluster.secrets[secret])
        cluster.secrets[secret] = unbound | {"keystore.json": bound}
        name = f"{workload['metadata']['name']}-{at}" if workload["kind"] == "StatefulSet" else "crawler"
        running = cluster.pod(f"{name}-pod", with_claim(workload, sidecar))
        (running_journal,) = [path for key, path in running.volumes.items() if key.endswith("journal")]
        running_journal.rmdir()
        journal_of(pod).rename(running_journal)
        config = config_of(sidecar, SIDECAR)
        checked = running.run(SIDECAR, "check", "--config", config, binary=BINARY, pod=name)
        assert checked.returncode == 0, said(checked)

        # The volume is lost, and everything is applied again: the Job is refused, and so is the sidecar.
        for path in sorted(running_journal.iterdir()):
            path.unlink()
        lost = cluster.pod(f"{found['metadata']['name']}-again", spec)
        refused = lost.run(INIT, *args, binary=BINARY)
        assert refused.returncode != 0 and journal_id in said(refused), said(refused)
        assert list(journal_of(lost).iterdir()) == [], "a journal was made for a keystore that has one"
        served = running.run(SIDECAR, "serve", "--config", config, binary=BINARY, pod=name)
        assert served.returncode != 0, said(served)
        assert not [path for path in running_journal.iterdir() if path.suffix == ".db"]

        # Somebody says that it is lost: then there is another journal, in which everything counts as spent.
        adopted = lost.run(INIT, "journal", "adopt", *args[2:], binary=BINARY)
        assert adopted.returncode == 0, said(adopted)
        assert json.loads(adopted.stdout)["journal_id"] != journal_id
        served = running.run(SIDECAR, "serve", "--config", config, binary=BINARY, pod=name)
        assert served.returncode != 0, "it served before the keystore was told"


def test_a_keystore_without_a_journal_does_not_serve(cluster):
    workload, sidecar = cluster.workload()
    pod = cluster.pod("early", with_claim(workload, sidecar))
    served = pod.run(SIDECAR, "serve", "--config", config_of(sidecar, SIDECAR), binary=BINARY, pod="crawler-0")
    assert served.returncode != 0 and "journal init" in said(served), said(served)


def test_what_others_can_read_is_refused(cluster):
    """A passphrase for everybody, and one in the place of a link that leads out of its volume."""
    found, spec = cluster.inits()[0]
    pod = cluster.pod("open", spec)
    (phrase,) = passphrases(spec)
    (secret,) = secret_names(volumes(spec)[phrase])
    pod.swap(phrase, cluster.secrets[secret], 0o444)
    refused = pod.run(INIT, *container(spec, INIT)["args"], binary=BINARY)
    assert refused.returncode != 0 and "passphrase" in said(refused), said(refused)
    assert list(journal_of(pod).iterdir()) == []
