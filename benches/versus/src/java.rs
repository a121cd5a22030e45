//! Builds the peer in Java: classes, and a script beside the other peers that runs them.

use std::env;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::script::{self, quoted};

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
        script::write(program, &format!("exec {java} -cp {classes} Peer \"$@\"\n"))?;
    }
    Ok(status)
}

/// A program of the JDK that JAVA_HOME names, else of the one on the path.
fn tool(name: &str) -> PathBuf {
    env::var_os("JAVA_HOME").map_or(name.into(), |home| PathBuf::from(home).join("bin").join(name))
}
