//! Recycles the memory of tasks, and of what others keep for each task.
//!
//! A task is often made by one worker and ends on another. The general allocator then frees across threads, under a
//! lock that both want; so each worker keeps the cells that it frees and makes new tasks in them. What it has too
//! many of goes in chains to a depot, where workers that make more than they free find it.
//!
//! ```text
//! worker:  loaded (0 … 64 cells)   spare (0 or 64 cells)       one pair per size, 64-byte steps up to 512 bytes
//!             ▲│ free, make           ▲│ swap when loaded is full or empty
//! depot:   chains of 64 cells  ◀──────┘▼  at most DEPOT_CHAINS; beyond that, and on plain threads, the allocator
//! ```
//!
//! All cells come from the global allocator with their size's layout, so any of them can go back to it anywhere.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cell_cache::{CellCache, Link, SIZES};
use super::current::context;
use crate::os::process;
use crate::util::spin::SpinLock;

/// The sizes are multiples of this, and the alignment is that of every allocation.
const STEP: usize = 64;
const ALIGN: usize = 16;

/// Cells in a full chain.
const CHAIN: u32 = 64;

/// So many chains of a size wait in the depot: 16,384 cells, at most 8 MiB, until everybody is idle.
const DEPOT_CHAINS: usize = 256;

/// A list of exactly [`CHAIN`] cells.
struct Chain(NonNull<Link>);

// SAFETY: the cells of a chain belong to whoever has it.
unsafe impl Send for Chain {}

static DEPOT: [SpinLock<Vec<Chain>>; SIZES] = [const { SpinLock::new(Vec::new()) }; SIZES];

/// Which size serves `layout`; `None` for large or highly aligned ones, which the allocator serves itself.
const fn size_index(layout: Layout) -> Option<usize> {
    let steps = layout.size().div_ceil(STEP);
    if layout.align() <= ALIGN && steps >= 1 && steps <= SIZES { Some(steps - 1) } else { None }
}

