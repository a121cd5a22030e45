//! Reading, writing and seeking of a [`File`], by value and by reference.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use super::file::{File, are_small, shorten};
use crate::os::splice::copy_file_range;

impl File {
    /// Copies up to `len` bytes from our position to that of `to`, inside the kernel. Parks. The outer error is that
    /// of the pool; the inner one, the kernel's, names no file.
    pub(crate) fn move_range(&self, to: &File, len: usize) -> io::Result<io::Result<usize>> {
        self.at_position("copy", |from| {
            // On the pool's thread already, so this is an ordinary call.
            to.at_position("copy", |to| Ok(copy_file_range(from.as_fd(), to.as_fd(), len)))
        })
    }
}

impl Read for &File {
    /// Parks unless the data are cached.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_cached_at_position(&mut [IoSliceMut::new(shorten(buf))]) {
            Some(read) => Ok(read),
            None => self.at_position("read", |mut file| file.read(buf)),
        }
    }

    /// Parks unless the data are cached.
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let read = if are_small(bufs) { self.read_cached_at_position(bufs) } else { None };
        match read {
            Some(read) => Ok(read),
            None => self.at_position("read", |mut file| file.read_vectored(bufs)),
        }
    }

    /// Parks, once: the rest of the file is read in one trip to the pool.
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.at_position("read", |mut file| file.read_to_end(buf))
    }

    /// Parks, once: the rest of the file is read in one trip to the pool.
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.at_position("read", |mut file| file.read_to_string(buf))
    }
}

impl Write for &File {
    /// Parks.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.at_position("write", |mut file| file.write(buf))
    }

    /// Parks.
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.at_position("write", |mut file| file.write_vectored(bufs))
    }

    /// Parks, once: all is written in one trip to the pool, so a cancellation leaves nothing half written.
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.at_position("write", |mut file| file.write_all(buf))
    }

    /// Does nothing: a file has no buffer of its own. See [`File::sync_all`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    /// Parks if the end must be found, or while another call uses the position.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self.seek_at_once(to) {
            Some(sought) => sought,
            None => self.at_position("seek", |mut file| file.seek(to)),
        }
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}
