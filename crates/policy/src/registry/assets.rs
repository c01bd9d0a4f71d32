//! `assets`.

use pursekeeper_core::{Asset, AssetId, TransferMethod, UsdRate};

use super::fields::{Field, Fields, Findings};
use crate::yaml::Entry;

/// Most decimals an asset can have.
const DECIMALS_MAX: u64 = 36;
const KNOWN: [&str; 9] =
    ["network", "address", "symbol", "name", "version", "decimals", "methods", "eip2612", "usd"];

/// One asset.
pub(super) fn asset(name: &str, entry: &Entry, findings: &mut Findings) -> Option<Asset> {
    let fields = Fields::open(&entry.value, entry.at, format!("asset `{name}`"), &KNOWN, findings)?;
    let network = fields
        .require("network", "write the CAIP-2 network, such as `eip155:8453`", findings)
        .and_then(|field| field.network(findings));
    let address = fields
        .require("address", "write the address of the token contract", findings)
        .and_then(|field| field.address(findings));
    let symbol = text(&fields, "symbol", "write the ticker", findings);
    let domain_name = text(&fields, "name", "write the `name` of the token's EIP-712 domain", findings);
    let version = text(&fields, "version", "write the `version` of the token's EIP-712 domain", findings);
    let decimals = fields
        .require("decimals", "write how many decimals the token has", findings)
        .and_then(|field| field.whole(DECIMALS_MAX, findings));
    let methods = methods(&fields, findings);
    let eip2612 = match fields.get("eip2612") {
        Some(field) => field.flag(findings)?,
        None => false,
    };
    let rate = fields
        .require("usd", "write what one unit is worth: `{ peg: \"1\" }`", findings)
        .and_then(|field| usd(&field, findings));
    let asset = Asset::new(
        AssetId { network: network?, address: address?.into() },
        symbol?,
        (domain_name?, version?),
        u8::try_from(decimals?).ok()?,
        methods?,
        rate?,
    );
    Some(asset.with_eip2612(eip2612))
}

fn text(fields: &Fields<'_>, key: &'static str, why: &str, findings: &mut Findings) -> Option<String> {
    fields.require(key, why, findings)?.text(findings).map(str::to_owned)
}

fn methods(fields: &Fields<'_>, findings: &mut Findings) -> Option<Vec<TransferMethod>> {
    let why = "name how it is paid: `[eip3009]`, `[permit2]` or both";
    let field = fields.require("methods", why, findings)?;
    let mut found = Vec::new();
    for node in field.some_items(why, findings)? {
        let item = field.item(node);
        let text = item.text(findings)?;
        match TransferMethod::parse(text) {
            Some(method) => found.push(method),
            None => item.error(findings, format!("`{text}` cannot be signed: use `eip3009` or `permit2`")),
        }
    }
    Some(found)
}

/// `{ peg: "1" }`, or `{ rate: "1.08", as_of: …, max_age: 24h }`.
fn usd(field: &Field<'_>, findings: &mut Findings) -> Option<UsdRate> {
    let subject = format!("{}: usd", field.subject);
    let known = ["peg", "rate", "as_of", "max_age"];
    let fields = Fields::open(field.node, field.node.at, subject, &known, findings)?;
    let rate = match (fields.get("peg"), fields.get("rate")) {
        (Some(peg), None) => {
            for key in ["as_of", "max_age"] {
                if let Some(extra) = fields.get(key) {
                    extra.error(findings, "a peg never ends: remove this, or write `rate` for `peg`");
                }
            }
            UsdRate { per_unit: peg.money(findings)?, usable_until: None }
        }
        (None, Some(rate)) => {
            let per_unit = rate.money(findings);
            let as_of = fields
                .require("as_of", "write when the rate was true", findings)
                .and_then(|field| field.moment(findings));
            let max_age = fields
                .require("max_age", "write for how long the rate may be used, such as `24h`", findings)
                .and_then(|field| field.duration_secs(findings));
            UsdRate { per_unit: per_unit?, usable_until: Some(as_of?.plus(max_age?)) }
        }
        (Some(_), Some(_)) | (None, None) => {
            field.error(findings, "write either `peg`, or `rate` with `as_of` and `max_age`");
            return None;
        }
    };
    if rate.per_unit == pursekeeper_core::Usd::ZERO {
        field
            .error(findings, "worth nothing: no ceiling would ever be reached: write what one unit is worth");
        return None;
    }
    Some(rate)
}
