//! Talking to a running sidecar.

use std::path::Path;

use pursekeeper_api::{Channel, v1};
use serde_json::json;

use super::Exit;
use crate::config::{Config, Serves};
use crate::output::Output;

/// What is said of an act that is in force and not on disk.
pub(super) const NOT_DURABLE: &str = "but the journal cannot be written: NOT DURABLE yet. It is in force while this sidecar runs and is recorded first when the journal can be written again; if the sidecar stops before that, do it again";

/// The sidecar does not answer, or cannot now.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unavailable(String);

/// Connects to the operators' socket of a configuration.
pub(super) async fn operators(config: &Path) -> anyhow::Result<Channel> {
    connect(config, Serves::Operators).await
}

/// Connects to the agents' socket of a configuration.
pub(super) async fn agents(config: &Path) -> anyhow::Result<Channel> {
    connect(config, Serves::Agents).await
}

async fn connect(path: &Path, serves: Serves) -> anyhow::Result<Channel> {
    let config = Config::load(path)?;
    let socket = config.socket(serves).ok_or_else(|| {
        let serves = serves.as_str();
        anyhow::anyhow!("{}: no listener serves {serves} on a Unix socket without a token: commands on this machine connect to one", path.display())
    })?;
    let connected = pursekeeper_api::connect(socket).await;
    let advice = "start it with `pursekeeper serve --config FILE`";
    connected.map_err(|error| Unavailable(format!("{error}: {advice}")).into())
}

/// The same, with advice for commands that can also do without a sidecar.
pub(super) async fn operators_or(config: &Path, instead: &str) -> anyhow::Result<Channel> {
    operators(config).await.map_err(|error| match error.downcast::<Unavailable>() {
        Ok(Unavailable(said)) => Unavailable(format!("{said}; {instead}")).into(),
        Err(error) => error,
    })
}

/// A gRPC status as an error: unreachable or overloaded sidecars have an exit code of their own.
pub(super) fn answer<T>(result: Result<tonic::Response<T>, tonic::Status>) -> anyhow::Result<T> {
    match result {
        Ok(response) => Ok(response.into_inner()),
        Err(status) if matches!(status.code(), tonic::Code::Unavailable | tonic::Code::ResourceExhausted) => {
            Err(Unavailable(status.message().to_owned()).into())
        }
        Err(status) => Err(anyhow::anyhow!("{}", status.message().to_owned())),
    }
}

/// Says why something was refused: on standard error for people, as JSON for programs.
pub(super) fn show_refusal(denied: &v1::Denied, output: Output) -> anyhow::Result<()> {
    let v1::Denied { code, message, policies, decision_id, offers: _ } = denied;
    if output.is_json() {
        let policies: Vec<_> =
            policies.iter().map(|policy| json!({ "id": policy.id, "reason": policy.reason })).collect();
        let denied =
            json!({ "code": code, "message": message, "decision_id": decision_id, "policies": policies });
        output.json(&json!({ "denied": denied }))?;
        return Ok(());
    }
    eprintln!("denied {code}: {message}");
    for policy in policies {
        eprintln!("  by {}: {}", policy.id, policy.reason);
    }
    eprintln!("  decision {decision_id}");
    Ok(())
}

/// Says that an operator's act was done, or why it was refused.
pub(super) fn show_act(response: v1::LifecycleResponse, done: &str, output: Output) -> anyhow::Result<Exit> {
    use v1::lifecycle_response::Result as Outcome;
    match response.result {
        Some(Outcome::Done(v1::LifecycleDone { decision_id, durable, already, .. })) => {
            if output.is_json() {
                output.json(&json!({ "done": done, "decision_id": decision_id, "durable": durable, "already": already }))?;
            } else if !durable {
                output.line(&format!("{done}, {NOT_DURABLE}"))?;
            } else if already {
                output.line(&format!("{done} already: nothing changed (decision {decision_id})"))?;
            } else {
                output.line(&format!("{done} (decision {decision_id})"))?;
            }
            Ok(Exit::Done)
        }
        Some(Outcome::Denied(denied)) => refused(&denied, output),
        None => Err(empty()),
    }
}

/// Says why something was refused, which is an answer.
pub(super) fn refused(denied: &v1::Denied, output: Output) -> anyhow::Result<Exit> {
    show_refusal(denied, output)?;
    Ok(Exit::Denied)
}

/// An answer without a result.
pub(super) fn empty() -> anyhow::Error {
    anyhow::anyhow!(
        "the sidecar answered in a way this program does not know: use the `pursekeeper` of the same version"
    )
}
