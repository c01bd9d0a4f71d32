//! `ceilings` of any subject.

use std::collections::BTreeMap;

use pursekeeper_core::registry::Ceilings;
use pursekeeper_core::{Usd, Window};

use super::fields::{Field, Fields, Findings, entries, words};
use crate::yaml::Entry;

/// The resolution of a ceiling: Cedar's `decimal` has four digits. A sum is rounded up to it before it is compared, so
/// that a ceiling on this grid is exact.
const CEILING_GRID_UNITS: u128 = 100_000_000;
/// Most payments or sign-ins a ceiling can say: one less than Cedar's largest number, so that a count can be above it.
const COUNT_MAX: u64 = i64::MAX.unsigned_abs().saturating_sub(1);

/// Reads `ceilings` of a subject; none when it is not given.
pub(super) fn read(fields: &Fields<'_>, findings: &mut Findings) -> Ceilings {
    let Some(field) = fields.get("ceilings") else { return Ceilings::default() };
    read_field(&field, findings)
}

fn read_field(field: &Field<'_>, findings: &mut Findings) -> Ceilings {
    let subject = format!("{}: ceilings", field.subject);
    let known = ["usd", "payments", "sign_ins", "warn_at"];
    let opened = Fields::open(field.node, field.node.at, subject, &known, findings);
    let Some(fields) = opened else { return Ceilings::default() };
    let usd = fields.get("usd").map(|field| windows(&field, &Window::ALL, findings, dollars));
    let mut counts = |key| {
        let field = fields.get(key)?;
        let whole = |field: &Field<'_>, findings: &mut Findings| field.whole(COUNT_MAX, findings);
        Some(windows(&field, &Window::TOTALLED, findings, whole))
    };
    let (payments, sign_ins) = (counts("payments"), counts("sign_ins"));
    let (usd, payments) = (usd.unwrap_or_default(), payments.unwrap_or_default());
    let sign_ins = sign_ins.unwrap_or_default();
    let warn_at = fields.get("warn_at").and_then(|field| percent(&field, findings));
    // Only payments are marked.
    let totalled = usd.keys().any(|window| *window != Window::Payment) || !payments.is_empty();
    if let Some(field) = fields.get("warn_at").filter(|_| warn_at.is_some() && !totalled) {
        field.error(
            findings,
            "there is no ceiling on a sum of payments here that could be near: leave it out",
        );
    }
    Ceilings { usd, payments, sign_ins, warn_at }
}

/// `80%`, from 1% to 100%.
fn percent(field: &Field<'_>, findings: &mut Findings) -> Option<u8> {
    let text = field.text(findings)?;
    let digits = text.strip_suffix('%').filter(|digits| !digits.starts_with('0'));
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let percent = digits.and_then(|digits| digits.parse().ok()).filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        field.error(findings, format!("`{text}` is no part of a ceiling: write `80%`, from 1% to 100%"));
    }
    percent
}

fn windows<T>(
    field: &Field<'_>,
    known: &[Window],
    findings: &mut Findings,
    read: impl Fn(&Field<'_>, &mut Findings) -> Option<T>,
) -> BTreeMap<Window, T> {
    let subject = format!("{}: `{}`", field.subject, field.key);
    let mut found = BTreeMap::new();
    for Entry { key, at, value } in entries(field.node, field.node.at, &subject, findings).unwrap_or_default()
    {
        let window = Window::parse(key).filter(|window| known.contains(window));
        let Some(window) = window else {
            let known: Vec<&str> = known.iter().map(|window| window.as_str()).collect();
            findings.error(*at, format!("{subject}: no window `{key}` here: use {}", words(&known)));
            continue;
        };
        if let Some(limit) = read(&Field { key: window.as_str(), subject: &subject, node: value }, findings) {
            found.insert(window, limit);
        }
    }
    found
}

/// A limit in dollars.
pub(super) fn dollars(field: &Field<'_>, findings: &mut Findings) -> Option<Usd> {
    let usd = field.money(findings)?;
    if !usd.units().is_multiple_of(CEILING_GRID_UNITS) {
        field.error(findings, format!("`{usd}`: a ceiling has at most four decimals: round it"));
        return None;
    }
    // Sums too large for Cedar are shown as its largest, which must be above every ceiling.
    if usd.ten_thousandths_up().is_none_or(|shown| shown == i64::MAX) {
        field.error(findings, format!("`{usd}`: too large to compare with: leave the ceiling out"));
        return None;
    }
    Some(usd)
}
