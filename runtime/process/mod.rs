//! Child processes in the shape of [`std::process`]: waiting for one parks the task, and so does talking to
//! it.
//!
//! # Examples
//!
//! ```
//! use fibra::process::{Command, Stdio};
//! use std::io::{Read, Write};
//!
//! fibra::run(|| {
//!     let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//!     child.stdin.take().unwrap().write_all(b"hello")?; // and closes it
//!     let mut text = String::new();
//!     child.stdout.take().unwrap().read_to_string(&mut text)?;
//!     assert!(child.wait()?.success());
//!     assert_eq!(text, "hello");
//!     std::io::Result::Ok(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod collect;
mod command;
mod orphans;

pub use child::{Child, ChildStderr, ChildStdin, ChildStdout};
pub use command::Command;
pub use std::process::{ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id};
