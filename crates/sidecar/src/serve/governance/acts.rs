//! An operator's act: judged, put in force, and what it entails.

use std::time::Instant;

use pursekeeper_api::v1;
use pursekeeper_api::v1::lifecycle_response::Result as Outcome;
use pursekeeper_core::gate::{Answer, Ask, LifecycleAsk};
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::{Act, ActVerb, DecisionId, Status as Standing, Subject};
use tonic::Status;
use tracing::warn;

use super::super::convert;
use super::super::signer::mixed_up;
use super::GovernanceService;
use crate::turnstile::Fault;

impl GovernanceService {
    /// Says in the log what is about to be judged. The record is the journal's.
    pub(super) fn tell(act: &Act) {
        let Act { operator, verb, subject, .. } = act;
        let (hold, payee) = (act.hold(), act.payee().map(tracing::field::display));
        warn!(%operator, verb = verb.as_str(), kind = subject.kind(), %subject, hold, payee, "operator acts");
    }

    /// Has an act judged, and says what is in force then.
    pub(super) async fn pass(&self, act: Act) -> Result<v1::LifecycleResponse, Status> {
        Self::tell(&act);
        let begun = Instant::now();
        let (verb, subject) = (act.verb, act.subject.clone());
        let before = self.decided(&subject);
        let had_key = self.endings.has_key(&subject);
        let answer = self.gatehouse.pass(Ask::Lifecycle(LifecycleAsk { act })).await;
        let took = begun.elapsed();
        let effective_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let done = match answer {
            Ok(Answer::Acted { decision_id, statuses, .. }) => {
                let status = statuses.first().map(|(_, status)| *status);
                let done = v1::LifecycleDone {
                    decision_id: decision_id.to_string(),
                    status: status.map(|status| status.to_string()).unwrap_or_default(),
                    durable: true,
                    already: status.is_some_and(|status| status == before),
                    suspended_wallets: self.names_of(statuses.iter().skip(1).map(|(subject, _)| subject)),
                    effective_micros,
                    ..v1::LifecycleDone::default()
                };
                self.after(decision_id, (verb, &subject, had_key), done).await?
            }
            Ok(Answer::Denied { decision_id, denial, offers }) => {
                let denied = convert::denied(decision_id, denial, offers);
                return Ok(v1::LifecycleResponse { result: Some(Outcome::Denied(denied)) });
            }
            Err(Fault::NotDurable) => v1::LifecycleDone {
                status: verb.status().map(|status| status.to_string()).unwrap_or_default(),
                durable: false,
                effective_micros,
                ..v1::LifecycleDone::default()
            },
            Err(fault) => return Err(convert::unanswered(&fault)),
            Ok(
                Answer::Authorized(_)
                | Answer::WouldSign { .. }
                | Answer::Changed { .. }
                | Answer::Voids(_)
                | Answer::Reported { .. }
                | Answer::Resolved { .. }
                | Answer::Noted { .. }
                | Answer::Nothing(_),
            ) => return Err(mixed_up()),
        };
        if verb.stop().is_some() {
            self.gatehouse.metrics().timing().stop(took);
        }
        Ok(v1::LifecycleResponse { result: Some(Outcome::Done(done)) })
    }

    /// What an act on a status entails: what is still outside, and, after a revocation, what voids it and the end of the key.
    async fn after(
        &self,
        act: DecisionId,
        (verb, subject, had_key): (ActVerb, &Subject, bool),
        mut done: v1::LifecycleDone,
    ) -> Result<v1::LifecycleDone, Status> {
        if verb == ActVerb::Revoke {
            done.key = self.endings.carry_out(act, subject, had_key).await;
        }
        if verb.status().is_some_and(|status| status != Standing::Active) {
            done.exposure = Some(self.exposure_of(subject).await?);
        }
        Ok(done)
    }

    pub(super) fn decided(&self, subject: &Subject) -> Standing {
        let policy = self.gatehouse.policy();
        self.gatehouse.with_journal(|journal| journal.status(&policy.registry().subjects(subject)))
    }

    /// Wallets by name, where they have one.
    fn names_of<'s>(&self, wallets: impl Iterator<Item = &'s Subject>) -> Vec<String> {
        let policy = self.gatehouse.policy();
        let name = |subject: &Subject| match subject {
            Subject::Wallet(address) => {
                let declared = policy.registry().wallet_at(*address);
                declared.map_or_else(|| address.to_string(), |(name, _)| name.to_string())
            }
            Subject::Agent(_) | Subject::Workflow(_) | Subject::Service(_) | Subject::Sidecar => {
                subject.to_string()
            }
        };
        wallets.map(name).collect()
    }
}
