//! Makes sure that what is embedded is there and that a change of it rebuilds the crate.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
    println!("cargo:rerun-if-changed=../../web/dist");
    // rust-embed refuses a folder that does not exist. An empty one gives a control plane whose dashboard says how
    // to build it.
    let dist = Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../../web/dist");
    std::fs::create_dir_all(&dist).expect("web/dist can be made");
}
