//! What an act on a status did, told to a person or to a program.

use pursekeeper_api::v1;
use serde_json::{Value, json};

use super::{Exit, as_json, client, exposure, moment};
use crate::output::{Output, Tone};

/// An act that was asked for.
pub(super) struct Asked<'a> {
    /// What was acted on.
    pub(super) subject: &'a v1::Subject,
    /// The verb as it is typed.
    pub(super) verb: &'static str,
    /// What is true once it is done; empty when that is the subject's status.
    pub(super) done: &'static str,
    /// What a person does next, if anything is left outside.
    pub(super) next: Option<String>,
}

/// Says what was done, or why it was refused.
pub(super) fn show(
    response: v1::LifecycleResponse,
    asked: &Asked<'_>,
    output: Output,
) -> anyhow::Result<Exit> {
    use v1::lifecycle_response::Result as Outcome;
    let done = match response.result {
        Some(Outcome::Done(done)) => done,
        Some(Outcome::Denied(denied)) => return client::refused(&denied, output),
        None => return Err(client::empty()),
    };
    if output.is_json() {
        output.json(&in_json(&done, asked))?;
        return Ok(Exit::Done);
    }
    let (first, rest) = in_words(&done, asked);
    output.line(&first)?;
    for (noun, words) in rest {
        output.line(&format!("  {} {words}", output.paint(Tone::Faint, &format!("{noun:<9}"))))?;
    }
    Ok(Exit::Done)
}

fn in_json(done: &v1::LifecycleDone, asked: &Asked<'_>) -> Value {
    let v1::LifecycleDone {
        decision_id,
        status,
        durable,
        already,
        suspended_wallets,
        exposure,
        key,
        effective_micros,
    } = done;
    let v1::Subject { kind, name } = asked.subject;
    json!({
        "kind": kind, "name": name, "verb": asked.verb, "decision_id": decision_id, "status": status,
        "durable": durable, "already": already, "suspended_wallets": suspended_wallets,
        "exposure": exposure.as_ref().map(as_json::exposure), "key": key, "effective_micros": effective_micros,
    })
}

/// A sentence, and what is to be said besides under one noun each.
fn in_words(done: &v1::LifecycleDone, asked: &Asked<'_>) -> (String, Vec<(&'static str, String)>) {
    let v1::LifecycleDone {
        decision_id,
        status,
        durable,
        already,
        suspended_wallets,
        exposure: outside,
        key,
        effective_micros,
    } = done;
    let v1::Subject { kind, name } = asked.subject;
    let now = match asked.done {
        "" => format!("{kind} {name} is {status}"),
        done => done.to_owned(),
    };
    let first = match (durable, already) {
        (false, _) => format!("{now}, {}", client::NOT_DURABLE),
        (true, true) => format!("{now} already: nothing changed (decision {decision_id})"),
        (true, false) => format!("{now} (decision {decision_id})"),
    };
    let mut rest = Vec::new();
    if *effective_micros > 0 {
        rest.push(("in force", format!("after {}", moment::millis_of_micros(*effective_micros))));
    }
    if !suspended_wallets.is_empty() {
        rest.push(("suspended", format!("with it: {}", suspended_wallets.join(", "))));
    }
    if let Some(outside) = outside {
        rest.push(("outside", exposure::sentence(outside)));
        let next = asked.next.as_ref().filter(|_| outside.cancellable > 0);
        rest.extend(next.map(|next| ("next", next.clone())));
    }
    if !key.is_empty() {
        rest.push(("key", fate(key)));
    }
    (first, rest)
}

/// What became of the key of a wallet that was revoked.
fn fate(key: &str) -> String {
    match key {
        "destroyed" => "destroyed, in memory and on disk".to_owned(),
        "absent" => "absent: this sidecar held none".to_owned(),
        "read-only" => {
            "read-only: its file lies on a volume that this sidecar cannot write; delete it there".to_owned()
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(subject: &v1::Subject) -> Asked<'_> {
        Asked { subject, verb: "revoke", done: "", next: Some("cancel".to_owned()) }
    }

    fn treasury() -> v1::Subject {
        v1::Subject { kind: "wallet".to_owned(), name: "treasury".to_owned() }
    }

    fn done() -> v1::LifecycleDone {
        v1::LifecycleDone {
            decision_id: "d-42".to_owned(),
            status: "revoked".to_owned(),
            durable: true,
            effective_micros: 1_284,
            suspended_wallets: vec!["a".to_owned(), "b".to_owned()],
            exposure: Some(v1::ExposureTotal {
                signatures: 3,
                usd: "1.20".to_owned(),
                cancellable: 2,
                until: 1_795_000_000,
            }),
            key: "destroyed".to_owned(),
            ..v1::LifecycleDone::default()
        }
    }

    #[test]
    fn everything_that_an_act_did_is_said() {
        let (first, rest) = in_words(&done(), &asked(&treasury()));
        assert_eq!(first, "wallet treasury is revoked (decision d-42)");
        assert_eq!(rest, [
            ("in force", "after 1.284 ms".to_owned()),
            ("suspended", "with it: a, b".to_owned()),
            (
                "outside",
                "3 signatures over $1.20 can still be settled until 2026-11-18T11:06:40Z, 2 of them can be voided"
                    .to_owned()
            ),
            ("next", "cancel".to_owned()),
            ("key", "destroyed, in memory and on disk".to_owned()),
        ]);
    }

    #[test]
    fn an_act_that_changed_nothing_or_is_not_on_disk_says_so() {
        let (subject, quiet) =
            (treasury(), v1::LifecycleDone { status: "suspended".to_owned(), ..Default::default() });
        let said = |durable, already| {
            in_words(&v1::LifecycleDone { durable, already, ..quiet.clone() }, &asked(&subject))
        };
        assert!(said(false, false).0.contains("NOT DURABLE"));
        assert!(said(true, true).0.contains("already: nothing changed"));
        assert_eq!(said(true, false), ("wallet treasury is suspended (decision )".to_owned(), Vec::new()));
    }

    #[test]
    fn programs_are_told_everything_as_well() {
        let json = in_json(&done(), &asked(&treasury()));
        assert_eq!(json["exposure"]["cancellable"], 2);
        assert_eq!(
            (&json["kind"], &json["name"], &json["verb"]),
            (&json!("wallet"), &json!("treasury"), &json!("revoke"))
        );
        assert_eq!(json["suspended_wallets"], json!(["a", "b"]));
        assert_eq!((&json["key"], &json["effective_micros"]), (&json!("destroyed"), &json!(1_284)));
    }
}
