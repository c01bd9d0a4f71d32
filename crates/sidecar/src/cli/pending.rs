//! Acts that are complete once registry.yaml contains them.

use pursekeeper_api::v1;

use super::call::printable;
use super::{Exit, as_json, client, moment};
use crate::output::{Output, Tone};

/// Says what was prepared and what to do next, or why it was refused.
pub(super) fn show(response: v1::PendingResponse, output: Output) -> anyhow::Result<Exit> {
    use v1::pending_response::Result as Outcome;
    let act = match response.result {
        Some(Outcome::Pending(act)) => act,
        Some(Outcome::Denied(denied)) => return client::refused(&denied, output),
        None => return Err(client::empty()),
    };
    if output.is_json() {
        output.json(&as_json::pending(&act))?;
        return Ok(Exit::Done);
    }
    output.line(&format!("{} (decision {})", what_was_done(&act), act.decision_id))?;
    if act.registry_patch.is_empty() {
        return Ok(Exit::Done);
    }
    output.line("\nIn force once registry.yaml says so:\n")?;
    output.line(&output.paint(Tone::Strong, act.registry_patch.trim_end()))?;
    output.line("\nNext:")?;
    for (at, step) in (1_u32..).zip(next_steps(&act)) {
        output.line(&format!("  {at}. {step}"))?;
    }
    Ok(Exit::Done)
}

/// What an act prepared.
fn what_was_done(act: &v1::PendingAct) -> String {
    let v1::PendingAct { verb, wallet, address, replaces, workflows, registry_patch, .. } = act;
    if registry_patch.is_empty() {
        return format!("the {verb} is complete: registry.yaml says so already");
    }
    match verb.as_str() {
        "create" => format!("wallet {wallet} has a new key with the address {address}"),
        "import" => format!("wallet {wallet} has the key of the address {address}"),
        "rotate" => {
            format!("wallet {wallet} has a new key with the address {address}, to replace {replaces}")
        }
        "reassign" => format!("wallet {wallet} ({address}) is to serve {}", workflows.join(", ")),
        other => format!("{other} of wallet {wallet}, address {address}"),
    }
}

/// What a person does to complete an act.
fn next_steps(act: &v1::PendingAct) -> Vec<String> {
    let v1::PendingAct { verb, wallet, address, replaces, .. } = act;
    let declare = "put this into registry.yaml, and have it reviewed".to_owned();
    let reload = format!("pursekeeper reload --reason \"{verb} of {wallet}\"");
    let backup = |file: &str| {
        format!("pursekeeper wallet backup {wallet} --out {file}.age --reason \"backup of the new key\"")
    };
    match verb.as_str() {
        "create" | "import" => vec![declare, reload, backup(wallet)],
        "rotate" => {
            // The backup of the old key may lie under the wallet's name.
            let digits: String = address.chars().take(10).collect();
            vec![
                format!("make sure that a backup of the key of {replaces} opens"),
                declare,
                reload,
                backup(&format!("{wallet}-{digits}")),
                format!(
                    "move what {replaces} holds, by that backup: with one its key is destroyed once it has drained"
                ),
            ]
        }
        _ => vec![declare, reload],
    }
}

/// What is pending, a line each with what registry.yaml is to say below it, if there is any.
pub(super) fn list(acts: &[v1::PendingAct], output: Output) -> anyhow::Result<()> {
    if acts.is_empty() {
        return Ok(());
    }
    output.line(&format!("\n{}", output.paint(Tone::Strong, "Pending until registry.yaml says so:")))?;
    for act in acts {
        output.line(&format!("  {}", what_was_done(act)))?;
        output.line(&output.paint(Tone::Faint, &format!("    {}", asked_by(act))))?;
    }
    Ok(())
}

/// Who asked for an act, when, and why. The reason is an operator's text, and stays on its line.
fn asked_by(act: &v1::PendingAct) -> String {
    let v1::PendingAct { decision_id, time_unix_ms, operator, reason, .. } = act;
    let at = moment::of_millis(*time_unix_ms);
    format!("asked for by {operator} at {at}, decision {decision_id}: {}", printable(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(verb: &str) -> v1::PendingAct {
        v1::PendingAct {
            decision_id: "d-7".to_owned(),
            verb: verb.to_owned(),
            wallet: "treasury".to_owned(),
            address: "0xNew".to_owned(),
            replaces: if verb == "rotate" { "0xOld".to_owned() } else { String::new() },
            workflows: vec!["research".to_owned(), "sales".to_owned()],
            time_unix_ms: 1_795_000_000_007,
            operator: "alice".to_owned(),
            registry_patch: "wallets:\n".to_owned(),
            reason: "one\n\x1b[31mtwo".to_owned(),
        }
    }

    #[test]
    fn each_verb_says_what_it_prepared_and_what_is_next() {
        let table = [
            ("create", "wallet treasury has a new key with the address 0xNew", 3),
            ("import", "wallet treasury has the key of the address 0xNew", 3),
            ("rotate", "wallet treasury has a new key with the address 0xNew, to replace 0xOld", 5),
            ("reassign", "wallet treasury (0xNew) is to serve research, sales", 2),
            ("mint", "mint of wallet treasury, address 0xNew", 2),
        ];
        for (verb, text, steps) in table {
            assert_eq!(what_was_done(&act(verb)), text);
            assert_eq!(next_steps(&act(verb)).len(), steps, "{verb}");
            let complete =
                v1::PendingAct { registry_patch: String::new(), wallet: String::new(), ..act(verb) };
            assert_eq!(
                what_was_done(&complete),
                format!("the {verb} is complete: registry.yaml says so already")
            );
            let reload = format!("pursekeeper reload --reason \"{verb} of treasury\"");
            assert!(next_steps(&act(verb)).contains(&reload), "{verb}");
        }
    }

    #[test]
    fn a_reason_stays_on_its_line_and_sets_no_colours() {
        let said = asked_by(&act("create"));
        assert_eq!(said, "asked for by alice at 2026-11-18T11:06:40.007Z, decision d-7: one[31mtwo");
    }
}
