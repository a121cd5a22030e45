//! An open file.
//!
//! ```text
//! read ──▶ cached? (preadv2, RWF_NOWAIT) ──yes──▶ done, on the worker: a system call
//!                        │ no
//!                        ▼
//!                  the pool: the same call again, which may wait
//! ```
//!
//! All that may wait goes to the pool. Reading what the page cache holds does not wait, and moving the position to a
//! known place does not either.

use std::fmt;
use std::fs::{self, FileTimes, Metadata, Permissions, TryLockError};
use std::io::{self, IoSliceMut, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::error::with_path;
use super::position::Position;
use crate::os::file::read_nowait;
use crate::task::{checkpoint, current};
use crate::thread::try_blocking;

/// A read on the worker copies no more than this, some 20 µs of work; it may end short, as any read.
const MOST_AT_ONCE: usize = 256 << 10;

/// An open file: [`std::fs::File`], whose calls park the task instead of blocking its worker.
///
/// On a plain OS thread they block that, as std's do. `&File` reads, writes and seeks as well as `File`; two tasks that
/// do so at once share one position, so [`read_at`](Self::read_at) and [`write_at`](Self::write_at) are for them.
///
/// Dropping it closes it at once, on the caller's thread. Where a close may wait (on a network file system it writes the
/// data back), call [`sync_all`](Self::sync_all) first, or drop it inside [`blocking`](crate::blocking).
///
/// # Cancellation
///
/// A call that is cancelled has not begun: nothing was read or written, the position has not moved. One that has begun
/// is finished, and the task meets the cancellation at its next park.
///
/// # Cost
///
/// Reading what the page cache holds costs a system call, some 0.5 µs for 4 KiB, where the file system can tell what
/// that is (ext4, XFS and Btrfs can, tmpfs can't). Every other call costs a trip to the pool, some 20–60 µs if its thread
/// sleeps; so wrap the file in a [`BufReader`](io::BufReader) or [`BufWriter`](io::BufWriter), or read and write it as a
/// whole.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, BufReader};
///
/// fibra::run(|| {
///     let file = fibra::fs::File::open("/proc/self/status")?;
///     let lines = BufReader::new(file).lines().count();
///     assert!(lines > 10);
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    file: fs::File,
    description: Arc<Description>,
}

/// What duplicates of a file share, as the kernel's description of the open file.
struct Description {
    /// For errors; none if the file was made from a descriptor.
    path: Option<Box<Path>>,
    position: Position,
    /// The file can't be read without waiting.
    must_wait: AtomicBool,
}

impl File {
    fn new(file: fs::File, path: Option<&Path>) -> Self {
        let (path, position) = (path.map(Box::from), Position::new());
        Self {
            file,
            description: Arc::new(Description { path, position, must_wait: AtomicBool::new(false) }),
        }
    }

    pub(super) fn with_path(file: fs::File, path: &Path) -> Self {
        Self::new(file, Some(path))
    }

    /// Writes everything to the disk, the metadata too. Parks.
    pub fn sync_all(&self) -> io::Result<()> {
        self.on_pool("sync", fs::File::sync_all)
    }

    /// Writes the data to the disk, and what metadata is needed to read them. Parks.
    pub fn sync_data(&self) -> io::Result<()> {
        self.on_pool("sync", fs::File::sync_data)
    }

