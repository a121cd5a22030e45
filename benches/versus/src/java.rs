//! Builds the peer in Java: classes, and a script beside the other peers that runs them.

use std::env;
use std::fs;
use std::io::Result;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The first release with virtual threads.
const RELEASE: &str = "21";

/// Makes `program`, a script; the sources lie in `sources`.
pub fn compile(program: &Path, sources: &Path) -> Result<ExitStatus> {
    let classes = program.with_file_name("java");
    let status = Command::new(tool("javac"))
        .args(["--release", RELEASE, "-d"])
        .arg(&classes)
        .arg(sources.join("Peer.java"))
        .status()?;
    if status.success() {
        let (java, classes) = (quoted(&tool("java")), quoted(&classes));
        fs::write(program, format!("#!/bin/sh\nexec {java} -cp {classes} Peer \"$@\"\n"))?;
        fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    }
    Ok(status)
}

/// A program of the JDK that JAVA_HOME names, else of the one on the path.
fn tool(name: &str) -> PathBuf {
    env::var_os("JAVA_HOME").map_or(name.into(), |home| PathBuf::from(home).join("bin").join(name))
}

/// As one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
