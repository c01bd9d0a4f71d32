use clap::Args;
use pursekeeper_api::{Governance, v1};
use serde_json::json;

use super::{ConfigArg, Exit, as_json, block_on, client};
use crate::output::{Output, Tone};
use crate::record::bundle;

/// Puts the governance bundle in force as it lies on disk now. If it is not valid, the one before stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pursekeeper policy check purse/policies && pursekeeper reload --reason \"merge request 8\"
  pursekeeper reload --reason \"merge request 8\" --output json | jq -r .bundle_digest")]
pub(super) struct ReloadArgs {
    /// Why, in words; recorded for ever.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: ReloadArgs, output: Output) -> anyhow::Result<Exit> {
    use v1::reload_response::Result as Outcome;
    let ReloadArgs { reason, config } = args;
    let answer = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.reload_policies(v1::SidecarRequest { reason }).await)
    })?;
    let done = match answer.result {
        Some(Outcome::Done(done)) => done,
        Some(Outcome::Denied(denied)) => return client::refused(&denied, output),
        None => return Err(client::empty()),
    };
    if output.is_json() {
        let v1::Reloaded { decision_id, bundle_digest, unchanged, completed, notes, bundle_revision } = &done;
        let completed: Vec<_> = completed.iter().map(as_json::pending).collect();
        output.json(&json!({
            "decision_id": decision_id, "bundle_digest": bundle_digest, "unchanged": unchanged,
            "completed": completed, "notes": notes, "bundle_revision": bundle_revision,
        }))?;
        return Ok(Exit::Done);
    }
    let (first, rest) = in_words(&done);
    output.line(&first)?;
    for (noun, words) in rest {
        output.line(&format!("  {} {words}", output.paint(Tone::Faint, &format!("{noun:<9}"))))?;
    }
    Ok(Exit::Done)
}

/// A sentence, and what follows from the bundle.
fn in_words(done: &v1::Reloaded) -> (String, Vec<(&'static str, String)>) {
    let v1::Reloaded { decision_id, bundle_digest, unchanged, completed, notes, bundle_revision } = done;
    let bundle = bundle(bundle_digest, *bundle_revision);
    let was = if *unchanged { " already" } else { "" };
    let recorded = if decision_id.is_empty() { String::new() } else { format!(" (decision {decision_id})") };
    let complete = |act: &v1::PendingAct| {
        let v1::PendingAct { verb, wallet, address, replaces, workflows, .. } = act;
        let replaced = if replaces.is_empty() { String::new() } else { format!(", replacing {replaces}") };
        let serving =
            if workflows.is_empty() { String::new() } else { format!(", serving {}", workflows.join(", ")) };
        ("complete", format!("{verb} of wallet {wallet}: {address}{replaced}{serving}"))
    };
    let completed = completed.iter().map(complete);
    let notes = notes.iter().map(|note| ("note", note.clone()));
    (format!("bundle {bundle} is{was} in force{recorded}"), completed.chain(notes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_says_what_is_in_force_and_what_follows() {
        let rotated = v1::PendingAct {
            verb: "rotate".to_owned(),
            wallet: "treasury".to_owned(),
            address: "0xNew".to_owned(),
            replaces: "0xOld".to_owned(),
            ..v1::PendingAct::default()
        };
        let done = v1::Reloaded {
            decision_id: "d-9".to_owned(),
            bundle_digest: "abc".to_owned(),
            unchanged: false,
            completed: vec![rotated],
            notes: vec!["agent crawler is suspended: its model changed".to_owned()],
            bundle_revision: Some(12),
        };
        let (first, rest) = in_words(&done);
        assert_eq!(first, "bundle abc (revision 12) is in force (decision d-9)");
        assert_eq!(
            rest,
            [
                ("complete", "rotate of wallet treasury: 0xNew, replacing 0xOld".to_owned()),
                ("note", "agent crawler is suspended: its model changed".to_owned()),
            ]
        );
        let same = v1::Reloaded { unchanged: true, bundle_digest: "abc".to_owned(), ..Default::default() };
        assert_eq!(in_words(&same), ("bundle abc is already in force".to_owned(), Vec::new()));
    }
}
