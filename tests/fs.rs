//! Files and directories: std's results, errors that name the path, and workers that never wait.

mod support;

use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use fibra::fs::{self, DirBuilder, File, FileTimes, OpenOptions, TryLockError};
use fibra::{Builder, Cancelled, Handle};
use support::{fd_count, wait_until, within_patience};

/// A directory of its own, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fibra-fs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `body` in a task, and on a plain thread: the results are the same.
fn both(name: &str, body: impl Fn(&Scratch) + Send + Sync + 'static) {
    let (in_task, on_thread) =
        (Scratch::new(&format!("{name}-task")), Scratch::new(&format!("{name}-thread")));
    within_patience(move || {
        body(&on_thread);
        Builder::new().workers(2).run(|| body(&in_task)).unwrap();
    });
}

fn mkfifo(path: &Path) {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with a zero byte.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// The error of the system call, to which the path was added.
fn original(error: &io::Error) -> &io::Error {
    error.source().unwrap().downcast_ref().unwrap()
}

#[test]
fn whole_files_are_written_read_copied_renamed_linked_and_removed() {
    both("whole", |dir| {
        let (a, b, c) = (dir.path("a"), dir.path("b"), dir.path("c"));
        assert!(!fs::exists(&a).unwrap());
        fs::write(&a, "first").unwrap();
        fs::write(&a, b"the text").unwrap();
        assert!(fs::exists(&a).unwrap());
        assert_eq!(fs::read(&a).unwrap(), b"the text");
        assert_eq!(fs::read_to_string(&a).unwrap(), "the text");
        assert_eq!(fs::copy(&a, &b).unwrap(), 8);
        assert_eq!(fs::read(&b).unwrap(), b"the text");
        fs::rename(&b, &c).unwrap();
        assert!(!fs::exists(&b).unwrap());
        fs::hard_link(&c, &b).unwrap();
        assert_eq!(fs::metadata(&b).unwrap().ino(), fs::metadata(&c).unwrap().ino());
        fs::remove_file(&b).unwrap();
        fs::symlink("c", &b).unwrap();
        assert_eq!(fs::read_link(&b).unwrap(), Path::new("c"));
        assert!(fs::symlink_metadata(&b).unwrap().is_symlink());
        assert!(fs::metadata(&b).unwrap().is_file());
        assert_eq!(fs::canonicalize(&b).unwrap(), fs::canonicalize(&c).unwrap());
        fs::set_permissions(&c, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(fs::metadata(&c).unwrap().permissions().mode() & 0o777, 0o400);
        let owner = fs::metadata(&c).unwrap().uid();
        fs::chown(&c, Some(owner), None).unwrap();
        fs::lchown(&b, Some(owner), None).unwrap();
        // Neither text nor empty.
        fs::write(&a, [0xff, 0xfe]).unwrap();
        assert_eq!(fs::read_to_string(&a).unwrap_err().kind(), ErrorKind::InvalidData);
        fs::write(&a, "").unwrap();
        assert_eq!(fs::read(&a).unwrap(), b"");
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    both("directories", |dir| {
        fs::create_dir(dir.path("one")).unwrap();
        assert_eq!(fs::create_dir(dir.path("one")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        fs::create_dir_all(dir.path("one/two/three")).unwrap();
        fs::create_dir_all(dir.path("one/two/three")).unwrap();
        DirBuilder::new().mode(0o700).create(dir.path("private")).unwrap();
        assert_eq!(fs::metadata(dir.path("private")).unwrap().permissions().mode() & 0o777, 0o700);
        DirBuilder::new().recursive(true).create(dir.path("private/a/b")).unwrap();
        fs::remove_dir(dir.path("one/two/three")).unwrap();
        assert_eq!(fs::remove_dir(dir.path("one")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        assert_eq!(fs::read_dir(dir.path("one/two")).unwrap().count(), 0);
        // More than fit into a few batches, and exactly one batch.
        for count in [1, 63, 64, 65, 300] {
            let many = dir.path("many");
            fs::create_dir(&many).unwrap();
            for i in 0..count {
                fs::write(many.join(format!("{i}")), i.to_string()).unwrap();
            }
            let mut seen: Vec<u64> = fs::read_dir(&many)
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    assert!(entry.file_type().unwrap().is_file());
                    let metadata = entry.metadata().unwrap();
                    assert_eq!(metadata.ino(), entry.ino());
                    assert_eq!(entry.path(), many.join(entry.file_name()));
                    let number = entry.file_name().into_string().unwrap();
                    assert_eq!(metadata.len(), number.len() as u64);
                    number.parse().unwrap()
                })
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<_>>());
            fs::remove_dir_all(&many).unwrap();
        }
        let mut ended = fs::read_dir(dir.path("one/two")).unwrap();
        assert!(ended.next().is_none() && ended.next().is_none());
    });
}

#[test]
fn a_file_reads_writes_and_seeks() {
    both("file", |dir| {
        let path = dir.path("file");
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(file.stream_position().unwrap(), 10);
        file.rewind().unwrap();
        let mut buf = [0; 4];
        file.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"0123");
        assert_eq!((&file).seek(SeekFrom::Current(2)).unwrap(), 6);
        assert_eq!((&file).read(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"6789");
        assert_eq!((&file).read(&mut buf).unwrap(), 0);
        assert_eq!(file.read(&mut []).unwrap(), 0);
        assert_eq!(file.seek(SeekFrom::End(-3)).unwrap(), 7);
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        assert_eq!(file.seek(SeekFrom::Current(-100)).unwrap_err().kind(), ErrorKind::InvalidInput);
        file.seek(SeekFrom::Start(1)).unwrap();
        assert_eq!((&file).write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]).unwrap(), 3);
        file.flush().unwrap();
        file.rewind().unwrap();
        let (mut one, mut two) = ([0; 2], [0; 3]);
        let read = file.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]).unwrap();
        assert_eq!((read, &one, &two), (5, b"0a", b"bc4"));
        // Positioned calls leave the position alone.
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        assert_eq!(file.write_at(b"xyz", 20).unwrap(), 3);
        file.write_all_at(b"-", 10).unwrap();
        file.read_exact_at(&mut buf, 9).unwrap();
        assert_eq!(&buf, b"9-\0\0");
        assert_eq!(file.read_exact_at(&mut buf, 21).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(file.read_at(&mut buf, u64::MAX).is_err());
        assert_eq!(file.stream_position().unwrap(), 5);
        file.set_len(6).unwrap();
        let mut rest = Vec::new();
        assert_eq!(file.read_to_end(&mut rest).unwrap(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"0abc45");
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 6);
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(time).unwrap();
        file.set_times(FileTimes::new().set_accessed(time)).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.modified().unwrap(), metadata.accessed().unwrap()), (time, time));
    });
}

