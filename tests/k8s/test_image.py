"""deploy/image/check refuses images that are wrong: programs that write elsewhere, shells, rights, a foreign bill of materials.

The images are small ones of our own. That the real one is right is for deploy/image/check itself to say.
"""

import json
import os
import subprocess

import pytest

from objects import DEPLOY, ROOT

PROGRAM = """
#include <stdio.h>
#include <string.h>
static void note(const char *path) { FILE *file = fopen(path, "w"); if (file) { fputs("x", file); fclose(file); } }
int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "--version")) { puts("pursekeeper 0.0.0"); return 0; }
  note("/var/lib/pursekeeper/journal");
#ifdef LEAK
  note(LEAK);
#endif
#ifdef ENDS
  return ENDS;
#endif
  return 0;
}
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    directory = tmp_path_factory.mktemp("image")
    (directory / "program.c").write_text(PROGRAM)
    crates = [block.split('"') for block in (ROOT / "Cargo.lock").read_text().split("[[package]]\n")[1:]]
    components = [{"type": "library", "name": words[1], "version": words[3]} for words in crates]
    (directory / "sbom.json").write_text(json.dumps({"bomFormat": "CycloneDX", "components": components}))
    foreign = components + [{"type": "library", "name": "left-pad", "version": "1.0.0"}]
    (directory / "foreign.json").write_text(json.dumps({"bomFormat": "CycloneDX", "components": foreign}))
    (directory / "empty.json").write_text(json.dumps({"bomFormat": "CycloneDX", "components": []}))
    return directory


def base(workshop, name, change=lambda root: None):
    """A root file system with the places that an image has."""
    root = workshop / f"root-{name}"
    for path in ("etc/pursekeeper", "var/lib/pursekeeper", "var/run/pursekeeper/agent", "usr/share/doc", "tmp"):
        (root / path).mkdir(parents=True)
    for path in ("var/lib/pursekeeper", "var/run/pursekeeper", "var/run/pursekeeper/agent"):
        os.chown(root / path, 65532, 65532)
    (root / "tmp").chmod(0o1777)
    change(root)
    return root


def checked(workshop, name, *steps, flags=(), sbom="sbom.json", change=lambda root: None):
    """What deploy/image/check says about an image of that program."""
    program = workshop / f"program-{name}"
    subprocess.run(["cc", "-static", *flags, "-o", program, workshop / "program.c"], check=True)
    tag = f"localhost/pursekeeper-check-{name}:0.0.0"
    build = [DEPLOY / "image/build", program, "--tag", tag, "--sbom", workshop / sbom]
    built = subprocess.run([*build, "--root", base(workshop, name, change)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    try:
        return subprocess.run([DEPLOY / "image/check", tag, *steps], capture_output=True, text=True)
    finally:
        subprocess.run(["buildah", "--storage-driver", "vfs", "rmi", tag], check=True, capture_output=True)


def shell(root):
    (root / "bin").mkdir()
    (root / "bin/sh").write_bytes(b"#!")
    (root / "bin/sh").chmod(0o755)


def setuid(root):
    (root / "etc/helper").write_bytes(b"")
    (root / "etc/helper").chmod(0o4644)


def open_to_all(root):
    (root / "etc/pursekeeper").chmod(0o777)


def owned(root):
    os.chown(root / "etc", 65532, 65532)


def test_a_program_that_writes_where_it_may_is_accepted(workshop):
    found = checked(workshop, "right")
    assert found.returncode == 0, found.stderr
    assert found.stdout == "files: ok\ninit: ok\ndemo: ok\nselfcheck: ok\n"


#: Name, step, what the compiler is told, what is wrong with the root, the bill of materials, and what is said.
WRONG = [
    ("leak-tmp", "demo", ['-DLEAK="/tmp/leak"'], None, "sbom.json", "outside of /var/lib/pursekeeper"),
    ("leak-etc", "init", ['-DLEAK="/etc/pursekeeper/leak"'], None, "sbom.json", "outside of /var/lib/pursekeeper"),
    ("leak-run", "selfcheck", ['-DLEAK="/var/run/pursekeeper/leak"'], None, "sbom.json", "outside of /var/lib/pursekeeper"),
    ("fails", "selfcheck", ["-DENDS=3"], None, "sbom.json", "ended with 3"),
    ("shell", "files", [], shell, "sbom.json", "/bin/sh can be run"),
    ("setuid", "files", [], setuid, "sbom.json", "/etc/helper gives rights"),
    ("open", "files", [], open_to_all, "sbom.json", "/etc/pursekeeper can be written by others"),
    ("owned", "files", [], owned, "sbom.json", "/etc belongs to the user"),
    ("foreign", "files", [], None, "foreign.json", "left-pad 1.0.0, which Cargo.lock does not"),
    ("empty", "files", [], None, "empty.json", "missing or empty"),
]


@pytest.mark.parametrize(("name", "step", "flags", "change", "sbom", "said"), WRONG, ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_refused(workshop, name, step, flags, change, sbom, said):
    found = checked(workshop, name, step, flags=flags, sbom=sbom, change=change or (lambda root: None))
    assert found.returncode == 1 and said in found.stderr, found.stdout + found.stderr


def test_two_builds_are_one_image(workshop):
    program = workshop / "program-twice"
    subprocess.run(["cc", "-static", "-o", program, workshop / "program.c"], check=True)
    digests = []
    for at in range(2):
        build = [DEPLOY / "image/build", program, "--tag", f"localhost/pursekeeper-twice-{at}:0.0.0"]
        build += ["--sbom", workshop / "sbom.json", "--root", base(workshop, f"twice-{at}")]
        built = subprocess.run(build, check=True, capture_output=True, text=True)
        digests.append(built.stdout.split()[-1])
        subprocess.run(["buildah", "--storage-driver", "vfs", "rmi", build[3]], check=True, capture_output=True)
    assert digests[0] == digests[1] and digests[0].startswith("sha256:")
