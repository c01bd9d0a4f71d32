//! What a sink must not see: replaced by keyed hashes, so that equal values stay equal and can be searched for.

use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::{SinkError, private};

/// Shortest key, in bytes.
const KEY_BYTES_MIN: usize = 32;
/// What a masked value begins with.
const PREFIX: &str = "hmac-sha256:";
/// From this length on a masked text is also found inside other texts, in bytes. Shorter ones would be found by chance.
const INSIDE_BYTES_MIN: usize = 8;
/// Members of the record that say which one it is.
const KEPT: [&str; 6] = ["journal", "kind", "seq", "time", "v", "verdict"];

/// A key, and where what it hides stands in a record.
pub(super) struct Mask {
    key: Hmac<Sha256>,
    fields: Vec<Vec<String>>,
}

impl Mask {
    /// A mask with the key in a file; the pointers were checked with the configuration.
    pub(super) fn open(key_file: &Path, fields: &[String]) -> Result<Self, SinkError> {
        let bytes = private::read(key_file)?;
        let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let too_short = || SinkError::ShortKey { path: key_file.to_owned(), bytes_min: KEY_BYTES_MIN };
        if key.len() < KEY_BYTES_MIN {
            return Err(too_short());
        }
        let key = Hmac::new_from_slice(key).map_err(|_| too_short())?;
        Ok(Self { key, fields: fields.iter().map(|field| tokens(field)).collect() })
    }

    /// Replaces what is to be hidden, wherever the record repeats it, and returns where something was replaced.
    pub(super) fn apply(&self, record: &mut Value) -> Vec<String> {
        let (mut masked, mut hidden) = (Vec::new(), Vec::new());
        for field in &self.fields {
            self.replace(record, field, &mut String::new(), &mut |at, value| {
                masked.push(at.to_owned());
                texts(value, &mut hidden);
            });
        }
        hidden.retain(|text| !text.is_empty());
        // The longest first: what stands within another is not to leave the rest of it behind.
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        hidden.dedup();
        if let (false, Some(members)) = (hidden.is_empty(), record.as_object_mut()) {
            for (name, value) in members.iter_mut().filter(|(name, _)| !KEPT.contains(&name.as_str())) {
                self.find(value, &hidden, &mut format!("/{}", escaped(name)), &mut masked);
            }
        }
        masked.sort();
        masked.dedup();
        masked
    }

    /// Replaces what a pointer leads to.
    fn replace(
        &self,
        value: &mut Value,
        path: &[String],
        at: &mut String,
        tell: &mut impl FnMut(&str, &Value),
    ) {
        let Some((token, rest)) = path.split_first() else {
            if !is_masked(value) {
                tell(at, value);
                *value = Value::String(self.hash(value));
            }
            return;
        };
        each_child(value, at, |name, child, at| {
            if token == "*" || token == name {
                self.replace(child, rest, at, tell);
            }
        });
    }

    /// Replaces the hidden texts wherever else they stand.
    fn find(&self, value: &mut Value, hidden: &[String], at: &mut String, masked: &mut Vec<String>) {
        if let Value::String(text) = value {
            if let Some(covered) = self.covered(text, hidden) {
                *text = covered;
                masked.push(at.clone());
            }
            return;
        }
        each_child(value, at, |_, child, at| self.find(child, hidden, at, masked));
    }

    /// A text without what is hidden, if there was anything of it. Addresses are written in either case.
    fn covered(&self, text: &str, hidden: &[String]) -> Option<String> {
        if text.starts_with(PREFIX) {
            return None;
        }
        if let Some(same) = hidden.iter().find(|hidden| hidden.eq_ignore_ascii_case(text)) {
            return Some(self.hash(&Value::String(same.clone())));
        }
        let mut covered = None;
        for inside in hidden.iter().filter(|hidden| hidden.len() >= INSIDE_BYTES_MIN) {
            let text = covered.as_deref().unwrap_or(text);
            let (lower, needle) = (text.to_ascii_lowercase(), inside.to_ascii_lowercase());
            let (mut whole, mut end) = (String::new(), 0_usize);
            for (start, found) in lower.match_indices(&needle) {
                whole.push_str(text.get(end..start).unwrap_or_default());
                whole.push_str(&self.hash(&Value::String(inside.clone())));
                end = start.saturating_add(found.len());
            }
            if end > 0 {
                whole.push_str(text.get(end..).unwrap_or_default());
                covered = Some(whole);
            }
        }
        covered
    }

    /// A text is hashed as its UTF-8 bytes, so that who holds the key can compute it with any tool; anything else as its
    /// canonical JSON.
    fn hash(&self, value: &Value) -> String {
        let mut hash = self.key.clone();
        match value {
            Value::String(text) => hash.update(text.as_bytes()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                hash.update(value.to_string().as_bytes());
            }
        }
        format!("{PREFIX}{}", hex::encode(hash.finalize().into_bytes()))
    }
}