#[test]
fn clones_share_the_position_and_conversions_keep_the_file() {
    both("clones", |dir| {
        std::fs::write(dir.path("file"), "one\ntwo\nthree\n").unwrap();
        let file = File::open(dir.path("file")).unwrap();
        let mut twin = file.try_clone().unwrap();
        let mut buf = [0; 4];
        (&file).read_exact(&mut buf).unwrap();
        twin.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"two\n");
        let number = file.as_raw_fd();
        let std_file: std::fs::File = file.into();
        assert_eq!(std_file.as_raw_fd(), number);
        let fd: OwnedFd = File::from(std_file).into();
        let file = File::from(fd);
        assert_eq!(file.as_fd().as_raw_fd(), number);
        let lines: Vec<_> = BufReader::new(&file).lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["three"]);
        assert!(format!("{file:?}").contains(&number.to_string()));
        assert!(format!("{twin:?}").contains("file\""));
    });
}

#[test]
fn options_open_as_they_say() {
    both("options", |dir| {
        let path = dir.path("file");
        let mut create = OpenOptions::new();
        create.write(true).create_new(true).mode(0o640);
        drop(create.open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(create.open(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let mut log = File::options().append(true).open(&path).unwrap();
        log.write_all(b"ab").unwrap();
        log.rewind().unwrap();
        log.write_all(b"cd").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abcd");
        assert_eq!(
            (&log).read(&mut [0]).unwrap_err().to_string(),
            format!("read {}: Bad file descriptor (os error 9)", path.display())
        );
        assert_eq!(OpenOptions::new().open(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(OpenOptions::new().write(true).truncate(true).open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::symlink(&path, dir.path("link")).unwrap();
        let no_follow = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(dir.path("link"));
        assert_eq!(original(&no_follow.unwrap_err()).raw_os_error(), Some(libc::ELOOP));
    });
}

#[test]
fn errors_name_the_operation_and_the_path_and_keep_the_kind_and_the_original() {
    both("errors", |dir| {
        let no = dir.path("no/such");
        let shown = no.display().to_string();
        let to = dir.path("to");
        let both_shown = format!("{shown} to {}", to.display());
        let cases: Vec<(&str, &str, io::Error)> = vec![
            ("open", &shown, File::open(&no).unwrap_err()),
            ("open", &shown, File::create(&no).unwrap_err()),
            ("read", &shown, fs::read(&no).unwrap_err()),
            ("read", &shown, fs::read_to_string(&no).unwrap_err()),
            ("write", &shown, fs::write(&no, "").unwrap_err()),
            ("copy", &both_shown, fs::copy(&no, &to).unwrap_err()),
            ("rename", &both_shown, fs::rename(&no, &to).unwrap_err()),
            ("link", &both_shown, fs::hard_link(&no, &to).unwrap_err()),
            ("read link", &shown, fs::read_link(&no).unwrap_err()),
            ("canonicalize", &shown, fs::canonicalize(&no).unwrap_err()),
            ("remove file", &shown, fs::remove_file(&no).unwrap_err()),
            ("remove directory", &shown, fs::remove_dir(&no).unwrap_err()),
            ("remove directory", &shown, fs::remove_dir_all(&no).unwrap_err()),
            ("create directory", &shown, fs::create_dir(&no).unwrap_err()),
            ("read directory", &shown, fs::read_dir(&no).unwrap_err()),
            ("stat", &shown, fs::metadata(&no).unwrap_err()),
            ("stat", &shown, fs::symlink_metadata(&no).unwrap_err()),
            ("chmod", &shown, fs::set_permissions(&no, fs::Permissions::from_mode(0o600)).unwrap_err()),
            ("chown", &shown, fs::chown(&no, None, None).unwrap_err()),
        ];
        for (operation, paths, error) in cases {
            let expected = format!("{operation} {paths}: No such file or directory (os error 2)");
            assert_eq!(error.to_string(), expected);
            assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::NotFound, None));
            assert_eq!(original(&error).raw_os_error(), Some(libc::ENOENT));
            assert!(error.get_ref().is_some());
        }
        // A file's calls know its path too; one made from a descriptor has none to tell.
        let directory = File::open(&dir.0).unwrap();
        let error = (&directory).read(&mut [0]).unwrap_err();
        assert_eq!(error.to_string(), format!("read {}: Is a directory (os error 21)", dir.0.display()));
        let nameless = File::from(std::fs::File::open(&dir.0).unwrap());
        assert_eq!((&nameless).read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::EISDIR));
    });
}

#[test]
fn locks_exclude_each_other_across_open_files() {
    both("locks", |dir| {
        let path = dir.path("lock");
        let open = || File::options().write(true).create(true).truncate(false).open(&path).unwrap();
        let (one, two) = (open(), open());
        one.lock_shared().unwrap();
        two.try_lock_shared().unwrap();
        assert!(matches!(two.try_lock(), Err(TryLockError::WouldBlock)));
        one.unlock().unwrap();
        two.lock().unwrap();
        assert!(matches!(one.try_lock_shared(), Err(TryLockError::WouldBlock)));
        // The holder is a task beside the one that waits.
        fibra::scope(|s| {
            let waiter = s.spawn(|| one.lock().unwrap());
            s.spawn(|| two.unlock().unwrap());
            waiter.join().unwrap();
        });
        assert!(matches!(two.try_lock(), Err(TryLockError::WouldBlock)));
    });
}

#[test]
fn cached_data_are_read_without_a_thread() {
    let dir = Scratch::new("cached");
    within_patience(move || {
        let path = dir.path("file");
        let contents: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &contents).unwrap();
        let std_file = std::fs::File::open(&path).unwrap();
        // Only where the file system can tell what is cached.
        let mut buf = [0u8; 16];
        let iovec = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        // SAFETY: the buffer may be written to throughout the call.
        let told = unsafe { libc::preadv2(std_file.as_raw_fd(), &raw const iovec, 1, 0, libc::RWF_NOWAIT) };
        fibra::run(|| {
            let mut file = File::from(std_file);
            let mut all = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                match file.read(&mut chunk).unwrap() {
                    0 => break,
                    read => all.extend_from_slice(&chunk[..read]),
                }
            }
            assert!(all == contents);
            file.seek(SeekFrom::Start(5)).unwrap();
            let mut large = vec![0; 900_000];
            file.read_exact(&mut large).unwrap();
            assert!(large == contents[5..900_005]);
            file.read_exact_at(&mut chunk, 999).unwrap();
            assert!(chunk == contents[999..999 + 4096]);
            let threads = Handle::current().blocking_stats().threads;
            assert!(threads == 0 || told != 16, "{threads} threads for cached data");
        });
    });
}

#[test]
fn a_thousand_tasks_read_files_at_once() {
    let dir = Scratch::new("thousand");
    for workers in [1, 2, 8] {
        let before = fd_count();
        let path = dir.path(&format!("file{workers}"));
        within_patience(move || {
            let contents: Arc<Vec<u8>> = Arc::new((0..100_000_u32).map(|i| (i % 253) as u8).collect());
            let builder = Builder::new().workers(workers).max_blocking_threads(16);
            builder
                .run(|| {
                    fs::write(&path, &*contents).unwrap();
                    let tasks: Vec<_> = (0..1000)
                        .map(|i| {
                            let (path, contents) = (path.clone(), contents.clone());
                            fibra::spawn(move || {
                                if i % 2 == 0 {
                                    return assert!(fs::read(&path).unwrap() == *contents);
                                }
                                let mut file = File::open(&path).unwrap();
                                let start = 97 * (i % 500);
                                file.seek(SeekFrom::Start(start as u64)).unwrap();
                                let mut chunk = vec![0; 5000];
                                file.read_exact(&mut chunk).unwrap();
                                assert!(chunk == contents[start..start + 5000]);
                                let mut rest = Vec::new();
                                file.read_to_end(&mut rest).unwrap();
                                assert!(rest == contents[start + 5000..]);
                            })
                        })
                        .collect();
                    tasks.into_iter().for_each(|task| task.join().unwrap());
                    assert!(Handle::current().blocking_stats().threads <= 16);
                })
                .unwrap();
        });
        // The other tests of this process open files too, but not a thousand.
        assert!(fd_count() < before + 200);
    }
}

#[test]
fn tasks_that_share_a_position_read_every_byte_once() {
    let dir = Scratch::new("shared");
    within_patience(move || {
        let path = dir.path("file");
        std::fs::write(&path, vec![1u8; 1 << 20]).unwrap();
        let total = AtomicUsize::new(0);
        Builder::new()
            .workers(4)
            .run(|| {
                let file = File::open(&path).unwrap();
                fibra::scope(|s| {
                    for i in 0..20 {
                        let (mut file, total) = (&file, &total);
                        s.spawn(move || {
                            let mut buf = [0; 700];
                            loop {
                                // Some reads take the way over the pool.
                                let read = if i % 5 == 0 {
                                    fibra::blocking(|| file.read(&mut buf))
                                } else {
                                    file.read(&mut buf)
                                };
                                let Ok(read @ 1..) = read else { return };
                                total.fetch_add(
                                    buf[..read].iter().filter(|&&b| b == 1).count(),
                                    Ordering::SeqCst,
                                );
                                fibra::yield_now();
                            }
                        });
                    }
                });
            })
            .unwrap();
        assert_eq!(total.into_inner(), 1 << 20);
    });
}

#[test]
fn a_fifo_that_makes_its_reader_wait_stops_neither_timers_nor_other_files() {
    let dir = Scratch::new("fifo");
    within_patience(move || {
        let path = dir.path("fifo");
        mkfifo(&path);
        let main = || {
            let reader = fibra::spawn({
                let path = path.clone();
                move || {
                    // The open waits for a writer, the read for its data.
                    let mut fifo = File::open(&path).unwrap();
                    let mut text = [0; 5];
                    fifo.read_exact(&mut text).unwrap();
                    // A position is not what a FIFO has.
                    assert_eq!(fifo.rewind().unwrap_err().kind(), ErrorKind::NotSeekable);
                    (text, fifo.read(&mut [0]).unwrap())
                }
            });
            let tick = || {
                for i in 0..10 {
                    fibra::sleep(Duration::from_millis(1));
                    fs::write(dir.path("other"), format!("{i}")).unwrap();
                    assert_eq!(fs::read_to_string(dir.path("other")).unwrap(), format!("{i}"));
                }
            };
            tick();
            assert!(!reader.is_finished());
            let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
            tick();
            assert!(!reader.is_finished());
            writer.write_all(b"hello").unwrap();
            tick();
            assert!(!reader.is_finished());
            drop(writer);
            assert_eq!(reader.join().unwrap(), (*b"hello", 0));
        };
        Builder::new().workers(1).run(main).unwrap();
    });
}

#[test]
fn a_cancelled_read_that_has_begun_is_finished_and_one_that_queues_never_begins() {
    let dir = Scratch::new("cancelled");
    within_patience(move || {
        let path = dir.path("fifo");
        mkfifo(&path);
        let main = || {
            let mut both_ends = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let twin = both_ends.try_clone().unwrap();
            let stats = || Handle::current().blocking_stats();
            // From here on a thread that does not rest has a call to run.
            wait_until("the thread that opened the file rests", || stats().idle == 1);
            let got = Arc::new(AtomicUsize::new(0));
            let count = got.clone();
            let reader = fibra::spawn(move || {
                let mut buf = [0; 16];
                count.store((&twin).read(&mut buf).unwrap(), Ordering::SeqCst);
                fibra::thread::park();
            });
            wait_until("the read has begun", || stats().idle == 0 && stats().queued == 0);
            let queued = fibra::spawn({
                let path = dir.path("never");
                move || fs::write(path, "never")
            });
            wait_until("the write queues", || stats().queued == 1);
            queued.cancel();
            assert!(queued.join().unwrap_err().is::<Cancelled>());
            reader.cancel();
            fibra::yield_now();
            assert!(!reader.is_finished());
            // From outside of the pool, whose only thread reads.
            let fd = both_ends.as_fd().try_clone_to_owned().unwrap();
            std::thread::spawn(move || std::fs::File::from(fd).write_all(b"data").unwrap());
            assert!(reader.join().unwrap_err().is::<Cancelled>());
            assert_eq!(got.load(Ordering::SeqCst), 4);
            both_ends.flush().unwrap();
            assert!(!fs::exists(dir.path("never")).unwrap());
        };
        Builder::new().workers(1).max_blocking_threads(1).run(main).unwrap();
    });
}
