//! Reading two pipes to their ends, whichever has something.
//!
//! One after the other would not do: a child that fills the second pipe while we wait at the first never goes
//! on.

use std::io::{self, Read};

use crate::io::{Call, Gather, Limit, PipeReader};

/// A read asks for so much at once: what a pipe holds by default.
const CHUNK: usize = 64 << 10;

/// What two pipes hold until their ends; nothing for one that is not there.
pub(super) fn read_both(pipes: (Option<PipeReader>, Option<PipeReader>)) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut read = (Vec::new(), Vec::new());
    match pipes {
        (Some(one), Some(other)) => read_alternately([(&one, &mut read.0), (&other, &mut read.1)])?,
        (Some(mut one), None) => drop(one.read_to_end(&mut read.0)?),
        (None, Some(mut other)) => drop(other.read_to_end(&mut read.1)?),
        (None, None) => {}
    }
    Ok(read)
}

fn read_alternately(mut pipes: [(&PipeReader, &mut Vec<u8>); 2]) -> io::Result<()> {
    let gather = Gather::new()?;
    for (key, (pipe, _)) in pipes.iter().enumerate() {
        gather.add(pipe, libc::EPOLLIN, key as u64)?;
    }
    let limit = Limit::new();
    let mut open = pipes.len();
    while open > 0 {
        let key = gather.next(Call::read(&limit))? as usize;
        let (pipe, read) = &mut pipes[key];
        if read_some(pipe, read)? == 0 {
            gather.remove(*pipe)?;
            open -= 1;
        }
    }
    Ok(())
}

/// One read; 0 at the end.
fn read_some(pipe: &PipeReader, read: &mut Vec<u8>) -> io::Result<usize> {
    let len = read.len();
    read.resize(len + CHUNK, 0);
    let n = (&*pipe).read(&mut read[len..]);
    read.truncate(len + n.as_ref().map_or(0, |&n| n));
    n
}