/// Visits the elements of an array and the members of an object, each with its pointer.
fn each_child(value: &mut Value, at: &mut String, mut visit: impl FnMut(&str, &mut Value, &mut String)) {
    let mut below = |name: &str, child: &mut Value| {
        let len = at.len();
        at.push('/');
        at.push_str(&escaped(name));
        visit(name, child, at);
        at.truncate(len);
    };
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, child)| below(name, child)),
        Value::Array(elements) => {
            elements.iter_mut().enumerate().for_each(|(index, child)| below(&index.to_string(), child));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every text in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(elements) => elements.iter().for_each(|element| texts(element, found)),
        Value::Object(members) => members.values().for_each(|member| texts(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_masked(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(PREFIX))
}

/// The reference tokens of a JSON pointer (RFC 6901 §3).
fn tokens(field: &str) -> Vec<String> {
    field.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    const PAYEE: &str = "0x00000000000000000000000000000000000000aB";

    fn key_file(bytes: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    fn mask(fields: &[&str]) -> Mask {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        Mask::open(key_file(&[7; 32], 0o400).path(), &fields).unwrap()
    }

    fn record() -> Value {
        json!({
            "asked": {"caller": {"agent": "researcher"}, "endpoint": {"method": "GET", "url": "https://a.example/x"},
                      "labels": {"team/a": "blue", "run": "7"}},
            "denial": {"code": "PAYEE", "message": format!("{PAYEE} is not a payee")},
            "intent": {"accepted": format!("{{\"payTo\":\"{}\"}}", PAYEE.to_uppercase()), "agent": "researcher",
                       "terms": {"payee": PAYEE.to_lowercase()}, "valid_before": 9},
            "kind": "payment", "offers": [{"index": 0, "denial": {"code": "A"}}, {"index": 1}], "seq": 5, "v": 1,
        })
    }

    fn masked(fields: &[&str]) -> (Value, Vec<String>) {
        let mut record = record();
        let masked = mask(fields).apply(&mut record);
        (record, masked)
    }

    #[test]
    fn a_key_is_long_and_its_owners_only() {
        let fields = ["/denial".to_owned()];
        let open = |bytes: &[u8], mode| {
            Mask::open(key_file(bytes, mode).path(), &fields).map(drop).map_err(|error| error.to_string())
        };
        assert!(open(&[1; 32], 0o600).is_ok());
        assert!(open(&[1; 31], 0o600).unwrap_err().contains("at least 32 bytes"));
        assert!(open(&[&[1; 31][..], b"\n"].concat(), 0o600).unwrap_err().contains("at least 32 bytes"));
        for mode in [0o640, 0o604] {
            assert!(open(&[1; 32], mode).unwrap_err().contains("chmod 600"));
        }
        assert!(Mask::open(Path::new("/nonexistent/key"), &fields).is_err());
    }

    #[test]
    fn a_value_becomes_its_hmac_and_equal_values_stay_equal() {
        // RFC 4231 does not have this key; `openssl mac` does.
        let mut value = json!({"a": "Hi There", "b": "Hi There", "c": "hi"});
        assert_eq!(mask(&["/a", "/b", "/c"]).apply(&mut value), ["/a", "/b", "/c"]);
        assert_eq!(value["a"], value["b"]);
        assert_ne!(value["a"], value["c"]);
        assert_eq!(value["a"].as_str().unwrap().len(), PREFIX.len() + 64);
        let other = Mask::open(key_file(&[8; 32], 0o400).path(), &["/a".to_owned()]).unwrap();
        let mut again = json!({"a": "Hi There"});
        other.apply(&mut again);
        assert_ne!(value["a"], again["a"], "another key, another text");
    }

    #[test]
    fn pointers_name_what_is_replaced() {
        let table: [(&[&str], &[&str]); 7] = [
            (&["/asked/endpoint/url"], &["/asked/endpoint/url"]),
            (&["/offers/*/index"], &["/offers/0/index", "/offers/1/index"]),
            (&["/offers/1"], &["/offers/1"]),
            (&["/asked/labels/*"], &["/asked/labels/run", "/asked/labels/team~1a"]),
            (&["/asked/labels/team~1a"], &["/asked/labels/team~1a"]),
            (&["/asked/labels", "/asked/labels/run"], &["/asked/labels"]),
            (&["/absent", "/seq/deeper"], &[]),
        ];
        for (fields, expected) in table {
            assert_eq!(masked(fields).1, expected, "{fields:?}");
        }
    }

    #[test]
    fn what_is_masked_stands_nowhere_else_in_the_record() {
        let (record, fields) = masked(&["/intent/terms/payee"]);
        assert_eq!(fields, ["/denial/message", "/intent/accepted", "/intent/terms/payee"]);
        assert!(!record.to_string().to_lowercase().contains(&PAYEE.to_lowercase()), "{record}");
        let (record, fields) = masked(&["/asked/caller/agent"]);
        assert_eq!(fields, ["/asked/caller/agent", "/intent/agent"]);
        assert_eq!(record["asked"]["caller"]["agent"], record["intent"]["agent"]);
    }

    #[test]
    fn short_texts_are_found_as_a_whole_only_and_never_in_what_names_the_record() {
        let mut record =
            json!({"a": "payment", "b": {"c": "payment", "d": "repayments"}, "kind": "payment", "e": "pay"});
        assert_eq!(mask(&["/a", "/e"]).apply(&mut record), ["/a", "/b/c", "/e"]);
        assert_eq!((&record["b"]["d"], &record["kind"]), (&json!("repayments"), &json!("payment")));
    }
}
