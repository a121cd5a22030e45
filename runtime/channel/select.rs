//! A select over a list of operations that is made at run time, and the operation that it has chosen.

use std::alloc::{self, Layout};
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use super::arm::{Arm, Entry, Token};
use super::error::{
    ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError,
};
use super::limit::Limit;
use super::receiver::Receiver;
use super::run::{Mode, choose, wait_for_nothing};
use super::sender::Sender;
use crate::task::current;

/// Waits for one of several operations on channels, of which there may be any number.
///
/// [`send`](Self::send) and [`recv`](Self::recv) add operations and give each an index. [`select`](Self::select) and its
/// variants choose one that is ready and reserve it: what they return must then be completed. [`ready`](Self::ready) and
/// its variants only name one that looks ready.
///
/// An operation is *ready* if it needs no waiting; also if that is because it will return an error, as the other side is
/// gone. Of several ones any is chosen, each as likely as the others; the first of them by a [biased](Self::new_biased)
/// select. The macro [`select!`](crate::select) does the same for a list that is known when you write it, and needs no
/// completion.
///
/// If the task is cancelled while it waits, nothing has been chosen, and no message has been sent or received.
///
/// **Cost**: one lock for each operation that is looked at, and no allocation but the list's; with messages of more than
/// 64 bytes, one for the message.
///
/// # Examples
///
/// ```
/// use fibra::channel::{Select, unbounded};
///
/// let channels: Vec<_> = (0..10).map(|_| unbounded()).collect();
/// fibra::spawn({
///     let tx = channels[7].0.clone();
///     move || tx.send("here").unwrap()
/// });
/// let mut select = Select::new();
/// for (_, rx) in &channels {
///     select.recv(rx);
/// }
/// let operation = select.select();
/// let index = operation.index();
/// assert_eq!((index, operation.recv(&channels[index].1)), (7, Ok("here")));
/// ```
pub struct Select<'a> {
    operations: Vec<Operation>,
    entries: Vec<Entry<'a>>,
    /// The numbers of the entries, in the order in which they were tried last.
    order: Vec<u32>,
    next_index: usize,
    biased: bool,
    /// Fits the message of each receiving operation.
    message: Layout,
}

/// What belongs to the entry of the same place.
#[derive(Clone, Copy)]
struct Operation {
    index: usize,
    /// Drops a message of its type.
    discard: unsafe fn(*mut ()),
    /// The thread that the operation was added on, and so one that may have its receiver.
    thread: *const (),
}

