//! `.dev/`: one run at a time, files that only their owner reads, and none of them half written.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

pub(crate) const ENV: &str = "env";
pub(crate) const BROKER_PID: &str = "broker.pid";
pub(crate) const BROKER_LOG: &str = "broker.log";
/// Where the Azure Arc agent of the sample machine leaves its key files.
pub(crate) const ARC_KEYS: &str = "arc-keys";
/// Who signs the audit log's checkpoints.
pub(crate) const AUDIT_PUBLIC_KEY: &str = "audit-public-key";
/// The one that the walk takes.
pub(crate) const AUDIT_CHECKPOINT: &str = "audit-checkpoint";
pub(crate) const AZSIM_CA: &str = "azsim-ca.pem";
/// The Azure CLI's own files, tokens among them.
pub(crate) const AZ_CONFIG: &str = "az";

/// Locked until it is dropped; what would mislead once nothing runs is removed then.
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("{name} cannot be made"))?;
        let path = fs::canonicalize(path)?;
        let lock = path.join("lock");
        let options = OpenOptions::new().read(true).write(true).create(true).mode(0o600).clone();
        let mut file = options.open(&lock).with_context(|| {
            format!(
                "{} cannot be opened; if another user ran make dev here, remove {name}",
                lock.display()
            )
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "it already runs here, as process {}; `source {}/env` to use it",
                fs::read_to_string(&lock)?.trim(),
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).context("the lock"),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        let directory = Self { path, _lock: file };
        // From a run that was killed.
        directory.remove_what_misleads();
        Ok(directory)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Readers see the old file or the new one, whole.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, new) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || {
            private(&new)?.write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// An empty file to append to.
    pub(crate) fn log(&self, name: &str) -> anyhow::Result<File> {
        let path = self.file(name);
        private(&path).with_context(|| format!("{} cannot be written", path.display()))
    }

    fn remove_what_misleads(&self) {
        for name in [ENV, BROKER_PID, AZSIM_CA, AUDIT_PUBLIC_KEY, AUDIT_CHECKPOINT] {
            // Mostly it is not there.
            drop(fs::remove_file(self.file(name)));
        }
        drop(fs::remove_dir_all(self.file(AZ_CONFIG)));
        drop(fs::remove_dir_all(self.file(ARC_KEYS)));
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.remove_what_misleads();
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    // Removed first: an old file keeps its mode.
    drop(fs::remove_file(path));
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}
