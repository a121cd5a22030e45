//! Copying from a reader to a writer, inside the kernel where both ends allow it.
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | pipe | pipe or socket | `splice` |
//! | socket | pipe | `splice` |
//! | socket | socket | a buffer; once that comes back full, `splice` through a pipe of our own |
//! | file | file | `copy_file_range`, on the blocking pool |
//! | anything else | | a buffer |
//!
//! A buffer can do everything. So whatever the kernel refuses, or does not get on with, goes on through one,
//! from the byte where it stands; the end, or an error that stays, is then found by a read or a write, which
//! can name it.
//!
//! Rejected: `sendfile` and `splice` from a file to a socket or pipe. They queue the file's own pages, and
//! what somebody writes to the file after the copy has returned still shows at the other end. std gave them
//! up for that. And `splice` into a file: it copies as a write does, on the pool, and saves nothing.

mod files;
mod known;
mod streams;

use std::io::{self, ErrorKind, Read, Write};

use self::known::{End, reading, writing};

/// Copies everything from `reader` to `writer`, and returns how many bytes that was: [`std::io::copy`].
///
/// Between the streams of [`net`](crate::net), their halves, the ends of a [`pipe`](super::pipe()) and those
/// of a [child](crate::process::Child), and from [`File`](crate::fs::File) to `File`, the bytes stay inside
/// the kernel. The ends may be given as values or by reference. Everything else, a `BufReader` of those
/// included, goes through a buffer on the heap. The writer is not flushed.
///
/// Parks where the ends do, within their timeouts and deadlines.
///
/// # Cancellation
///
/// How much has been copied is unknown then. Up to 256 KiB may have been read and not written, as is true of
/// a write that fails.
///
/// # Errors
///
/// The first of either end; `Interrupted` is tried again.
///
/// # Examples
///
/// ```
/// use fibra::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// fibra::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let addr = listener.local_addr()?;
///     fibra::spawn(move || {
///         let (stream, _) = listener.accept().unwrap();
///         fibra::io::copy(&mut &stream, &mut &stream).unwrap() // an echo server
///     });
///     let mut stream = TcpStream::connect(addr)?;
///     stream.write_all(b"hello")?;
///     let mut answer = [0; 5];
///     stream.read_exact(&mut answer)?;
///     assert_eq!(&answer, b"hello");
///     std::io::Result::Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut copied = 0;
    let (sizes, bulk) = match (reading(reader), writing(writer)) {
        (Some(End::Stream(from)), Some(End::Stream(to))) if from.is_pipe() || to.is_pipe() => {
            streams::directly(from, to, &mut copied)?;
            (STREAMS, false)
        }
        (Some(End::Stream(_)), Some(End::Stream(_))) => (STREAMS, true),
        (Some(End::File(from)), Some(End::File(to))) => {
            files::as_far_as_possible(from, to, &mut copied)?;
            (FILES, false)
        }
        (Some(End::File(_)), _) | (_, Some(End::File(_))) => (FILES, false),
        _ => (STREAMS, false),
    };
    through_a_buffer(reader, writer, sizes, bulk, &mut copied)?;
    Ok(copied)
}

/// How long a buffer is at first, and once it has come back full.
type Sizes = [usize; 2];

/// Ten thousand connections that are idle most of the time should not cost a big buffer each.
const STREAMS: Sizes = [8 << 10, 64 << 10];

/// Each buffer may be a trip to the pool.
const FILES: Sizes = [64 << 10, 256 << 10];

/// `bulk`: much data is left to the kernel.
fn through_a_buffer<R, W>(
    reader: &mut R,
    writer: &mut W,
    [small, big]: Sizes,
    mut bulk: bool,
    copied: &mut u64,
) -> io::Result<()>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buffer = vec![0; small];
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..n])?;
        *copied += n as u64;
        if n < buffer.len() {
            continue;
        }
        if buffer.len() < big {
            buffer = vec![0; big];
        } else if bulk
            && let (Some(End::Stream(from)), Some(End::Stream(to))) = (reading(reader), writing(writer))
        {
            bulk = false;
            let left = streams::through_a_pipe(from, to, copied)?;
            writer.write_all(&left)?;
            *copied += left.len() as u64;
        }
    }
}