// SAFETY: a `Select` calls channels through their locks and may do so from any thread. It moves a message out of a
// channel, whose type need not be `Send`, only as plain bytes: those become a message again on the thread that has the
// receiver. Where that is not this one, they are left undropped (see `SelectedOperation`).
unsafe impl Send for Select<'_> {}
// SAFETY: a shared `Select` can only be cloned and printed, which touches no channel.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// A select without operations.
    pub fn new() -> Self {
        Self {
            operations: Vec::new(),
            entries: Vec::new(),
            order: Vec::new(),
            next_index: 0,
            biased: false,
            message: Layout::new::<()>(),
        }
    }

    /// A select without operations that chooses the first ready one, in the order in which they were added.
    pub fn new_biased() -> Self {
        Self { biased: true, ..Self::new() }
    }

    /// Adds a send to the list and returns its index.
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s.arm(), ptr::from_ref(s).cast(), drop_message::<T>)
    }

    /// Adds a receive to the list and returns its index.
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        let layout = Layout::new::<T>();
        let size = self.message.size().max(layout.size());
        self.message = Layout::from_size_align(size, self.message.align().max(layout.align()))
            .expect("messages of different channels are too large and too aligned to share a place");
        self.add(r.arm(), ptr::from_ref(r).cast(), drop_message::<T>)
    }

    fn add(&mut self, arm: &'a dyn Arm, handle: *const (), discard: unsafe fn(*mut ())) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.order.push(u32::try_from(self.entries.len()).expect("a select of less than 2^32 operations"));
        self.entries.push(Entry::new(arm, ptr::null_mut(), handle));
        self.operations.push(Operation { index, discard, thread: this_thread() });
        index
    }

    /// Removes an operation. The others keep their indices, and none is used again.
    ///
    /// # Panics
    ///
    /// If no operation has this index.
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.next_index, "index out of bounds: {index} of {}", self.next_index);
        let place = self.operations.iter().position(|operation| operation.index == index);
        let place = place.expect("no operation with this index");
        // In order, for a biased select.
        self.operations.remove(place);
        self.entries.remove(place);
        self.order.clear();
        self.order.extend(0..self.entries.len() as u32);
    }

    /// Chooses a ready operation; does not wait for one to become ready.
    ///
    /// # Errors
    ///
    /// If none is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// let mut select = Select::new();
    /// let (send, recv) = (select.send(&tx), select.recv(&rx));
    /// let operation = select.try_select().unwrap();
    /// assert_eq!(operation.index(), send);
    /// operation.send(&tx, 1).unwrap();
    /// let operation = select.try_select().unwrap();
    /// assert_eq!(operation.index(), recv);
    /// assert_eq!(operation.recv(&rx), Ok(1));
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.choose(Limit::Now).ok_or(TrySelectError)
    }

    /// Chooses a ready operation; parks until there is one.
    ///
    /// # Panics
    ///
    /// If the list is empty.
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.assert_not_empty();
        self.choose(Limit::Never).expect("a select without a limit goes on until it has chosen")
    }

    /// Chooses a ready operation; parks until there is one, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// If none became ready in time.
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Limit::After(timeout)).ok_or(SelectTimeoutError)
    }

    /// Chooses a ready operation; parks until there is one, or until `deadline`.
    ///
    /// # Errors
    ///
    /// If none became ready in time.
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Limit::At(deadline)).ok_or(SelectTimeoutError)
    }

    /// Names an operation that is ready now. Others may make use of it first: be ready for an error of the `try_`
    /// operation that you do next.
    ///
    /// # Errors
    ///
    /// If none is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use fibra::channel::{Select, unbounded};
    ///
    /// let ((tx, a), (_tx, b)) = (unbounded(), unbounded::<i32>());
    /// tx.send(1).unwrap();
    /// let mut select = Select::new();
    /// let (first, _) = (select.recv(&a), select.recv(&b));
    /// assert_eq!(select.try_ready(), Ok(first));
    /// assert_eq!(a.try_recv(), Ok(1));
    /// assert!(select.try_ready().is_err());
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.look(Limit::Now).ok_or(TryReadyError)
    }

    /// Parks until an operation is ready, and names it; as [`try_ready`](Self::try_ready).
    ///
    /// # Panics
    ///
    /// If the list is empty.
    pub fn ready(&mut self) -> usize {
        self.assert_not_empty();
        self.look(Limit::Never).expect("a select without a limit goes on until it has chosen")
    }

    /// Parks until an operation is ready, for at most `timeout`, and names it; as [`try_ready`](Self::try_ready).
    ///
    /// # Errors
    ///
    /// If none became ready in time.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.look(Limit::After(timeout)).ok_or(ReadyTimeoutError)
    }

    /// Parks until an operation is ready, or until `deadline`, and names it; as [`try_ready`](Self::try_ready).
    ///
    /// # Errors
    ///
    /// If none became ready in time.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.look(Limit::At(deadline)).ok_or(ReadyTimeoutError)
    }

    fn assert_not_empty(&self) {
        assert!(
            !self.entries.is_empty(),
            "no operations have been added to `Select`: it would wait for ever"
        );
    }

    fn choose(&mut self, limit: Limit) -> Option<SelectedOperation<'a>> {
        if self.entries.is_empty() {
            wait_for_nothing(limit);
            return None;
        }
        let mut place = Place::new(self.message);
        let slot = place.pointer();
        self.entries.iter().for_each(|entry| entry.slot.set(slot));
        let mode = Mode { biased: self.biased, look: false, alone: false };
        let chosen = choose(&self.entries, &mut self.order, limit, mode)?;
        let operation = self.operations[chosen.index];
        let Entry { arm, owner: handle, .. } = self.entries[chosen.index];
        Some(SelectedOperation { arm, token: chosen.token, operation, handle, place })
    }

    fn look(&mut self, limit: Limit) -> Option<usize> {
        if self.entries.is_empty() {
            wait_for_nothing(limit);
            return None;
        }
        let mode = Mode { biased: self.biased, look: true, alone: false };
        let chosen = choose(&self.entries, &mut self.order, limit, mode)?;
        Some(self.operations[chosen.index].index)
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        Self {
            operations: self.operations.clone(),
            entries: self.entries.iter().map(Entry::renew).collect(),
            order: (0..self.entries.len() as u32).collect(),
            ..*self
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// An operation that a [`Select`] has chosen, and that must now be done with [`send`](Self::send) or
/// [`recv`](Self::recv), which do not wait.
///
/// Until then it keeps what was chosen for itself: a message, a place in the buffer, or a task that waits on the other
/// side.
///
/// # Panics
///
/// If it is dropped instead. (If that is because the task unwinds, there is no second panic.) A place or a waiting task
/// is then free for others; a message is dropped.
#[must_use = "a selected operation must be completed"]
pub struct SelectedOperation<'a> {
    arm: &'a dyn Arm,
    token: Token,
    operation: Operation,
    handle: *const (),
    place: Place,
}

impl SelectedOperation<'_> {
    /// The index that the operation got when it was added.
    pub fn index(&self) -> usize {
        self.operation.index
    }

    /// Sends the message.
    ///
    /// # Errors
    ///
    /// Gives it back if all receivers are gone.
    ///
    /// # Panics
    ///
    /// If `s` is not the reference that was given to [`Select::send`] for this operation.
    pub fn send<T>(self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        assert!(
            ptr::from_ref(s).cast() == self.handle,
            "passed a sender that wasn't selected: complete an operation with the reference that it was added with"
        );
        let (token, _place) = self.dismantle();
        // SAFETY: the token comes from the sender at this address, which has been borrowed since; so it is this one.
        unsafe { s.complete(token, msg) }
    }

    /// Receives the message.
    ///
    /// # Errors
    ///
    /// If the channel was empty and all senders are gone.
    ///
    /// # Panics
    ///
    /// If `r` is not the reference that was given to [`Select::recv`] for this operation.
    pub fn recv<T>(self, r: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            ptr::from_ref(r).cast() == self.handle,
            "passed a receiver that wasn't selected: complete an operation with the reference that it was added with"
        );
        let (token, mut place) = self.dismantle();
        match token {
            // SAFETY: the arm of the receiver at this address, which has been borrowed since and so is this one, has put
            // a message of its type there.
            Token::Message => Ok(unsafe { place.pointer().cast::<T>().read() }),
            _ => Err(RecvError),
        }
    }

    fn dismantle(self) -> (Token, Place) {
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: it is moved out once, since nobody else drops `this`.
        (this.token, unsafe { ptr::read(&raw const this.place) })
    }
}

