//! Refuses targets that the runtime does not support, with one sentence instead of a page of errors.

use std::env;
use std::process::exit;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(fibra_loom)");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if os != "linux" || !matches!(arch.as_str(), "x86_64" | "aarch64") {
        let target = env::var("TARGET").unwrap_or_else(|_| format!("{arch}-{os}"));
        println!(
            "cargo::error=fibra does not support the target {target}: it runs on Linux on x86_64 and on aarch64."
        );
        exit(1);
    }
}
