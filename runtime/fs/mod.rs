//! Files and directories in the shape of [`std::fs`]: the same names, signatures and edge cases.
//!
//! Linux has no files that can be waited for, as sockets can; so every call that may wait for a disk runs on the
//! runtime's [blocking pool](crate::blocking), and its task parks. The worker never waits. On a plain OS thread the
//! calls are std's own. What std has in `std::os::unix::fs` is here too: [`symlink`], [`chown`], [`lchown`], and the
//! methods of its extension traits on the types themselves.
//!
//! # Errors
//!
//! They say what was to be done, and with which path. Their kind is that of the original error, which is their
//! [`source`](std::error::Error::source): `raw_os_error` is `None` here, and the number is reached like this.
//!
//! ```
//! use std::error::Error;
//! use std::io;
//!
//! fibra::run(|| {
//!     let error = fibra::fs::File::open("/no/such").unwrap_err();
//!     assert_eq!(error.kind(), io::ErrorKind::NotFound);
//!     assert_eq!(error.to_string(), "open /no/such: No such file or directory (os error 2)");
//!     let original = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
//!     assert_eq!(original.raw_os_error(), Some(2));
//! });
//! ```
//!
//! # Cancellation
//!
//! A call that waits for a thread of the pool can be cancelled: it unwinds, and nothing was done. One that has begun is
//! finished, and the task meets the cancellation at its next park. So a function that does much at once ([`copy`],
//! [`remove_dir_all`], [`write()`]) is never cut short. And a call that waits for long (the open of a FIFO, a
//! [`File::lock`]) keeps its task, and a thread of the pool, until what it waits for has happened.

mod dir;
mod error;
mod file;
mod file_io;
mod options;
mod path;
mod position;

pub use dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use file::File;
pub use options::OpenOptions;
pub use path::{
    canonicalize, chown, copy, create_dir, create_dir_all, exists, hard_link, lchown, metadata, read,
    read_link, read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, write,
};
pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};