// It holds what has been chosen, which nobody else can see half done.
impl UnwindSafe for SelectedOperation<'_> {}
impl RefUnwindSafe for SelectedOperation<'_> {}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    #[cold]
    fn drop(&mut self) {
        match self.token {
            // A message that need not be `Send` may only be dropped where its receiver is.
            Token::Message if self.operation.thread == this_thread() => {
                // SAFETY: the arm has put a message there, and nobody has taken it; it is of the operation's type.
                unsafe { (self.operation.discard)(self.place.pointer()) }
            }
            Token::Message => {}
            // SAFETY: the token comes from this arm, and ends here.
            token => unsafe { self.arm.abort(token) },
        }
        if !std::thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation: call its `send` or `recv`");
        }
    }
}

/// # Safety
///
/// `message` points to a `T` that nobody uses any more.
unsafe fn drop_message<T>(message: *mut ()) {
    // SAFETY: by the contract.
    unsafe { ptr::drop_in_place(message.cast::<T>()) }
}

/// Something that tells this thread from all others that live now.
fn this_thread() -> *const () {
    ptr::from_ref(current::context()).cast()
}

/// Memory for a message whose type is not known: in place if it is small.
struct Place {
    heap: Option<(NonNull<u8>, Layout)>,
    here: MaybeUninit<[usize; 8]>,
}

impl Place {
    fn new(layout: Layout) -> Self {
        let fits = layout.size() <= size_of::<[usize; 8]>() && layout.align() <= align_of::<usize>();
        let heap = (!fits).then(|| {
            // A byte, for what has no size but an alignment.
            let layout = if layout.size() == 0 { layout_of_one(layout.align()) } else { layout };
            // SAFETY: the size is not 0.
            let memory = unsafe { alloc::alloc(layout) };
            (NonNull::new(memory).unwrap_or_else(|| alloc::handle_alloc_error(layout)), layout)
        });
        Self { heap, here: MaybeUninit::uninit() }
    }

    fn pointer(&mut self) -> *mut () {
        match self.heap {
            Some((memory, _)) => memory.as_ptr().cast(),
            None => self.here.as_mut_ptr().cast(),
        }
    }
}

fn layout_of_one(align: usize) -> Layout {
    Layout::from_size_align(1, align).expect("the alignment of a type is one")
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((memory, layout)) = self.heap {
            // SAFETY: it was allocated with this layout.
            unsafe { alloc::dealloc(memory.as_ptr(), layout) }
        }
    }
}
