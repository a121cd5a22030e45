//! The functions on paths. Each is std's, in one trip to the pool.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix;
use std::path::{Path, PathBuf};

use super::error::{on_pool, on_pool_from_to};

/// Reads a whole file; [`std::fs::read`]. Parks.
///
/// # Examples
///
/// ```
/// fibra::run(|| {
///     let program = fibra::fs::read("/proc/self/exe")?;
///     assert!(program.starts_with(b"\x7fELF"));
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    on_pool("read", path.as_ref(), |path| fs::read(path))
}

/// Reads a whole file that holds text; [`std::fs::read_to_string`]. Parks.
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    on_pool("read", path.as_ref(), |path| fs::read_to_string(path))
}

/// Writes a whole file, which is created or replaced; [`std::fs::write`]. Parks.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let contents = contents.as_ref();
    on_pool("write", path.as_ref(), |path| fs::write(path, contents))
}

/// Copies contents and permissions of a file, and returns how many bytes those were; [`std::fs::copy`]. Parks.
///
/// It is one call for the pool, and a long one for a large file: once begun, it can't be cancelled.
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    on_pool_from_to("copy", from.as_ref(), to.as_ref(), |from, to| fs::copy(from, to))
}

/// Renames a file or directory, and replaces a file of the new name; [`std::fs::rename`]. Parks.
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    on_pool_from_to("rename", from.as_ref(), to.as_ref(), |from, to| fs::rename(from, to))
}

/// Makes a second name for a file; [`std::fs::hard_link`]. Parks.
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    on_pool_from_to("link", original.as_ref(), link.as_ref(), |from, to| fs::hard_link(from, to))
}

/// Makes a symbolic link at `link` that points to `original`; [`std::os::unix::fs::symlink`]. Parks.
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    on_pool_from_to("symlink", original.as_ref(), link.as_ref(), |from, to| unix::fs::symlink(from, to))
}

/// Where a symbolic link points to; [`std::fs::read_link`]. Parks.
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    on_pool("read link", path.as_ref(), |path| fs::read_link(path))
}

/// The absolute path without symbolic links; [`std::fs::canonicalize`]. Parks.
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    on_pool("canonicalize", path.as_ref(), |path| fs::canonicalize(path))
}

/// Removes a file; [`std::fs::remove_file`]. Parks.
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_pool("remove file", path.as_ref(), |path| fs::remove_file(path))
}

/// Removes an empty directory; [`std::fs::remove_dir`]. Parks.
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_pool("remove directory", path.as_ref(), |path| fs::remove_dir(path))
}

/// Removes a directory and all that is in it; [`std::fs::remove_dir_all`]. Parks.
///
/// It is one call for the pool: once begun, it can't be cancelled.
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_pool("remove directory", path.as_ref(), |path| fs::remove_dir_all(path))
}

/// Makes a directory; [`std::fs::create_dir`]. Parks.
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_pool("create directory", path.as_ref(), |path| fs::create_dir(path))
}

/// Makes a directory and those above it that are missing; [`std::fs::create_dir_all`]. Parks.
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_pool("create directory", path.as_ref(), |path| fs::create_dir_all(path))
}

/// What is known about the file that a path leads to; [`std::fs::metadata`]. Parks.
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    on_pool("stat", path.as_ref(), |path| fs::metadata(path))
}

/// The same, but about a symbolic link itself; [`std::fs::symlink_metadata`]. Parks.
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    on_pool("stat", path.as_ref(), |path| fs::symlink_metadata(path))
}

/// Whether a path leads to anything; [`std::fs::exists`]. Parks.
///
/// # Errors
///
/// If that can't be told, for want of permission for example.
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    on_pool("stat", path.as_ref(), |path| fs::exists(path))
}

/// Changes the permissions; [`std::fs::set_permissions`]. Parks.
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    on_pool("chmod", path.as_ref(), |path| fs::set_permissions(path, permissions))
}

/// Changes owner and group, where they are given; [`std::os::unix::fs::chown`]. Parks.
pub fn chown<P: AsRef<Path>>(path: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    on_pool("chown", path.as_ref(), |path| unix::fs::chown(path, uid, gid))
}

/// The same, but of a symbolic link itself; [`std::os::unix::fs::lchown`]. Parks.
pub fn lchown<P: AsRef<Path>>(path: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    on_pool("chown", path.as_ref(), |path| unix::fs::lchown(path, uid, gid))
}
