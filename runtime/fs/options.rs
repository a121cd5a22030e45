//! How files are opened.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::on_pool;
use super::file::File;

/// How a file is opened: [`std::fs::OpenOptions`], with what [`OpenOptionsExt`] adds.
///
/// # Examples
///
/// ```
/// use std::io::Write;
///
/// fibra::run(|| {
///     let path = std::env::temp_dir().join(format!("fibra-options-{}", std::process::id()));
///     let mut log = fibra::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
///     log.write_all(b"a line\n")?;
///     fibra::fs::remove_file(&path)
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions(fs::OpenOptions);

impl OpenOptions {
    /// Options that open nothing yet: set at least one of `read`, `write` and `append`.
    #[allow(clippy::new_without_default)] // As std's.
    pub fn new() -> Self {
        Self(fs::OpenOptions::new())
    }

    /// The file can be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.0.read(read);
        self
    }

    /// The file can be written to.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.0.write(write);
        self
    }

    /// Every write goes to the end of the file.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.0.append(append);
        self
    }

    /// An existing file is emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.0.truncate(truncate);
        self
    }

    /// A missing file is created.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.0.create(create);
        self
    }

    /// The file is created, and must not be there.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.0.create_new(create_new);
        self
    }

    /// The permissions of a file that is created, before the `umask`; 0o666 by default.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    /// More flags for `open(2)`, such as `O_NOFOLLOW`.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }

    /// Opens the file. Parks; a FIFO's open waits for its other end, on a thread of the pool.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`], with the path.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let path = path.as_ref();
        let file = on_pool("open", path, |path| self.0.open(path))?;
        Ok(File::with_path(file, path))
    }
}

/// Opening; see [`OpenOptions`] for more ways.
impl File {
    /// Opens a file for reading. Parks.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`], with the path.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Creates a file, or empties the one that is there, for writing. Parks.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`], with the path.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file that must not be there, for reading and writing. Parks.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`], with the path: `AlreadyExists` above all.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    fn from(options: fs::OpenOptions) -> Self {
        Self(options)
    }
}
