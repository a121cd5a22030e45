//! Errors that say what was to be done, and with which path.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::thread::try_blocking;

/// What an `io::Error` of this module holds: the operation, the path or paths, and the original.
#[derive(Debug)]
struct PathError {
    operation: &'static str,
    path: PathBuf,
    /// The second path of a `rename`, `copy` or link.
    to: Option<PathBuf>,
    source: io::Error,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " to {}", to.display())?;
        }
        write!(f, ": {}", self.source)
    }
}

impl Error for PathError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Adds the operation and the path to an error; its kind stays.
#[cold]
pub(super) fn with_path(operation: &'static str, path: &Path, source: io::Error) -> io::Error {
    with_paths(operation, path, None, source)
}

#[cold]
fn with_paths(operation: &'static str, path: &Path, to: Option<&Path>, source: io::Error) -> io::Error {
    let to = to.map(Path::to_owned);
    io::Error::new(source.kind(), PathError { operation, path: path.to_owned(), to, source })
}

/// Runs a call about `path` on the pool.
pub(super) fn on_pool<T: Send>(
    operation: &'static str,
    path: &Path,
    call: impl FnOnce(&Path) -> io::Result<T> + Send,
) -> io::Result<T> {
    try_blocking(|| call(path)).flatten().map_err(|error| with_path(operation, path, error))
}

/// The same for a call about two paths.
pub(super) fn on_pool_from_to<T: Send>(
    operation: &'static str,
    from: &Path,
    to: &Path,
    call: impl FnOnce(&Path, &Path) -> io::Result<T> + Send,
) -> io::Result<T> {
    let done = try_blocking(|| call(from, to)).flatten();
    done.map_err(|error| with_paths(operation, from, Some(to), error))
}
