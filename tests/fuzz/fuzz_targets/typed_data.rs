//! Typed data an app built itself: what is understood has the digest the app's own library would sign.
#![no_main]

use alloy_dyn_abi::TypedData as AppsTypedData;
use libfuzzer_sys::fuzz_target;
use pursekeeper_core::typed_data::{TypedData, request_id};
use pursekeeper_core::{Amount, DenyCode};
use pursekeeper_fuzz::{Members, assert_one_line, assert_short_error};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let content = match TypedData::read(text) {
        Ok(content) => content,
        Err(error) => return assert_short_error(&error),
    };
    let id = request_id(&content, text);
    assert_one_line(&id);
    match content {
        Ok(read) => check(&read, text, &id),
        Err(refusal) => {
            assert_eq!(refusal.code, DenyCode::TypedDataUnsupported);
            assert_one_line(&refusal.what);
        }
    }
});

fn check(read: &TypedData, text: &str, id: &str) {
    let root = Members::read(text).unwrap();
    root.assert_distinct();
    let message = Members::read(root.get("message").unwrap()).unwrap();
    message.assert_distinct();
    let amount = match read {
        TypedData::Payment(payment) => payment.terms.amount,
        TypedData::Permit(permit) => permit.value,
    };
    assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
    // A permitted sum stands one object further in.
    if let Some(written) = message.get("value") {
        assert_eq!(written.trim_matches('"'), amount.to_string());
    }
    // The same data is the same request, however it is written. Numbers that only `RawValue` reads are nobody's here.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        for again in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let content = TypedData::read(&again).unwrap();
            assert_eq!(content.as_ref(), Ok(read));
            assert_eq!(request_id(&content, &again), id);
        }
    }
    if let Some(digest) = digest_of_app(text) {
        assert_eq!(read.digest().0, digest);
    }
}

/// What an app would sign, where its library reads the text at all.
fn digest_of_app(text: &str) -> Option<[u8; 32]> {
    let data: AppsTypedData = serde_json::from_str(text).ok()?;
    data.eip712_signing_hash().ok().map(|digest| digest.0)
}
