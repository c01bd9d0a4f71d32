//! A record as an event of OCSF 1.5: API Activity (class 6003, schema.ocsf.io/1.5.0/classes/api_activity).
//!
//! Whoever asked is `actor`, what permitted or refused it `actor.authorizations`, the paid call `http_request` and
//! `dst_endpoint`, wallet and payee `resources`. What has no place there stands in `unmapped`.

use serde_json::{Map, Value, json};

use super::outgoing::Outgoing;

/// The version of the schema that events say they follow.
const VERSION: &str = "1.5.0";
/// Application Activity.
const CATEGORY: u64 = 6;
/// API Activity.
const CLASS: u64 = 6003;
/// Methods that `http_method` knows.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
/// Members of the record that stand elsewhere in the event as a whole.
const MAPPED: [&str; 6] = ["denial", "kind", "policies", "seq", "v", "verdict"];

/// What was done to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Create,
    Read,
    Update,
    Delete,
    Other,
}

impl Activity {
    fn of(record: &Outgoing) -> Self {
        match record.kind() {
            "genesis" | "payment" | "sign-in" | "signature" => Self::Create,
            "preview" | "reissue" => Self::Read,
            "evidence" | "report" | "transition" | "reload" => Self::Update,
            "lifecycle" => match record.text(&["/act/verb"]).unwrap_or_default() {
                "create" | "import" | "recover" => Self::Create,
                "backup" => Self::Read,
                "revoke" | "retire" | "cancel" | "cancel-outstanding" => Self::Delete,
                _ => Self::Update,
            },
            // Kinds that came later.
            _ => Self::Other,
        }
    }

    /// `activity_id` and `activity_name`.
    fn named(self) -> (u64, &'static str) {
        match self {
            Self::Create => (1, "Create"),
            Self::Read => (2, "Read"),
            Self::Update => (3, "Update"),
            Self::Delete => (4, "Delete"),
            Self::Other => (99, "Other"),
        }
    }
}

/// The event as one line of JSON.
pub(super) fn line(record: &Outgoing) -> String {
    event(record).to_string()
}

fn event(record: &Outgoing) -> Value {
    let (activity_id, activity_name) = Activity::of(record).named();
    let failed = record.failed();
    let (status_id, status) = if failed { (2, "Failure") } else { (1, "Success") };
    let (severity_id, severity) = if failed { (3, "Medium") } else { (1, "Informational") };
    let mut event = Object::default();
    event.put("activity_id", activity_id);
    event.put("activity_name", activity_name);
    event.put("actor", actor(record));
    event.put("api", api(record));
    event.put("category_name", "Application Activity");
    event.put("category_uid", CATEGORY);
    event.put("class_name", "API Activity");
    event.put("class_uid", CLASS);
    event.maybe("count", record.at("/repeat/count").cloned());
    event.maybe("dst_endpoint", dst_endpoint(record));
    event.maybe("http_request", http_request(record));
    event.put("message", message(record));
    event.put("metadata", metadata(record));
    event.maybe("resources", resources(record));
    event.put("severity", severity);
    event.put("severity_id", severity_id);
    event.put("src_endpoint", src_endpoint(record));
    event.put("status", status);
    event.maybe("status_code", record.code());
    event.maybe("status_detail", record.refusal());
    event.put("status_id", status_id);
    event.put("time", record.unix_ms());
    event.put("type_name", format!("API Activity: {activity_name}"));
    event.put("type_uid", CLASS.saturating_mul(100).saturating_add(activity_id));
    event.put("unmapped", unmapped(record));
    event.into()
}

