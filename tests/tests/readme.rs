//! What the README shows is what runs.

use std::fs;
use std::path::Path;

use pursekeeper_policy::{Bundle, BundleOptions, STARTER_REGISTRY};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The code block that begins after `from`.
fn block(text: &str) -> &str {
    let (_, after) = text.split_once("```").unwrap();
    let (_, code) = after.split_once('\n').unwrap();
    code.split_once("```").unwrap().0
}

#[test]
fn excerpts_of_agents_stand_in_the_programs_that_run_against_real_sellers() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut excerpts = 0;
    for part in readme.split("<!-- from ").skip(1) {
        let (path, rest) = part.split_once(" -->").unwrap();
        let program = fs::read_to_string(root().join(path)).unwrap();
        assert!(program.contains(block(rest)), "the README's excerpt of {path} is not in it any more");
        excerpts += 1;
    }
    assert_eq!(excerpts, 3, "TypeScript, Python and Rust");
}

#[test]
fn first_policies_are_valid_in_the_starter_bundle() {
    for document in ["README.md", "docs/POLICY_GUIDE.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let (_, policy) = text.split_once("```cedar\n").unwrap();
        let (policy, _) = policy.split_once("```").unwrap();
        let checked =
            Bundle::from_parts(STARTER_REGISTRY, &[("first.cedar", policy)], BundleOptions { dev: false });
        assert!(checked.is_ok(), "{document}: {}", checked.unwrap_err());
    }
}
