//! Compiles `proto/` into Rust and into the descriptor set that gRPC reflection serves.
//!
//! `protox` parses the protobuf files in Rust, so that building needs no `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("pursekeeper/v1"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    // The order of a directory is the file system's whim; the descriptor set must not depend on it.
    files.sort();

    let descriptors = protox::compile(&files, [&root])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut messages = tonic_prost_build::Config::new();
    // The audit says which call it was.
    messages.enable_type_names();
    let stubs = tonic_prost_build::configure().build_client(true).build_server(true);
    stubs.compile_fds_with_config(descriptors, messages)?;
    Ok(())
}
