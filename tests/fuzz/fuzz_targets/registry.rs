//! `registry.yaml`: accepted or refused as a whole, the same way every time, and each complaint points into
//! the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_fuzz::assert_bundle_errors;
use pursekeeper_policy::{Bundle, BundleOptions, REGISTRY_FILE};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = |text: &str, dev| Bundle::from_parts(text, &[], BundleOptions { dev });
    let bundle = match read(text, false) {
        Ok(bundle) => bundle,
        Err(errors) => return assert_bundle_errors(&errors, REGISTRY_FILE, text),
    };
    // Whatever may be used in production may be tried out as well, and is the same bundle.
    for dev in [false, true] {
        let again = read(text, dev).unwrap();
        assert_eq!((again.digest(), again.summary()), (bundle.digest(), bundle.summary()));
        assert_eq!(again.registry(), bundle.registry());
    }
    if let Ok(longer) = read(&format!("{text}\n# another text"), false) {
        assert_ne!(longer.digest(), bundle.digest());
    }
});
