//! A team's Cedar file beside the starter registry: accepted or refused the same way every time, and each complaint
//! points into the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_fuzz::assert_bundle_errors;
use pursekeeper_policy::{Bundle, BundleOptions, STARTER_REGISTRY};

const FILE: &str = "team.cedar";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = |text| Bundle::from_parts(STARTER_REGISTRY, &[(FILE, text)], BundleOptions::default());
    let bundle = match read(text) {
        Ok(bundle) => bundle,
        Err(errors) => return assert_bundle_errors(&errors, FILE, text),
    };
    let again = read(text).unwrap();
    assert_eq!((again.digest(), again.summary()), (bundle.digest(), bundle.summary()));
    assert_eq!(read("").unwrap().digest() == bundle.digest(), text.is_empty());
});
