//! The seller's words about a settlement: short, printable, and nothing it did not say.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use pursekeeper_core::x402::SettlementError;
use pursekeeper_core::{CLAIM_TEXT_LEN_MAX, Claim};
use pursekeeper_fuzz::{Members, assert_short_error};

/// What stands in for a reason that the seller does not give.
const NO_REASON: &str = "the seller gives no reason";

fuzz_target!(|data: &[u8]| {
    let as_received = Claim::from_settlement(data);
    if let Ok(json) = STANDARD.decode(data) {
        check(&json, &as_received);
    } else {
        assert!(as_received.is_err());
    }
    check(data, &Claim::from_settlement(STANDARD.encode(data).as_bytes()));
});

fn check(json: &[u8], claim: &Result<Claim, SettlementError>) {
    let claim = match claim {
        Ok(claim) => claim,
        Err(error) => return assert_short_error(error),
    };
    let said = Members::read(std::str::from_utf8(json).unwrap()).unwrap();
    said.assert_distinct();
    match claim {
        Claim::Settled { transaction } => {
            assert_eq!(said.get("success"), Some("true"));
            assert_cut(
                transaction.as_deref().unwrap_or_default(),
                &said.text("transaction").unwrap_or_default(),
            );
        }
        Claim::Failed { reason } => {
            assert_eq!(said.get("success"), Some("false"));
            let given = said.text("errorReason").filter(|reason| !reason.chars().all(char::is_control));
            assert_cut(reason, &given.unwrap_or_else(|| NO_REASON.to_owned()));
        }
    }
}

/// The beginning of what was said, without control characters.
fn assert_cut(kept: &str, said: &str) {
    assert!(kept.len() <= CLAIM_TEXT_LEN_MAX, "{} bytes", kept.len());
    let printable: String = said.chars().filter(|c| !c.is_control()).collect();
    let rest = printable.strip_prefix(kept).unwrap();
    let fits = |c: char| kept.len() + c.len_utf8() <= CLAIM_TEXT_LEN_MAX;
    assert!(!rest.chars().next().is_some_and(fits), "cut too early: {kept:?} of {said:?}");
}