    /// Cuts the file off at, or extends it with zeros to, `size` bytes. Parks.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.on_pool("truncate", |file| file.set_len(size))
    }

    /// What is known about the file. Parks.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.on_pool("stat", fs::File::metadata)
    }

    /// A second `File` for the same open file: both share one position.
    pub fn try_clone(&self) -> io::Result<Self> {
        let file = self.file.try_clone().map_err(|error| self.describe("duplicate", error))?;
        Ok(Self { file, description: Arc::clone(&self.description) })
    }

    /// Changes the permissions. Parks.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.on_pool("chmod", |file| file.set_permissions(permissions))
    }

    /// Changes the times that the file was last read and written. Parks.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.on_pool("set times of", |file| file.set_times(times))
    }

    /// Changes the time that the file was last written. Parks.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Locks the file against all other locks, and waits for that as long as it takes, on a thread of the pool. Parks.
    pub fn lock(&self) -> io::Result<()> {
        self.on_pool("lock", fs::File::lock)
    }

    /// Locks the file against exclusive locks, and waits for that as [`lock`](Self::lock) does. Parks.
    pub fn lock_shared(&self) -> io::Result<()> {
        self.on_pool("lock", fs::File::lock_shared)
    }

    /// As [`lock`](Self::lock), but does not wait for the holder of another lock. Parks.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the file is locked.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.try_lock_by(fs::File::try_lock)
    }

    /// As [`lock_shared`](Self::lock_shared), but does not wait for the holder of another lock. Parks.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the file is locked exclusively.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.try_lock_by(fs::File::try_lock_shared)
    }

    fn try_lock_by(&self, lock: fn(&fs::File) -> Result<(), TryLockError>) -> Result<(), TryLockError> {
        let locked = try_blocking(|| lock(&self.file)).map_err(TryLockError::Error).flatten();
        locked.map_err(|error| match error {
            TryLockError::Error(error) => TryLockError::Error(self.describe("lock", error)),
            TryLockError::WouldBlock => TryLockError::WouldBlock,
        })
    }

    /// Gives the lock back. Parks.
    pub fn unlock(&self) -> io::Result<()> {
        self.on_pool("unlock", fs::File::unlock)
    }

    /// Reads at `offset`, whatever the position, which does not move. Parks unless the data are cached.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.read_cached(&mut [IoSliceMut::new(shorten(buf))], Some(offset)) {
            Some(read) => Ok(read),
            None => self.on_pool("read", |file| file.read_at(buf, offset)),
        }
    }

    /// Fills `buf` with what stands at `offset`; see [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let small = shorten(buf).len() == buf.len();
        match small.then(|| self.read_cached(&mut [IoSliceMut::new(buf)], Some(offset))) {
            Some(Some(read)) if read == buf.len() => Ok(()),
            _ => self.on_pool("read", |file| file.read_exact_at(buf, offset)),
        }
    }

    /// Writes at `offset`, whatever the position, which does not move. Parks.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.on_pool("write", |file| file.write_at(buf, offset))
    }

    /// Writes all of `buf` at `offset`; see [`write_at`](Self::write_at).
    pub fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.on_pool("write", |file| file.write_all_at(buf, offset))
    }

    /// Runs a call that may wait.
    pub(super) fn on_pool<T: Send>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&fs::File) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        try_blocking(|| call(&self.file)).flatten().map_err(|error| self.describe(operation, error))
    }

    /// Runs a call that may wait and uses the position.
    pub(super) fn at_position<T: Send>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&fs::File) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let position = &self.description.position;
        self.on_pool(operation, |file| {
            let _use = position.use_slowly();
            call(file)
        })
    }

    /// Reads at the position if that takes no waiting; `None`: ask the pool, which will also find out what went wrong.
    pub(super) fn read_cached_at_position(&self, bufs: &mut [IoSliceMut<'_>]) -> Option<usize> {
        // Plain threads may wait, so they make the one call that does all.
        current::task()?;
        let _use = self.description.position.try_use()?;
        self.read_cached(bufs, None)
    }

    fn read_cached(&self, bufs: &mut [IoSliceMut<'_>], offset: Option<u64>) -> Option<usize> {
        // Relaxed: a hint, which may come late.
        if self.description.must_wait.load(Ordering::Relaxed) || current::task().is_none() {
            return None;
        }
        match read_nowait(self.file.as_fd(), bufs, offset) {
            Ok(read) => Some(read),
            Err(error) => {
                if error.kind() == io::ErrorKind::Unsupported {
                    self.description.must_wait.store(true, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Moves the position to a place that the kernel knows without asking a file system.
    pub(super) fn seek_at_once(&self, to: SeekFrom) -> Option<io::Result<u64>> {
        if matches!(to, SeekFrom::End(_)) || current::task().is_none() {
            return None;
        }
        let _use = self.description.position.try_use()?;
        let sought = io::Seek::seek(&mut &self.file, to);
        Some(sought.map_err(|error| self.describe("seek", error)))
    }

    #[cold]
    fn describe(&self, operation: &'static str, error: io::Error) -> io::Error {
        match &self.description.path {
            Some(path) => with_path(operation, path, error),
            None => error,
        }
    }
}

/// The part of a buffer that a read on the worker fills.
pub(super) fn shorten(buf: &mut [u8]) -> &mut [u8] {
    checkpoint();
    let most = buf.len().min(MOST_AT_ONCE);
    &mut buf[..most]
}

/// Whether buffers are small enough in all to be filled on the worker.
pub(super) fn are_small(bufs: &[IoSliceMut<'_>]) -> bool {
    checkpoint();
    bufs.iter().map(|buf| buf.len()).fold(0, usize::saturating_add) <= MOST_AT_ONCE
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("File");
        debug.field("fd", &self.file.as_raw_fd());
        if let Some(path) = &self.description.path {
            debug.field("path", path);
        }
        debug.finish()
    }
}

/// Its errors name no path, since it is not known.
impl From<fs::File> for File {
    fn from(file: fs::File) -> Self {
        Self::new(file, None)
    }
}

impl From<File> for fs::File {
    fn from(file: File) -> Self {
        file.file
    }
}

/// Its errors name no path, since it is not known.
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        Self::from(fs::File::from(fd))
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> Self {
        file.file.into()
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        file.file.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.file.into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: passed on to our caller.
        Self::from(unsafe { fs::File::from_raw_fd(fd) })
    }
}
