//! A program that is a script beside the other peers: it starts the virtual machine that runs the peer.

use std::fs;
use std::io::Result;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes `program` of these lines of shell.
pub fn write(program: &Path, lines: &str) -> Result<()> {
    fs::write(program, format!("#!/bin/sh\n{lines}"))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

/// As one word of a shell.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