const fn size_layout(index: usize) -> Layout {
    match Layout::from_size_align((index + 1) * STEP, ALIGN) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

/// Memory for a `T`, uninitialised.
#[inline]
pub(crate) fn make<T>() -> NonNull<T> {
    let layout = Layout::new::<T>();
    let Some(index) = (const { size_index(Layout::new::<T>()) }) else { return allocate(layout).cast() };
    let context = context();
    let cache = &context.cells[index];
    match cache.loaded.get() {
        Some(cell) => {
            // SAFETY: a cell in the cache is ours and begins with its link.
            cache.loaded.set(unsafe { cell.as_ref() }.next.get());
            cache.count.set(cache.count.get() - 1);
            cell.cast()
        }
        None => make_slow(cache, index).cast(),
    }
}

/// Takes the memory of a `T` back.
///
/// # Safety
///
/// `cell` came from [`make`] for the same type, and nobody uses it any more.
#[inline]
pub(crate) unsafe fn free<T>(cell: NonNull<T>) {
    let Some(index) = (const { size_index(Layout::new::<T>()) }) else {
        // SAFETY: `make` allocated it with this layout.
        return unsafe { dealloc(cell.as_ptr().cast(), Layout::new::<T>()) };
    };
    let context = context();
    // Plain threads don't keep cells: nobody would empty their cache when they end.
    if context.worker.get().is_null() {
        // SAFETY: every cell of this size was allocated with this layout.
        return unsafe { dealloc(cell.as_ptr().cast(), size_layout(index)) };
    }
    let cache = &context.cells[index];
    if cache.count.get() == CHAIN {
        set_loaded_aside(cache, index);
    }
    let link: NonNull<Link> = cell.cast();
    // SAFETY: the cell is ours now, large enough for a link and aligned for it.
    unsafe { link.write(Link { next: Cell::new(cache.loaded.get()) }) };
    cache.loaded.set(Some(link));
    cache.count.set(cache.count.get() + 1);
}

#[cold]
fn make_slow(cache: &CellCache, index: usize) -> NonNull<u8> {
    if context().worker.get().is_null() {
        // Plain threads don't keep cells; see `free`.
        return allocate(size_layout(index));
    }
    let chain = cache.spare.take().or_else(|| DEPOT[index].lock().pop().map(|chain| chain.0));
    let Some(cell) = chain else { return allocate(size_layout(index)) };
    // SAFETY: the chain is ours.
    cache.loaded.set(unsafe { cell.as_ref() }.next.get());
    cache.count.set(CHAIN - 1);
    cell.cast()
}

/// Makes room: the loaded cells become the spare chain, and a former spare goes to the depot.
#[cold]
fn set_loaded_aside(cache: &CellCache, index: usize) {
    let former = cache.spare.replace(cache.loaded.take());
    cache.count.set(0);
    if let Some(chain) = former {
        let mut depot = DEPOT[index].lock();
        if depot.len() < DEPOT_CHAINS {
            depot.push(Chain(chain));
            return;
        }
        drop(depot);
        free_list(Some(chain), index);
    }
}

/// Gives all cells of this thread back; a worker's last act.
pub(crate) fn flush() {
    for (index, cache) in context().cells.iter().enumerate() {
        cache.count.set(0);
        free_list(cache.loaded.take(), index);
        free_list(cache.spare.take(), index);
    }
}

/// Gives memory back after a burst; called when everybody is idle. After a large one the allocator is asked to give it
/// back too: glibc keeps what is freed in small pieces, some 270 MB after a million tasks.
pub(crate) fn trim() {
    for (index, depot) in DEPOT.iter().enumerate() {
        let chains = std::mem::take(&mut *depot.lock());
        chains.into_iter().for_each(|chain| free_list(Some(chain.0), index));
    }
    if RETURNED.load(Ordering::Relaxed) >= MUCH {
        RETURNED.store(0, Ordering::Relaxed);
        process::release_heap();
    }
}

/// Bytes that went back to the allocator in lists since the last [`trim`] that passed them on to the system.
static RETURNED: AtomicUsize = AtomicUsize::new(0);

/// The allocator is asked to pass on no less than this.
const MUCH: usize = 16 << 20;

fn free_list(mut list: Option<NonNull<Link>>, index: usize) {
    let size = size_layout(index).size();
    let mut returned = 0;
    while let Some(cell) = list {
        // SAFETY: the list is ours; its cells were allocated with this layout, and the link is read before.
        list = unsafe { cell.as_ref() }.next.get();
        // SAFETY: as above.
        unsafe { dealloc(cell.as_ptr().cast(), size_layout(index)) };
        returned += size;
    }
    // Relaxed: only the sum matters.
    RETURNED.fetch_add(returned, Ordering::Relaxed);
}

#[cold]
fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: nobody makes a cell of size 0: a task's begins with a header, a group's node with its index.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(all(test, not(fibra_loom)))]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn large_and_highly_aligned_cells_go_to_the_allocator() {
        assert_eq!(size_index(Layout::new::<[u64; 8]>()), Some(0));
        assert_eq!(size_index(Layout::new::<[u64; 9]>()), Some(1));
        assert_eq!(size_index(Layout::new::<[u8; 513]>()), None);
        #[repr(align(64))]
        struct Aligned(#[allow(dead_code)] u8);
        assert_eq!(size_index(Layout::new::<Aligned>()), None);
        let cell = make::<Aligned>();
        assert!(cell.is_aligned());
        // SAFETY: made above.
        unsafe { free(cell) };
    }

    #[test]
    fn cells_are_recycled_across_chains_and_none_is_in_use_twice() {
        // A worker's mark makes this thread keep cells.
        context().worker.set(ptr::dangling::<u8>().cast());
        let cells: Vec<_> = (0..1000).map(|_| make::<[u8; 100]>()).collect();
        cells.iter().for_each(|&cell| {
            // SAFETY: made above.
            unsafe { free(cell) }
        });
        let again: Vec<_> = (0..1000).map(|_| make::<[u8; 100]>()).collect();
        let mut distinct = again.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 1000);
        assert!(again.iter().any(|cell| cells.contains(cell)));
        again.into_iter().for_each(|cell| {
            // SAFETY: made above.
            unsafe { free(cell) }
        });
        flush();
        trim();
        context().worker.set(ptr::null());
    }
}
