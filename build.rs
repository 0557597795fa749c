//! Writes the run-time search path of libtorch into the binary, so that it runs with an empty environment.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let root = std::env::var("LIBTORCH").unwrap_or_else(|_| ".libtorch/torch".into());
    let lib = std::path::Path::new(&root).join("lib");
    match lib.canonicalize() {
        Ok(dir) => println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir.display()),
        Err(_) => println!(
            "cargo:warning=no libtorch at {}: run `make setup` first (or set LIBTORCH)",
            lib.display()
        ),
    }
}
