//! A directory as Kubernetes mounts a ConfigMap.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A mounted ConfigMap: the files of a revision are in a directory of its own, `..data` leads there, and every file is a
/// link through it.
#[derive(Debug)]
pub struct ConfigMap {
    dir: PathBuf,
    revision: u64,
}

impl ConfigMap {
    /// Puts the files of a directory behind `..data`.
    ///
    /// # Panics
    /// When the disk does not.
    #[must_use]
    pub fn mount(dir: &Path) -> Self {
        let files: Vec<(String, String)> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        let mut map = Self { dir: dir.to_owned(), revision: 0 };
        for (name, _) in &files {
            fs::remove_file(dir.join(name)).unwrap();
        }
        map.swap(&files);
        for (name, _) in &files {
            symlink(Path::new("..data").join(name), dir.join(name)).unwrap();
        }
        map
    }

    /// The files of the revision that is mounted.
    ///
    /// # Panics
    /// When the disk does not.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.dir.join("..data")).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect()
    }

    /// Mounts another revision, all at once, and removes the one before, as a kubelet does.
    ///
    /// # Panics
    /// When the disk does not.
    pub fn swap(&mut self, files: &[(String, String)]) {
        let before = fs::read_link(self.dir.join("..data")).ok();
        self.revision += 1;
        let name = format!("..2026_11_23.{}", self.revision);
        let dir = self.dir.join(&name);
        fs::create_dir(&dir).unwrap();
        for (file, text) in files {
            fs::write(dir.join(file), text).unwrap();
        }
        let next = self.dir.join("..data_tmp");
        symlink(&name, &next).unwrap();
        fs::rename(&next, self.dir.join("..data")).unwrap();
        if let Some(before) = before {
            fs::remove_dir_all(self.dir.join(before)).unwrap();
        }
    }

    /// The same with one file changed.
    ///
    /// # Panics
    /// When what is replaced is not there, or the disk does not.
    pub fn replace(&mut self, file: &str, from: &str, to: &str) {
        let mut files = self.files();
        let (_, text) = files.iter_mut().find(|(name, _)| name == file).unwrap();
        assert!(text.contains(from), "`{from}` is not in {file}");
        *text = text.replace(from, to);
        self.swap(&files);
    }
}
