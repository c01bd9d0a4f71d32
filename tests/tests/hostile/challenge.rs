//! From a case to the bytes that are sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use pursekeeper_tests::{PAYEE, USDC};
use serde_json::Value;

use crate::case::{Base, Case, Encoding, Field, Nest};

/// EURC of the corpus's registry, which Permit2 may move.
pub(crate) const EURC: &str = "0x808456652fdb597867f38412077A9182bf77359F";
/// Who may settle `upto` payments.
pub(crate) const FACILITATOR: &str = "0x0bf143088342bE84Af1E6aca595C34d8D9efB02a";

/// What a peer sends.
pub(crate) struct Sent {
    pub(crate) field: Field,
    pub(crate) bytes: Vec<u8>,
    /// The JSON in it, where it is JSON.
    pub(crate) json: Value,
}

/// What stands for something that is known only when the case runs.
pub(crate) struct Scene {
    pub(crate) wallet: String,
    pub(crate) now: jiff::Timestamp,
}

/// What the case sends.
pub(crate) fn build(case: &Case, bases: &BTreeMap<String, Base>, scene: &Scene) -> Sent {
    let name = &case.name;
    let base = bases.get(&case.base).unwrap_or_else(|| panic!("`{name}`: no base `{}`", case.base));
    let field = case.field.unwrap_or(base.field);
    let patched = scene.fill(&patched(case, &base.json).to_string());
    let mut text = match (&case.text, &case.hex) {
        (None, None) => patched.into_bytes(),
        (Some(text), None) => scene.fill(text).into_bytes(),
        (None, Some(digits)) => hex::decode(digits).unwrap(),
        (Some(_), Some(_)) => panic!("`{name}`: write `text` or `hex`"),
    };
    for replace in &case.replace {
        let to = match (&replace.to, &replace.to_hex) {
            (Some(text), None) => scene.fill(text).into_bytes(),
            (None, Some(digits)) => hex::decode(digits).unwrap(),
            _ => panic!("`{name}`: write `to` or `to_hex`"),
        };
        text = replaced(&text, scene.fill(&replace.from).as_bytes(), &to.repeat(replace.times))
            .unwrap_or_else(|| panic!("`{name}`: `{}` is not in {}", replace.from, lossy(&text)));
    }
    let (before, after) = &case.wrap;
    text = [before.as_bytes(), &text, after.as_bytes()].concat();
    let encoding = case.encoding.unwrap_or(match field {
        Field::Header | Field::SignInHeader => Encoding::Base64,
        Field::Body | Field::SignInExtension => Encoding::Plain,
    });
    if let Some(len) = case.sent_len {
        let text_len = if matches!(encoding, Encoding::Plain) { len } else { len / 4 * 3 };
        assert!(text.len() <= text_len, "`{name}`: it is longer than that");
        text.resize(text_len, b' ');
        assert_eq!(encoded(&text, encoding).len(), len, "`{name}`: no text is so long when it is encoded");
    }
    if matches!(encoding, Encoding::Base64Url | Encoding::Unpadded) {
        assert_ne!(encoded(&text, encoding), encoded(&text, Encoding::Base64), "`{name}` shows nothing");
    }
    let (before, after) = &case.wrap_sent;
    let bytes = [before.as_bytes(), &encoded(&text, encoding), after.as_bytes()].concat();
    Sent { field, bytes, json: serde_json::from_slice(&text).unwrap_or_default() }
}

impl Scene {
    /// `$NOW`, `$NOW+60`, `$NOW-60` and the addresses of the corpus, wherever they stand.
    pub(crate) fn fill(&self, text: &str) -> String {
        let addresses = [
            ("$WALLET", self.wallet.as_str()),
            ("$PAYEE", PAYEE),
            ("$USDC", USDC),
            ("$EURC", EURC),
            ("$FACILITATOR", FACILITATOR),
        ];
        let text = addresses.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let mut parts = text.split("$NOW");
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            let digits = part.get(1..).unwrap_or_default();
            let len = digits.bytes().take_while(u8::is_ascii_digit).count();
            let signed = part.starts_with(['+', '-']) && len > 0;
            let (offset, rest) = if signed { part.split_at(1 + len) } else { ("0", part) };
            let at = self.now + jiff::SignedDuration::from_secs(offset.parse().unwrap());
            filled.push_str(&format!("{at:.3}{rest}"));
        }
        filled
    }
}

/// The base with what the case changes in its JSON.
fn patched(case: &Case, base: &Value) -> Value {
    let mut json = base.clone();
    if let Some(patches) = &case.accepts {
        let offer = |patch: &BTreeMap<String, Value>| {
            let mut offer = base["accepts"][0].clone();
            offer.as_object_mut().unwrap().extend(patch.clone());
            offer
        };
        json["accepts"] = patches.iter().map(offer).collect();
    }
    for (pointer, value) in &case.set {
        put(case, &mut json, pointer, value.clone());
    }
    for pointer in &case.remove {
        let (parent, key) = parent(case, &mut json, pointer);
        let removed = match parent {
            Value::Object(members) => members.remove(&key),
            Value::Array(items) => Some(items.remove(key.parse().unwrap())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        assert!(removed.is_some(), "`{}`: nothing at {pointer}", case.name);
    }
    if let Some(len) = case.offers_len {
        let offers = json["accepts"].as_array_mut().unwrap();
        *offers = vec![offers[0].clone(); len];
    }
    if let Some(Nest { at, levels }) = &case.nest {
        let nested = (0..*levels).fold(Value::from(1), |inner, _| Value::Array(vec![inner]));
        put(case, &mut json, at, nested);
    }
    json
}

fn put(case: &Case, json: &mut Value, pointer: &str, value: Value) {
    if pointer.is_empty() {
        *json = value;
        return;
    }
    let (parent, key) = parent(case, json, pointer);
    match parent {
        Value::Object(members) => drop(members.insert(key, value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            panic!("`{}`: nothing can stand at {pointer}", case.name)
        }
    }
}

/// What holds the value a pointer leads to, and under which key.
fn parent<'j>(case: &Case, json: &'j mut Value, pointer: &str) -> (&'j mut Value, String) {
    let (parent, key) = pointer.rsplit_once('/').unwrap_or_else(|| panic!("`{}`: {pointer}", case.name));
    let parent = json.pointer_mut(parent);
    (parent.unwrap_or_else(|| panic!("`{}`: nothing leads to {pointer}", case.name)), key.to_owned())
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut at, mut found) = (Vec::new(), 0, false);
    while at < text.len() {
        if text[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
            found = true;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    found.then_some(out)
}

fn encoded(text: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Plain => text.to_owned(),
        Encoding::Base64 => STANDARD.encode(text).into_bytes(),
        Encoding::Base64Url => URL_SAFE.encode(text).into_bytes(),
        Encoding::Unpadded => STANDARD_NO_PAD.encode(text).into_bytes(),
        Encoding::Twice => STANDARD.encode(STANDARD.encode(text)).into_bytes(),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
