//! Files that a sidecar has to do with.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
    path_beneath_rules,
};

use crate::config::Config;

/// What this was written against. Older kernels know less, and refuse what they know.
const LANDLOCK: ABI = ABI::V5;

/// What a program that resolves names and speaks TLS reads, wherever it runs.
const SYSTEM: [&str; 9] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
    "/proc",
    "/sys/fs/cgroup",
    "/dev/urandom",
    "/dev/null",
];

/// The directories below which files are read, or read and written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Read.
    pub(crate) read: Vec<PathBuf>,
    /// Written as well.
    pub(crate) written: Vec<PathBuf>,
}

impl Reach {
    /// Everything that the configuration in the file `path` names, and what lies beside it.
    pub(crate) fn of(path: &Path, config: &Config) -> Self {
        let Self { read, written } = Self::system();
        let mut reach = config.reach();
        reach.reads(path);
        reach.read.extend(read);
        reach.written.extend(written);
        reach
    }

    /// What every program needs.
    pub(crate) fn system() -> Self {
        Self { read: SYSTEM.map(PathBuf::from).to_vec(), written: vec![PathBuf::from("/dev/null")] }
    }

    /// A file is read.
    pub(crate) fn reads(&mut self, file: &Path) {
        self.read.push(directory_of(file));
    }

    /// A file is written, or what is beside it.
    pub(crate) fn writes(&mut self, file: &Path) {
        self.written.push(directory_of(file));
    }

    /// What is in a directory is written.
    pub(crate) fn writes_below(&mut self, directory: &Path) {
        self.written.push(existing(directory));
    }
}

fn directory_of(file: &Path) -> PathBuf {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    existing(directory.unwrap_or_else(|| Path::new(".")))
}

/// The directory itself, or the nearest one above it: what is not there yet is made below that.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Leaves this thread, and those it starts, what is in reach.
pub(super) fn restrict(reach: &Reach) -> Result<(), String> {
    let all = AccessFs::from_all(LANDLOCK);
    let read = AccessFs::from_read(LANDLOCK) & !BitFlags::from(AccessFs::Execute);
    // Nothing below them is a program to this process.
    let written = all & !BitFlags::from(AccessFs::Execute);
    let restricted = Ruleset::default()
        .handle_access(all)
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(&reach.read, read)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(&reach.written, written)))
        .and_then(landlock::RulesetCreated::restrict_self);
    match restricted {
        Ok(status) if status.ruleset == RulesetStatus::FullyEnforced => Ok(()),
        Ok(status) if status.ruleset == RulesetStatus::PartiallyEnforced => {
            Err("this kernel's Landlock is older and confines less".to_owned())
        }
        Ok(_) => Err("this kernel has no Landlock, or does not permit it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_there_yet_is_made_below_what_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(existing(&dir.path().join("a/b/c")), dir.path());
        assert_eq!(directory_of(&dir.path().join("file")), dir.path());
    }

    #[test]
    fn a_confined_thread_reads_and_writes_what_is_in_reach() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["read", "written", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("file"), name).unwrap();
        }
        let base = dir.path().to_owned();
        let reach = Reach { read: vec![base.join("read")], written: vec![base.join("written")] };
        let done = std::thread::spawn(move || {
            restrict(&reach).unwrap();
            ["read", "written", "other"].map(|name| {
                let file = base.join(name).join("file");
                (fs::read(&file).is_ok(), fs::write(&file, "changed").is_ok())
            })
        });
        assert_eq!(done.join().unwrap(), [(true, false), (true, true), (false, false)]);
    }
}
