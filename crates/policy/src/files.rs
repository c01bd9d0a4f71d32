//! A bundle's files: found, limited and read.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::REGISTRY_FILE;
use crate::error::{BundleError, BundleErrors, BundleWarning, Place};

/// Largest file, in bytes.
pub const BUNDLE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most policy files.
pub const BUNDLE_FILES_MAX: usize = 1_000;
/// Largest bundle, in bytes.
pub const BUNDLE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How often a bundle is read again that changed while it was read.
const READ_TRIES_MAX: usize = 8;
/// What Kubernetes renames when a mounted ConfigMap changes.
const KUBERNETES_DATA: &str = "..data";

/// What was read.
pub(crate) struct Files {
    pub(crate) registry: String,
    pub(crate) policies: Vec<(String, String)>,
    pub(crate) warnings: Vec<BundleWarning>,
}

/// Where a bundle's files are and when each was changed last: equal stamps mean equal files, as far as the file system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    dir: PathBuf,
    files: Vec<(String, Option<[u64; 4]>)>,
}

/// What is in the directory.
struct Listing {
    /// `registry.yaml` and the policy files, sorted by name.
    paths: Vec<(String, PathBuf)>,
    warnings: Vec<BundleWarning>,
}

/// Reads all files through one resolved path, and again when they changed meanwhile: what is handed out stood there as a
/// whole.
pub(crate) fn read(dir: &Path) -> Result<Files, BundleErrors> {
    let mut gone = None;
    for _ in 0..READ_TRIES_MAX {
        let before = match stamp(dir) {
            Ok(before) => before,
            Err(errors) => {
                // It may have been replaced between finding and looking into it.
                gone = Some(errors);
                continue;
            }
        };
        gone = None;
        let files = read_once(&before.dir);
        // What was replaced while it was read may not even be there any more.
        if stamp(dir).is_ok_and(|after| after == before) {
            return files;
        }
    }
    if let Some(errors) = gone {
        return Err(errors);
    }
    let what = "it keeps changing while it is read: put whole directories in place by renaming".to_owned();
    Err(BundleError::Refused { path: dir.display().to_string(), what }.into())
}

/// The directory that is meant: where `..data` leads, if Kubernetes mounted it.
fn resolve(dir: &Path) -> Result<PathBuf, BundleErrors> {
    let data = dir.join(KUBERNETES_DATA);
    let dir = if data.is_dir() { data } else { dir.to_owned() };
    fs::canonicalize(&dir).map_err(|source| unreadable(&dir, source).into())
}

/// Whether Kubernetes mounted it, and so replaces all of it by one rename.
pub(crate) fn is_swapped_whole(dir: &Path) -> bool {
    dir.join(KUBERNETES_DATA).is_dir()
}

/// What a bundle's directory looks like from outside.
pub(crate) fn stamp(dir: &Path) -> Result<Stamp, BundleErrors> {
    let dir = resolve(dir)?;
    let mut files = Vec::new();
    for (name, path) in list(&dir)?.paths {
        // What cannot be looked at is told when it is read.
        let meta = fs::symlink_metadata(&path).ok();
        let inode = meta.map(|meta| {
            [
                meta.ino(),
                meta.size(),
                changed(meta.mtime(), meta.mtime_nsec()),
                changed(meta.ctime(), meta.ctime_nsec()),
            ]
        });
        files.push((name, inode));
    }
    Ok(Stamp { dir, files })
}

/// Nanoseconds of a time a file system tells, made one number; only equality counts.
fn changed(secs: i64, nanos: i64) -> u64 {
    secs.wrapping_mul(1_000_000_000).wrapping_add(nanos).cast_unsigned()
}

fn read_once(dir: &Path) -> Result<Files, BundleErrors> {
    let Listing { paths, warnings } = list(dir)?;
    let mut errors = Vec::new();
    let mut left = BUNDLE_BYTES_MAX;
    let mut registry = String::new();
    let mut policies = Vec::new();
    for (name, path) in paths {
        match read_file(&path, &mut left) {
            Ok(text) if name == REGISTRY_FILE => registry = text,
            Ok(text) => policies.push((name, text)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Files { registry, policies, warnings }) } else { Err(BundleErrors(errors)) }
}

fn list(dir: &Path) -> Result<Listing, BundleErrors> {
    let mut found = vec![(REGISTRY_FILE.to_owned(), dir.join(REGISTRY_FILE))];
    let mut warnings = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| unreadable(dir, source))? {
        let entry = entry.map_err(|source| unreadable(dir, source))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let path = entry.path().display().to_string();
            return Err(
                BundleError::Refused { path, what: "the name is not UTF-8: rename it".to_owned() }.into()
            );
        };
        let hidden = name.starts_with('.');
        if name.ends_with(".cedar") && !hidden {
            found.push((name.to_owned(), entry.path()));
        } else if !hidden && entry.path().is_dir() {
            let place = Place { file: name.into(), line: 1, column: 1 };
            let what = "a directory: policies in it are not read: move them next to registry.yaml";
            warnings.push(BundleWarning { place, what: what.to_owned() });
        }
    }
    if found.len() > BUNDLE_FILES_MAX {
        let what = format!("more than {BUNDLE_FILES_MAX} files: put several policies into one");
        return Err(BundleError::Refused { path: dir.display().to_string(), what }.into());
    }
    found.sort();
    Ok(Listing { paths: found, warnings })
}

fn read_file(path: &Path, left: &mut u64) -> Result<String, BundleError> {
    let io = |source| unreadable(path, source);
    let refused = |what: String| BundleError::Refused { path: path.display().to_string(), what };
    // A link could lead out of the revision that is being read, and a pipe would never end.
    let meta = fs::symlink_metadata(path).map_err(io)?;
    if !meta.is_file() {
        return Err(refused("not a regular file: put the file itself here, not a link".to_owned()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(io)?;
    let length = file.take(BUNDLE_FILE_BYTES_MAX.saturating_add(1)).read_to_string(&mut text).map_err(io)?;
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    if length > BUNDLE_FILE_BYTES_MAX {
        return Err(refused(format!("larger than {BUNDLE_FILE_BYTES_MAX} bytes: split it")));
    }
    match left.checked_sub(length) {
        Some(rest) => *left = rest,
        None => {
            return Err(refused(format!(
                "the bundle is larger than {BUNDLE_BYTES_MAX} bytes: make it smaller"
            )));
        }
    }
    Ok(text)
}

fn unreadable(path: &Path, source: std::io::Error) -> BundleError {
    BundleError::Unreadable { path: path.display().to_string(), source }
}

/// Names of policy files, for bundles that come from memory.
pub(crate) fn check_names(sorted: &[(&str, &str)]) -> Vec<BundleError> {
    let mut errors = Vec::new();
    let mut before = None;
    for (name, _) in sorted {
        let mut refuse = |what: &str| {
            errors.push(BundleError::Refused { path: (*name).to_owned(), what: what.to_owned() });
        };
        if !name.ends_with(".cedar") || name.contains('/') {
            refuse("not the name of a policy file: end it in `.cedar`");
        }
        if before == Some(name) {
            refuse("two files of one name: rename one");
        }
        before = Some(name);
    }
    errors
}
