//! Tells the linker where programs find libtorch when they run.
//!
//! What is run from the build folder (the engine, tests, examples, benches) gets a search path: relative to
//! the program where libtorch lies in the checkout, so that a program that is moved or installed points to
//! no checkout. `shoal`, which users start, finds libtorch by itself (`src/main.rs`).

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let root = std::env::var("LIBTORCH").unwrap_or_else(|_| ".libtorch/torch".into());
    let lib = Path::new(&root).join("lib");
    let Ok(lib) = lib.canonicalize() else {
        println!(
            "cargo:warning=no libtorch at {}: run `make setup` first (or set LIBTORCH)",
            lib.display()
        );
        return;
    };
    // From target/release, and from target/release/deps and target/release/examples.
    for up in ["../..", "../../.."] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/{up}/.libtorch/torch/lib");
    }
    for what in ["tests", "examples", "benches"] {
        println!("cargo:rustc-link-arg-{what}=-Wl,-rpath,{}", lib.display());
    }
    println!("cargo:rustc-env=LIBTORCH_AT_BUILD={}", lib.display());
}