/// An object that is filled member by member.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn maybe(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// What was filled in, if anything was.
    fn some(self) -> Option<Value> {
        (!self.0.is_empty()).then(|| self.into())
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// Where the proofs of whoever asked stand.
const SOURCES: [&str; 5] =
    ["/asked/caller/source", "/report/caller/source", "/act/source", "/stranger/source", "/repeat/source"];

/// One member of what proved who asked, as text: a mask makes one of a number.
fn proof(record: &Outgoing, member: &str) -> Option<String> {
    let found = SOURCES.iter().find_map(|source| record.at(&format!("{source}/{member}")))?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

/// What whoever asked is known by: the user id, or else what the certificate or the token says.
fn uid(record: &Outgoing) -> Option<String> {
    ["uid", "spiffe", "subject"].iter().find_map(|member| proof(record, member))
}

fn actor(record: &Outgoing) -> Value {
    let (name, kind) = match (record.operator(), record.agent()) {
        (Some(operator), _) => (operator, (2, "Admin")),
        (None, Some(agent)) => (agent, (3, "System")),
        (None, None) if record.stranger() => ("unknown", (0, "Unknown")),
        (None, None) => ("pursekeeper", (3, "System")),
    };
    let mut user = Object::default();
    user.put("name", name);
    user.put("type", kind.1);
    user.put("type_id", kind.0);
    user.maybe("uid", uid(record));
    let mut actor = Object::default();
    actor.put("user", user);
    let policies = record.at("/denial/policies").or_else(|| record.at("/policies")).and_then(Value::as_array);
    let decided = policies.into_iter().flatten().map(|policy| {
        let mut named = Object::default();
        named.maybe("desc", policy.pointer("/reason").cloned());
        named.put("name", policy.pointer("/id").cloned().unwrap_or_else(|| policy.clone()));
        named.maybe("uid", policy.pointer("/id").cloned());
        named.maybe("version", policy.pointer("/digest").cloned());
        json!({ "decision": record.verdict().unwrap_or("permit"), "policy": Value::from(named) })
    });
    let decided: Vec<Value> = decided.collect();
    actor.maybe("authorizations", (!decided.is_empty()).then_some(decided));
    actor.into()
}

fn api(record: &Outgoing) -> Value {
    let mut api = Object::default();
    api.put("operation", record.operation());
    api.maybe("request", record.request_id().map(|id| json!({ "uid": id })));
    let mut response = Object::default();
    response.maybe("error", record.code());
    response.maybe("error_message", record.refusal());
    api.maybe("response", response.some());
    api.put("service", json!({ "name": "pursekeeper" }));
    api.into()
}

fn http_request(record: &Outgoing) -> Option<Value> {
    let mut request = Object::default();
    request.maybe("http_method", record.method().filter(|method| METHODS.contains(method)));
    request.maybe("url", record.url().map(|url| json!({ "url_string": url })));
    request.some()
}

/// The seller: a host is told only where the URL is.
fn dst_endpoint(record: &Outgoing) -> Option<Value> {
    let host = record.url().and_then(|url| url::Url::parse(url).ok());
    let mut endpoint = Object::default();
    endpoint.maybe("hostname", host.as_ref().and_then(url::Url::host_str));
    endpoint.maybe("svc_name", record.service());
    endpoint.some()
}

/// Whoever asks is known by what proved it, and not by an address.
fn src_endpoint(record: &Outgoing) -> Value {
    match (proof(record, "kind"), uid(record)) {
        (Some(kind), Some(uid)) => json!({ "name": kind, "uid": uid }),
        (Some(kind), None) => json!({ "name": kind }),
        (None, _) => json!({ "name": "pursekeeper", "uid": record.journal.to_string() }),
    }
}

fn resources(record: &Outgoing) -> Option<Vec<Value>> {
    let resource = |kind: &str, name: Option<&str>, uid: Option<&str>| {
        let mut resource = Object::default();
        resource.maybe("name", name);
        resource.maybe("uid", uid);
        resource.some().map(|mut resource| {
            if let Some(members) = resource.as_object_mut() {
                members.insert("type".to_owned(), kind.into());
            }
            resource
        })
    };
    let subject = record.text(&["/act/subject/kind"]).map(|kind| (kind, record.text(&["/act/subject/name"])));
    let resources: Vec<Value> = [
        subject.and_then(|(kind, name)| resource(kind, name, None)),
        resource("wallet", record.wallet(), record.wallet_address()),
        resource("payee", None, record.payee()),
        resource("service", record.service(), None),
        resource("workflow", record.workflow(), None),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!resources.is_empty()).then_some(resources)
}

fn metadata(record: &Outgoing) -> Value {
    let mut metadata = Object::default();
    metadata.maybe("correlation_uid", record.trace());
    metadata.put("event_code", record.kind());
    metadata.put("log_name", record.journal.to_string());
    metadata.put("log_provider", "pursekeeper");
    metadata.put(
        "product",
        json!({ "name": "Pursekeeper", "vendor_name": "Pursekeeper", "version": env!("CARGO_PKG_VERSION") }),
    );
    metadata.put("sequence", record.seq);
    metadata.put("uid", record.decision_id().to_string());
    metadata.put("version", VERSION);
    metadata.into()
}

/// One sentence.
fn message(record: &Outgoing) -> String {
    let own = if record.stranger() { "somebody unknown" } else { "pursekeeper" };
    let who = record.operator().or(record.agent()).unwrap_or(own);
    let mut message = format!("{who}: {}", record.operation());
    let usd = record.text(&["/intent/usd"]).map(|usd| format!("${usd}"));
    let to = record.payee().map(|payee| format!("to {payee}"));
    let call = record.url().map(|url| format!("for {} {url}", record.method().unwrap_or_default()));
    let outcome = record.verdict().map(|verdict| match record.text(&["/denial/message"]) {
        Some(reason) => format!("{verdict}: {reason}"),
        None => verdict.to_owned(),
    });
    for part in [usd, to, call].into_iter().flatten() {
        message.push(' ');
        message.push_str(&part);
    }
    if let Some(outcome) = outcome {
        message.push_str(": ");
        message.push_str(&outcome);
    }
    message
}

/// What stands nowhere else, and what proves the record.
fn unmapped(record: &Outgoing) -> Value {
    let members = record.record.as_object().into_iter().flatten();
    let rest = members.filter(|(name, _)| !MAPPED.contains(&name.as_str()));
    let rest: Map<String, Value> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
    json!({
        "chain_hash": record.chain.to_string(),
        "leaf_hash": record.leaf.to_string(),
        "masked": record.masked,
        "record": rest,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{denial, lifecycle, outgoing, payment};
    use super::*;

    #[test]
    fn every_kind_of_record_is_an_activity() {
        let verb = |verb: &str| json!({"kind": "lifecycle", "act": {"verb": verb}});
        let table = [
            (json!({"kind": "genesis"}), 1, 1),
            (payment(), 1, 1),
            (denial(), 1, 2),
            (json!({"kind": "preview", "verdict": "permit"}), 2, 1),
            (json!({"kind": "reissue", "verdict": "permit"}), 2, 1),
            (json!({"kind": "sign-in", "verdict": "deny"}), 1, 2),
            (json!({"kind": "report"}), 3, 1),
            (json!({"kind": "evidence"}), 3, 1),
            (json!({"kind": "transition"}), 3, 1),
            (verb("suspend"), 3, 1),
            (verb("create"), 1, 1),
            (verb("revoke"), 4, 1),
            (verb("backup"), 2, 1),
            (json!({"kind": "signature"}), 1, 1),
            (json!({"kind": "reload", "reload": {"kind": "bundle", "result": "applied"}}), 3, 1),
            (json!({"kind": "reload", "reload": {"kind": "bundle", "result": "refused"}}), 3, 2),
            (json!({"kind": "unauthenticated"}), 99, 2),
            (json!({"kind": "repeat", "repeat": {"agent": "a", "kind": "preview", "count": 9}}), 99, 1),
            (json!({"kind": "repeat", "repeat": {"agent": "a", "code": "PAYEE", "kind": "payment"}}), 99, 2),
            (json!({"kind": "repeat", "repeat": {"kind": "unauthenticated"}}), 99, 2),
        ];
        for (record, activity, status) in table {
            let event = event(&outgoing(record.clone()));
            assert_eq!(event["activity_id"], activity, "{record}");
            assert_eq!(event["type_uid"], 600_300_u64.saturating_add(activity), "{record}");
            assert_eq!(event["status_id"], status, "{record}");
            assert_eq!(event["severity_id"], if status == 2 { 3 } else { 1 }, "{record}");
        }
    }

    #[test]
    fn a_payment_is_told_with_all_who_take_part() {
        let event = event(&outgoing(payment()));
        let expected = [
            ("/metadata/uid", json!("07070707-5")),
            ("/metadata/sequence", json!(5)),
            ("/metadata/correlation_uid", json!("0af7651916cd43dd8448eb211c80319c")),
            ("/time", json!(1_700_000_000_123_u64)),
            ("/actor/user", json!({"name": "researcher", "type": "System", "type_id": 3, "uid": "1000"})),
            ("/actor/authorizations/0/decision", json!("permit")),
            ("/actor/authorizations/0/policy/uid", json!("may-pay")),
            ("/api/operation", json!("payment")),
            ("/api/request/uid", json!("r-1")),
            ("/http_request", json!({"http_method": "GET", "url": {"url_string": "https://a.example/x"}})),
            ("/dst_endpoint", json!({"hostname": "a.example", "svc_name": "a"})),
            ("/src_endpoint", json!({"name": "unix-peer", "uid": "1000"})),
            ("/resources/0", json!({"name": "research-hot", "type": "wallet", "uid": "0x01"})),
            ("/resources/1", json!({"type": "payee", "uid": "0x09"})),
            ("/unmapped/record/intent/usd", json!("0.01")),
        ];
        for (pointer, value) in expected {
            assert_eq!(event.pointer(pointer), Some(&value), "{pointer}");
        }
        assert!(event.pointer("/unmapped/record/policies").is_none(), "it stands elsewhere");
    }

    #[test]
    fn a_refusal_says_why_and_an_operator_is_an_admin() {
        let refused = event(&outgoing(denial()));
        assert_eq!(
            (&refused["status_code"], &refused["api"]["response"]["error"]),
            (&json!("PAYEE"), &json!("PAYEE"))
        );
        assert_eq!(refused.pointer("/actor/authorizations/0/decision"), Some(&json!("deny")));
        let act = event(&outgoing(lifecycle()));
        assert_eq!(act["actor"]["user"], json!({"name": "ops", "type": "Admin", "type_id": 2, "uid": "0"}));
        assert_eq!(act["resources"][0], json!({"name": "researcher", "type": "agent"}));
        assert_eq!(act["api"]["operation"], "suspend");
        let source = json!({"kind": "unix-peer", "uid": 9});
        let stranger = json!({"call": "SignPayment", "message": "uid 9 is nobody", "source": source});
        let stranger = event(&outgoing(json!({"kind": "unauthenticated", "stranger": stranger})));
        assert_eq!(
            stranger["actor"]["user"],
            json!({"name": "unknown", "type": "Unknown", "type_id": 0, "uid": "9"})
        );
        assert_eq!(
            (&stranger["api"]["operation"], &stranger["status_detail"]),
            (&json!("SignPayment"), &json!("uid 9 is nobody"))
        );
    }
}
