//! Why there is no stack, and what to do about it.

use std::fmt;
use std::io;

use super::guard;

/// The least size that may be asked for, in bytes: room for a panic with its message.
pub(super) const MIN_SIZE: usize = 16 << 10;

/// The greatest size that may be asked for, in bytes.
pub(super) const MAX_SIZE: usize = 32 << 30;

/// Why a stack can't be had.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StackError {
    /// No class is for this size.
    Size { asked: usize },
    /// The environment asks for a kind of guard that there is not.
    Setting,
    /// There is no address space for more stacks.
    Arena { size: usize, errno: i32 },
    /// The slot could not be guarded, and so is not used.
    Guard { size: usize, errno: i32 },
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { asked } => {
                let (min, max) = (MIN_SIZE, MAX_SIZE);
                write!(
                    f,
                    "stack_size = {asked} bytes is not valid: it must be from {min} ({} KiB) to {max} ({} GiB)",
                    min >> 10,
                    max >> 30
                )
            }
            Self::Setting => {
                let name = guard::SETTING;
                let value = std::env::var_os(name).unwrap_or_default();
                write!(f, "{name}={}: allowed is mprotect, or no such variable", value.display())
            }
            Self::Arena { size, errno } => {
                write!(f, "no address space for a stack of {size} bytes: {}", Cause(errno))?;
                f.write_str(match errno {
                    libc::ENOMEM => "; look at RLIMIT_AS (ulimit -v), vm.overcommit_memory and vm.max_map_count",
                    libc::EAGAIN => {
                        "; this process locks its memory (mlockall): raise RLIMIT_MEMLOCK (ulimit -l), which stacks \
                         count towards with their whole address space"
                    }
                    _ => "",
                })
            }
            Self::Guard { size, errno } => {
                write!(f, "no guard for a stack of {size} bytes: {}", Cause(errno))?;
                f.write_str(match errno {
                    libc::ENOMEM => {
                        "; memory is short, or the process has reached vm.max_map_count, the number of memory mappings \
                         that a process may have (65,530 by default): where the kernel lacks MADV_GUARD_INSTALL (before \
                         Linux 6.13, or locked memory) every stack takes two of them. Raise it with \
                         `sysctl vm.max_map_count=…`, or have fewer tasks alive at once"
                    }
                    _ => "",
                })
            }
        }
    }
}

/// An error number, in the system's words.
struct Cause(i32);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl std::error::Error for StackError {}

impl From<StackError> for io::Error {
    fn from(error: StackError) -> Self {
        let kind = match error {
            StackError::Size { .. } | StackError::Setting => io::ErrorKind::InvalidInput,
            StackError::Arena { errno, .. } | StackError::Guard { errno, .. } => {
                io::Error::from_raw_os_error(errno).kind()
            }
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_mappings_names_the_sysctl_and_the_size() {
        let error = StackError::Guard { size: 232_448, errno: libc::ENOMEM };
        let text = error.to_string();
        assert!(text.contains("vm.max_map_count") && text.contains("number of memory mappings"), "{text}");
        assert!(text.contains("232448 bytes"), "{text}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn running_out_of_address_space_names_the_limits() {
        let size = 232_448;
        let text = StackError::Arena { size, errno: libc::ENOMEM }.to_string();
        assert!(text.contains("RLIMIT_AS") && text.contains("vm.overcommit_memory"), "{text}");
        let text = StackError::Arena { size, errno: libc::EAGAIN }.to_string();
        assert!(text.contains("RLIMIT_MEMLOCK"), "{text}");
    }

    #[test]
    fn a_bad_size_is_invalid_input() {
        let error = io::Error::from(StackError::Size { asked: 3 });
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("3 bytes"));
    }
}
