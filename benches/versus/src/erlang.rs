//! Builds the peer in Erlang: modules, and a script beside the other peers that runs them.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::script::{self, quoted};

/// Makes `program`, a script; the sources lie in `sources`.
pub fn compile(program: &Path, sources: &Path) -> Result<ExitStatus> {
    let modules = program.with_file_name("erlang");
    fs::create_dir_all(&modules)?;
    let sources = fs::read_dir(sources)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let status = Command::new("erlc").arg("-Werror").arg("-o").arg(&modules).args(sources).status()?;
    if status.success() {
        script::write(program, &run(&modules))?;
    }
    Ok(status)
}

/// A virtual machine with as many schedulers as there are workers, and room for the processes of `actors_idle`. It has no
/// more threads for files than it must have, reports no crashes, and leaves no file behind if it has to give up.
fn run(modules: &Path) -> String {
    let schedulers = r#"for word; do
    [ "$last" = --workers ] && workers=$word
    last=$word
done
workers=${workers:-2}
"#;
    let erl =
        "exec erl -noshell -noinput +S $workers:$workers +SDio 1 +A 1 +P 2000000 -kernel logger_level none";
    let modules = quoted(modules);
    format!(
        "{schedulers}export ERL_CRASH_DUMP_SECONDS=0\n{erl} -pa {modules} -run versus main -extra \"$@\"\n"
    )
}
