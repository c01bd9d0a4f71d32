//! The data files: what a case may say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pursekeeper_core::DenyCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What an honest peer sends, and where the caller passes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    pub(crate) field: Field,
    pub(crate) json: Value,
}

/// The field of our API that carries it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Field {
    Header,
    Body,
    SignInHeader,
    SignInExtension,
}

/// One hostile peer: what differs from an honest one, and the one answer it may get.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// A name of `bases.yaml`; `v2` if it says nothing.
    #[serde(default = "v2")]
    pub(crate) base: String,
    /// Passes it as something else than the base does.
    pub(crate) field: Option<Field>,

    // ---- the JSON, in this order ----
    /// JSON pointers and their new values. All but the last part must be there.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, Value>,
    /// JSON pointers to what is missing. It must be there.
    #[serde(default)]
    pub(crate) remove: Vec<String>,
    /// What the offers are: each is the first one of the base with these members changed.
    pub(crate) accepts: Option<Vec<BTreeMap<String, Value>>>,
    /// How often the first offer stands in `accepts`.
    pub(crate) offers_len: Option<usize>,
    /// Puts so many arrays, one in the other, at a pointer.
    pub(crate) nest: Option<Nest>,

    // ---- its text ----
    /// This text instead of JSON.
    pub(crate) text: Option<String>,
    /// These bytes instead of JSON.
    pub(crate) hex: Option<String>,
    /// What is replaced in the text, every time it occurs. It must be there.
    #[serde(default)]
    pub(crate) replace: Vec<Replace>,
    /// What stands before and behind the text.
    #[serde(default)]
    pub(crate) wrap: (String, String),
    /// Spaces are added behind the text until what is sent is so many bytes long.
    pub(crate) sent_len: Option<usize>,

    // ---- the bytes that are sent ----
    /// Headers are `base64` and bodies `plain` if it says nothing.
    pub(crate) encoding: Option<Encoding>,
    /// What stands before and behind the encoded bytes.
    #[serde(default)]
    pub(crate) wrap_sent: (String, String),

    // ---- the call ----
    pub(crate) method: Option<String>,
    pub(crate) url: Option<String>,
    /// What is replaced in the URL.
    pub(crate) url_replace: Option<Replace>,
    pub(crate) workflow: Option<String>,
    /// The agent says that it lacks an allowance in EURC, whose next nonce it read is this.
    pub(crate) eip2612_nonce: Option<String>,
    /// The request id is that of an earlier case of this file, and a signature must be the same bytes.
    pub(crate) retry_of: Option<String>,
    /// On the wire, the field of an earlier case of this file stands before this one's.
    pub(crate) wire_after: Option<String>,

    // ---- exactly one of these ----
    fault: Option<String>,
    denied: Option<String>,
    signed: Option<Allowed>,
    signed_in: Option<AllowedSignIn>,
    flood: Option<Flood>,
    /// With `denied`: the code of every offer.
    offers: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nest {
    pub(crate) at: String,
    pub(crate) levels: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replace {
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) to_hex: Option<String>,
    /// How often `to` stands there.
    #[serde(default = "once")]
    pub(crate) times: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    Plain,
    Base64,
    Base64Url,
    Unpadded,
    Twice,
}

/// The one answer a case may get.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Not judged, not recorded; the reason.
    Fault(String),
    /// Refused and recorded; the code, and those of all offers.
    Denied(String, Option<Vec<String>>),
    Signed(Allowed),
    SignedIn(AllowedSignIn),
    Flood(Flood),
}

/// What may be signed: exactly this, for not longer than this.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowed {
    pub(crate) amount: String,
    pub(crate) payee: String,
    pub(crate) valid_secs: u64,
    pub(crate) offer: u32,
    /// The amount of the EIP-2612 permit; without it there is none.
    pub(crate) allowance: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowedSignIn {
    pub(crate) chain: String,
    pub(crate) valid_secs: u64,
}

/// The same again and again: the first `fit` are signed, the others refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flood {
    pub(crate) times: usize,
    pub(crate) fit: usize,
    pub(crate) signed: Option<Allowed>,
    pub(crate) signed_in: Option<AllowedSignIn>,
    pub(crate) then: String,
}

/// Reasons of faults that a peer can lead to. A message that is too long for gRPC has a code and no reason.
const FAULTS: [&str; 5] =
    ["MALFORMED_402", "MALFORMED_CHALLENGE", "MALFORMED_ENDPOINT", "MALFORMED_EIP2612", "code OutOfRange"];

fn v2() -> String {
    "v2".to_owned()
}

fn once() -> usize {
    1
}

impl Case {
    /// The one expectation.
    pub(crate) fn expected(&self) -> Expected {
        let Self { name, fault, denied, signed, signed_in, flood, offers, .. } = self.clone();
        assert!(offers.is_none() || denied.is_some(), "`{name}`: `offers` belongs to `denied`");
        let known = |code: &String| {
            assert!(DenyCode::parse(code).is_some(), "`{name}` expects the unknown code `{code}`");
        };
        denied.iter().chain(flood.as_ref().map(|flood| &flood.then)).for_each(known);
        offers.iter().flatten().filter(|code| *code != "OK").for_each(known);
        match (fault, denied, signed, signed_in, flood) {
            (Some(reason), None, None, None, None) => {
                assert!(FAULTS.contains(&reason.as_str()), "`{name}` expects the unknown fault `{reason}`");
                Expected::Fault(reason)
            }
            (None, Some(code), None, None, None) => Expected::Denied(code, offers),
            (None, None, Some(allowed), None, None) => Expected::Signed(allowed),
            (None, None, None, Some(allowed), None) => Expected::SignedIn(allowed),
            (None, None, None, None, Some(flood)) => {
                assert!(
                    flood.signed.is_some() != flood.signed_in.is_some(),
                    "`{name}`: a flood is of one kind"
                );
                Expected::Flood(flood)
            }
            _ => panic!("`{name}`: write one of fault, denied, signed, signed_in, flood"),
        }
    }
}

/// `tests/hostile`.
pub(crate) fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile")
}

pub(crate) fn bases() -> BTreeMap<String, Base> {
    read(&dir().join("bases.yaml"))
}

/// Every theme, by name, with its cases. A name that stands twice is an error, wherever.
pub(crate) fn themes() -> BTreeMap<String, Vec<Case>> {
    let mut names = BTreeSet::new();
    let paths = fs::read_dir(dir().join("cases")).unwrap().map(|entry| entry.unwrap().path());
    let theme = |path: PathBuf| {
        let cases: Vec<Case> = read(&path);
        for case in &cases {
            assert!(names.insert(case.name.clone()), "two cases are called `{}`", case.name);
        }
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), cases)
    };
    paths.map(theme).collect()
}

/// Reads a file strictly. Read twice, because only a general value notices a key that stands twice in a map.
fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    let general = serde_yaml::from_str::<serde_yaml::Value>(&text).map(drop);
    let read = general.and_then(|()| serde_yaml::from_str(&text));
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
