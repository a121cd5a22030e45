//! Signals: handlers, what was there before them, and the stack they run on.
//!
//! A handler may interrupt anything, a lock held or an allocation half done. So every function here that is marked
//! *async-signal-safe* takes no lock and allocates nothing; the others are for ordinary code.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use super::check;

/// A handler that gets the signal's number, what it is about, and the interrupted machine state.
pub(crate) type Handler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// What a process does at a signal.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

impl Action {
    /// What the process does at `signal` now.
    pub(crate) fn current(signal: libc::c_int) -> io::Result<Self> {
        let mut old = MaybeUninit::uninit();
        // SAFETY: a null new action changes nothing; `old` has room for the answer.
        check(unsafe { libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) })?;
        // SAFETY: the call above has filled it in.
        Ok(Self(unsafe { old.assume_init() }))
    }

    /// `handler`, on the alternate signal stack, under the conditions that `self` runs under: the same signals are held
    /// back, and interrupted calls are restarted or not, so that `self` can't tell when `handler` forwards to it.
    pub(crate) fn replaced_by(self, handler: Handler) -> Self {
        let mut action = self.0;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags &= libc::SA_RESTART | libc::SA_NODEFER;
        action.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
        Self(action)
    }

    /// The same, but interrupted calls are begun anew by the system.
    pub(crate) fn restarting(mut self) -> Self {
        self.0.sa_flags |= libc::SA_RESTART;
        self
    }

    /// Whether it is the default action.
    pub(crate) fn is_default(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_DFL
    }

    /// Whether its handler is this function.
    pub(crate) fn calls(&self, handler: Handler) -> bool {
        self.0.sa_sigaction == handler as libc::sighandler_t
    }

    /// Its handler; `None` if the default is done, or nothing. Async-signal-safe.
    pub(crate) fn handler(&self) -> Option<Installed<'_>> {
        (self.0.sa_sigaction != libc::SIG_DFL && self.0.sa_sigaction != libc::SIG_IGN)
            .then_some(Installed(&self.0))
    }

    /// Makes this what the process does at `signal`.
    ///
    /// # Safety
    ///
    /// Its handler is one that copes with the signal at any time, on any thread.
    pub(crate) unsafe fn install(&self, signal: libc::c_int) -> io::Result<()> {
        // SAFETY: the caller's promise; the old action is not asked for.
        check(unsafe { libc::sigaction(signal, &self.0, ptr::null_mut()) }).map(drop)
    }

    /// Does at this signal what the process would have done, had this action been in force. Async-signal-safe.
    ///
    /// ```text
    /// action    the kernel found a fault              somebody sent the signal
    /// default   restore it; the code faults again     restore it, send it again: delivered when we return
    /// ignore    the same: a fault can't be ignored    nothing
    /// handler   call it                               call it
    /// ```
    ///
    /// # Safety
    ///
    /// Called in a handler that [`replaced_by`](Self::replaced_by) made of this action, with that handler's arguments.
    pub(crate) unsafe fn forward(
        &self,
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the kernel gave the handler a valid `info`.
        let sent = !is_fault(unsafe { &*info });
        match self.handler() {
            None if sent && !self.is_default() => {}
            None => {
                restore_default(signal);
                if sent {
                    // It is held back until we return, then ends the process.
                    let _ = raise(signal);
                }
            }
            Some(handler) => {
                if self.0.sa_flags & libc::SA_RESETHAND != 0 {
                    restore_default(signal);
                }
                // SAFETY: passed on.
                unsafe { handler.call(signal, info, context) };
            }
        }
    }
}

/// The handler of an action that has one.
#[derive(Clone, Copy)]
pub(crate) struct Installed<'a>(&'a libc::sigaction);

impl Installed<'_> {
    /// Calls it. Async-signal-safe, as it is.
    ///
    /// # Safety
    ///
    /// Called in a handler with `SA_SIGINFO` of this signal, with that handler's arguments.
    pub(crate) unsafe fn call(
        self,
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        let handler = self.0.sa_sigaction;
        if self.0.sa_flags & libc::SA_SIGINFO != 0 {
            // SAFETY: an action with SA_SIGINFO holds such a function; the arguments are what it expects.
            unsafe { std::mem::transmute::<usize, Handler>(handler)(signal, info, context) };
        } else {
            // SAFETY: an action without SA_SIGINFO that is neither constant holds such a function.
            unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal) };
        }
    }
}

/// Whether the kernel raised the signal for what the interrupted code did; else some process sent it.
/// Async-signal-safe.
pub(crate) fn is_fault(info: &libc::siginfo_t) -> bool {
    info.si_code > 0
}

/// Makes the process do the default thing at `signal`. Async-signal-safe.
fn restore_default(signal: libc::c_int) {
    // SAFETY: all zeros is a valid action: the default one, nothing held back.
    let action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    // SAFETY: the default action needs no handler. It fails only for a signal that has no other.
    unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
}

/// Sends the signal to this thread. Async-signal-safe.
pub(crate) fn raise(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes a number; what comes of it is what the process does at the signal.
    check(unsafe { libc::raise(signal) }).map(drop)
}

/// Has these signals delivered to this thread, if it held them back.
pub(crate) fn let_through(signals: impl Iterator<Item = libc::c_int>) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call fills in the set, and the others only use it; the old set is not asked for.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
}

/// Runs `f` and leaves `errno` as it was, for the code that a handler has interrupted. Async-signal-safe if `f` is.
pub(crate) fn keep_errno<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: the location is this thread's own, and valid as long as the thread lives.
    unsafe {
        let errno = *libc::__errno_location();
        let value = f();
        *libc::__errno_location() = errno;
        value
    }
}

/// Where the interrupted code's stack pointer stood. Async-signal-safe.
///
/// # Safety
///
/// `context` is what a handler with `SA_SIGINFO` got.
pub(crate) unsafe fn stack_pointer(context: *const libc::c_void) -> usize {
    // SAFETY: the caller's promise: the kernel put a `ucontext_t` there.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pointer = machine.gregs[libc::REG_RSP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    let pointer = machine.sp as usize;
    pointer
}

/// The memory that the kernel itself needs on a signal stack of this machine, for the registers it saves there.
pub(crate) fn minimum_stack() -> usize {
    // SAFETY: `getauxval` takes a number. Old kernels don't know the entry; it answers 0 then.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    usize::try_from(told).unwrap_or(0).max(libc::MINSIGSTKSZ)
}

/// Makes `stack` the alternate signal stack of this thread, and returns the one before it.
///
/// # Safety
///
/// The memory is writable and used by nothing else until another stack takes its place.
pub(crate) unsafe fn swap_stack(stack: &libc::stack_t) -> io::Result<libc::stack_t> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: the caller's promise; `old` has room for the answer.
    check(unsafe { libc::sigaltstack(stack, old.as_mut_ptr()) })?;
    // SAFETY: the call above has filled it in.
    Ok(unsafe { old.assume_init() })
}
