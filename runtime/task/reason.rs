//! Why somebody waits, in the words that dumps and reports print.

use std::fmt;

/// What a parked task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// Not waiting: new, ready or running.
    None,
    Sleep,
    Park,
    Join,
    Scope,
    PoolMap,
    Group,
    #[cfg(feature = "futures")]
    Future,
    ChannelSend,
    ChannelReceive,
    Select,
    Mutex,
    RwLockRead,
    RwLockWrite,
    Condvar,
    Semaphore,
    Barrier,
    Once,
    Notify,
    WaitGroup,
    Shutdown,
    /// A call on the blocking pool.
    Blocking,
    // From here on the object is a file descriptor's number.
    Read,
    Write,
    Accept,
    Connect,
    /// A child process; the descriptor is its pidfd.
    Child,
}

impl Reason {
    /// The object waited for is a file descriptor, given by its number.
    pub(crate) fn is_about_a_descriptor(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Accept | Self::Connect | Self::Child)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "running",
            Self::Sleep => "sleep",
            Self::Park => "park",
            Self::Join => "join",
            Self::Scope => "scope",
            Self::PoolMap => "pool::map",
            Self::Group => "group",
            #[cfg(feature = "futures")]
            Self::Future => "a future",
            Self::ChannelSend => "channel send",
            Self::ChannelReceive => "channel receive",
            Self::Select => "select",
            Self::Mutex => "mutex",
            Self::RwLockRead => "rwlock read",
            Self::RwLockWrite => "rwlock write",
            Self::Condvar => "condvar",
            Self::Semaphore => "semaphore",
            Self::Barrier => "barrier",
            Self::Once => "an initialisation",
            Self::Notify => "notify",
            Self::WaitGroup => "wait group",
            Self::Shutdown => "the end of a runtime",
            Self::Blocking => "a blocking call",
            Self::Read => "read",
            Self::Write => "write",
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Child => "a child process,",
        })
    }
}
