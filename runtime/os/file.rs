//! `preadv2` and `pwritev2`: reading what the page cache or a pipe holds, and writing what a pipe takes,
//! without ever waiting.

use std::ffi::CStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

/// Reads what can be had at once, at `offset` or, without one, at the file's position, which moves on.
///
/// # Errors
///
/// `WouldBlock` if there is nothing; `Unsupported` if this file can't be read so, now or ever.
pub(crate) fn read_nowait(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    offset: Option<u64>,
) -> io::Result<usize> {
    let offset = match offset {
        None => -1,
        // Beyond that the plain call has the error to tell.
        Some(offset) => libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::WouldBlock)?,
    };
    if zero_may_be_wrong() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let count = bufs.len().min(libc::UIO_MAXIOV as usize) as libc::c_int;
    // SAFETY: `IoSliceMut` has the layout of an `iovec`, and each buffer may be written to throughout the
    // call.
    let read =
        unsafe { libc::preadv2(fd.as_raw_fd(), bufs.as_ptr().cast(), count, offset, libc::RWF_NOWAIT) };
    match usize::try_from(read) {
        Ok(read) => Ok(read),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Writes what can be written at once, where the descriptor stands.
///
/// # Errors
///
/// `WouldBlock` if that is nothing; `Unsupported` if this can't be written so.
pub(crate) fn write_nowait(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let bufs = [IoSlice::new(buf)];
    // SAFETY: `IoSlice` has the layout of an `iovec`, and the buffer may be read throughout the call.
    let written = unsafe { libc::pwritev2(fd.as_raw_fd(), bufs.as_ptr().cast(), 1, -1, libc::RWF_NOWAIT) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Linux 5.9 and 5.10 answer 0, as at a file's end, where data are not cached (`preadv2(2)`, "Bugs").
fn zero_may_be_wrong() -> bool {
    static WRONG: OnceLock<bool> = OnceLock::new();
    *WRONG.get_or_init(|| {
        let mut names = MaybeUninit::<libc::utsname>::uninit();
        // SAFETY: the structure may be written to.
        if unsafe { libc::uname(names.as_mut_ptr()) } == -1 {
            return true;
        }
        // SAFETY: the call has filled it in.
        let names = unsafe { names.assume_init() };
        // SAFETY: the kernel ends the release with a zero byte.
        let release = unsafe { CStr::from_ptr(names.release.as_ptr()) }.to_string_lossy();
        release.starts_with("5.9.") || release.starts_with("5.10.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_pipe_without_data_would_block_and_one_with_data_is_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut buf = [0; 8];
        let read = |buf: &mut [u8]| read_nowait(reader.as_fd(), &mut [IoSliceMut::new(buf)], None);
        match read(&mut buf).unwrap_err().kind() {
            io::ErrorKind::WouldBlock => {}
            // Some kernels can't tell for pipes.
            kind => return assert_eq!(kind, io::ErrorKind::Unsupported),
        }
        io::Write::write_all(&mut writer, b"data").unwrap();
        assert_eq!(read(&mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"data");
    }

    #[test]
    fn a_pipe_takes_what_it_has_room_for_and_then_would_block() {
        let (_reader, writer) = io::pipe().unwrap();
        let bytes = vec![1; 1 << 20];
        match write_nowait(writer.as_fd(), &bytes) {
            Ok(written) => assert!(written < bytes.len()),
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::Unsupported),
        }
        assert_eq!(write_nowait(writer.as_fd(), &bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_offset_out_of_range_is_left_to_the_plain_call() {
        let file = File::open("/proc/self/exe").unwrap();
        let error = read_nowait(file.as_fd(), &mut [IoSliceMut::new(&mut [0; 8])], Some(u64::MAX));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
