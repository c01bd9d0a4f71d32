//! A journal on a small disk of its own, in a mount name space of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::{Purse, Sidecar};

/// Runs the sidecar with its journal on a disk of `size`, as `mount -t tmpfs -o size=` takes it. Needs root, or leave to
/// make user name spaces; without either the test fails, because nothing else proves what a full disk does.
#[must_use]
pub fn serve_on_disk(purse: &Purse, size: &str) -> Sidecar {
    let script = format!(
        "cp -a '{0}' '{0}.kept'; mount -t tmpfs -o size={size},mode=0700 none '{0}'; cp -a '{0}.kept/.' '{0}'",
        purse.file("journal").display()
    );
    let command = in_mount_space(purse, &script);
    purse.serve_by(command)
}

/// The command that serves, in a mount name space of its own in which `script` has run. The same process becomes the
/// sidecar.
#[must_use]
pub fn in_mount_space(purse: &Purse, script: &str) -> Command {
    let root = rustix::process::geteuid().is_root();
    let script = format!("set -e; {script}; exec \"$@\"");
    let serve = purse.command(&["serve"]);
    let mut command = Command::new("unshare");
    command.arg(if root { "-m" } else { "-Urm" }).args(["sh", "-c", &script, "sh"]);
    command.arg(serve.get_program()).args(serve.get_args());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if !root {
        // Inside, this user is root.
        let own = format!("uids: [{}]", rustix::process::geteuid().as_raw());
        purse.replace("policies/registry.yaml", &own, "uids: [0]");
    }
    command
}

/// A file of the journal's directory, as the sidecar sees it.
#[must_use]
pub fn on_disk(purse: &Purse, sidecar: &Sidecar, file: &str) -> PathBuf {
    let journal = purse.file("journal");
    format!("/proc/{}/root{}/{file}", sidecar.pid(), journal.display()).into()
}

/// Takes all the room that is left on the sidecar's disk, and returns the file to remove to free it.
#[must_use]
pub fn fill_disk(purse: &Purse, sidecar: &Sidecar) -> PathBuf {
    let ballast = on_disk(purse, sidecar, "ballast");
    let mut file = File::options().create(true).append(true).open(&ballast).unwrap();
    for block in [&[0u8; 4096][..], &[0u8; 1]] {
        while file.write_all(block).is_ok() {}
    }
    ballast
}

/// Gives the sidecar's disk another size.
pub fn resize_disk(purse: &Purse, sidecar: &Sidecar, size: &str) {
    let mut command = Command::new("nsenter");
    if !rustix::process::geteuid().is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command.args(["-m", "-t", &sidecar.pid().to_string(), "mount", "-o", &format!("remount,size={size}")]);
    let resized = command.arg(purse.file("journal")).status().unwrap();
    assert!(resized.success(), "the disk cannot be made {size} large: {resized}");
}
