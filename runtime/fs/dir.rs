//! Directories: listing and making them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use super::error::{on_pool, with_path};
use crate::thread::try_blocking;

/// So many entries come with one trip to the pool.
const BATCH: usize = 64;

/// Lists a directory; [`std::fs::read_dir`]. Parks.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let mut names = Vec::new();
///     for entry in fibra::fs::read_dir("/proc/self/task")? {
///         names.push(entry?.file_name());
///     }
///     assert!(!names.is_empty());
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref();
    on_pool("read directory", path, |path| {
        let mut entries =
            ReadDir { rest: fs::read_dir(path)?, batch: VecDeque::new(), ended: false, path: path.into() };
        entries.fill();
        Ok(entries)
    })
}

/// The entries of a directory, in no order: [`std::fs::ReadDir`]. Its `next` parks once in 64 entries.
///
/// So up to 64 entries show what was there when the first of them came. A cancellation loses no entry: `next` unwinds
/// before it reads, or not at all.
pub struct ReadDir {
    rest: fs::ReadDir,
    batch: VecDeque<io::Result<DirEntry>>,
    ended: bool,
    path: Arc<Path>,
}

impl ReadDir {
    /// Reads one batch, on a thread that may block.
    fn fill(&mut self) {
        while self.batch.len() < BATCH {
            let Some(entry) = self.rest.next() else {
                self.ended = true;
                return;
            };
            let failed = entry.is_err();
            self.batch.push_back(entry.map(DirEntry::new));
            if failed {
                return;
            }
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() && !self.ended {
            let filled = try_blocking(|| self.fill());
            if let Err(error) = filled {
                return Some(Err(with_path("read directory", &self.path, error)));
            }
        }
        let entry = self.batch.pop_front()?;
        Some(entry.map_err(|error| with_path("read directory", &self.path, error)))
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.path).finish()
    }
}

/// An entry of a directory: [`std::fs::DirEntry`].
pub struct DirEntry {
    entry: fs::DirEntry,
    /// Most file systems tell it with the name; where they don't, it was asked for on the pool.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// On a thread that may block.
    fn new(entry: fs::DirEntry) -> Self {
        let file_type = entry.file_type().ok();
        Self { entry, file_type }
    }

    /// The directory's path, as given to [`read_dir`], and the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name alone.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// What is known about the file, about a symbolic link itself. Parks.
    pub fn metadata(&self) -> io::Result<Metadata> {
        on_pool("stat", &self.path(), |_| self.entry.metadata())
    }

    /// What kind of file it is; a symbolic link is not followed. Parks only if that did not come with the name.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => on_pool("stat", &self.path(), |_| self.entry.file_type()),
        }
    }

    /// The number of its inode.
    pub fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}

/// Makes directories: [`std::fs::DirBuilder`], with what [`DirBuilderExt`] adds.
#[derive(Debug)]
pub struct DirBuilder(fs::DirBuilder);

impl DirBuilder {
    /// Makes one directory, open to all that the `umask` allows.
    #[allow(clippy::new_without_default)] // As std's.
    pub fn new() -> Self {
        Self(fs::DirBuilder::new())
    }

    /// Makes the directories above it that are missing, too; one that is there is no error then.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.0.recursive(recursive);
        self
    }

    /// The permissions, before the `umask`; 0o777 by default.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    /// Makes the directory. Parks.
    ///
    /// # Errors
    ///
    /// As [`std::fs::DirBuilder::create`], with the path.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        on_pool("create directory", path.as_ref(), |path| self.0.create(path))
    }
}
