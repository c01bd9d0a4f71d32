//! What several targets ask of what they read.

use std::error::Error;
use std::fmt;

use pursekeeper_policy::BundleErrors;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Longest text of an error or refusal, in bytes: it travels in a gRPC trailer, whatever a stranger wrote.
pub const TEXT_LEN_MAX: usize = 1024;

/// Panics unless the text fits on one line of a terminal and in one trailer.
pub fn assert_one_line(text: &str) {
    assert!(text.len() <= TEXT_LEN_MAX, "{} bytes: {text}", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// The same of an error and of everything it was caused by.
pub fn assert_short_error(error: &dyn Error) {
    assert_one_line(&error.to_string());
    if let Some(source) = error.source() {
        assert_short_error(source);
    }
}

/// Panics unless each error of a bundle of one text is one short line and points into that text.
pub fn assert_bundle_errors(errors: &BundleErrors, file: &str, text: &str) {
    assert!(!errors.0.is_empty());
    for error in &errors.0 {
        let shown = error.to_string();
        assert_one_line(&shown);
        if let Some(place) = error.place() {
            assert_eq!(&*place.file, file, "{shown}");
            assert!(place.line >= 1 && place.column >= 1, "{shown}");
            // A lone carriage return ends a line in YAML.
            assert!(place.line <= text.split(['\n', '\r']).count() + 1, "{shown}");
        }
    }
}

/// A JSON object's members in their order, a name that stands twice standing twice.
#[derive(Debug)]
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object; nothing when it is none.
    #[must_use]
    pub fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The text of a member that is not `null`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let raw = self.0.iter().find(|(found, _)| found == name).map(|(_, raw)| raw.get());
        raw.filter(|raw| *raw != "null")
    }

    /// A member that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// Panics when a name stands twice: whoever reads the object may take the other one.
    pub fn assert_distinct(&self) {
        for (at, (name, _)) in self.0.iter().enumerate() {
            assert!(self.0[..at].iter().all(|(other, _)| other != name), "`{name}` stands twice");
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}
