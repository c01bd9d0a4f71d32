//! What is outside, and what voids it.

use pursekeeper_api::v1;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::{ActVerb, Cancellation, DecisionId, Detail, JournalId, Signature, Subject};
use pursekeeper_journal::{Exposed, ExposureSum, RECORDS_PER_READ_MAX, Reader};
use tonic::Status;

use super::super::convert;
use super::{GovernanceService, Operator};

/// Signatures in one answer, when nobody says how many.
const SIGNATURES_PER_ANSWER: usize = 100;

/// The sum as it is answered.
pub(super) fn total(sum: ExposureSum) -> v1::ExposureTotal {
    let ExposureSum { signatures, usd, cancellable, until } = sum;
    v1::ExposureTotal { signatures, usd: usd.to_string(), cancellable, until: until.0 }
}

/// A signature as it is listed.
fn listed(journal: JournalId, exposed: Exposed) -> v1::ExposedSignature {
    let cancellation = match (Cancellation::of(&exposed.hold.permit.intent), exposed.void) {
        (None, _) => "not-cancellable",
        (Some(_), None) => "cancellable",
        (Some(_), Some(_)) => "signed",
    };
    v1::ExposedSignature {
        hold: Some(convert::hold(journal, exposed.hold, Vec::new())),
        cancellation: cancellation.to_owned(),
    }
}

/// What voids a payment, with the signature that was kept.
fn kept(journal: JournalId, exposed: &Exposed) -> Option<v1::Cancellation> {
    let signature: Signature = exposed.void?;
    let cancellation = Cancellation::of(&exposed.hold.permit.intent)?;
    let id = DecisionId::new(journal, exposed.hold.seq);
    Some(convert::wire_cancellation(&cancellation, id, signature))
}

impl GovernanceService {
    /// What is outside of a subject.
    pub(super) async fn exposure_of(&self, subject: &Subject) -> Result<v1::ExposureTotal, Status> {
        let policy = self.gatehouse.policy();
        let names = policy.registry().subjects(subject);
        let now = self.gatehouse.now().unix_seconds();
        Ok(total(self.holds.read(move |reader| reader.exposure(&names, now)).await?))
    }

    /// A page of it.
    pub(super) async fn exposure(
        &self,
        request: v1::ExposureRequest,
    ) -> Result<v1::ExposureResponse, Status> {
        let v1::ExposureRequest { subject, after_seq, limit } = request;
        let policy = self.gatehouse.policy();
        let subject = match subject {
            None => Subject::Sidecar,
            Some(subject) => convert::subject(subject, policy.registry())?,
        };
        let names = policy.registry().subjects(&subject);
        let now = self.gatehouse.now().unix_seconds();
        let limit = match usize::try_from(limit).unwrap_or(RECORDS_PER_READ_MAX) {
            0 => SIGNATURES_PER_ANSWER,
            limit => limit.min(RECORDS_PER_READ_MAX),
        };
        self.holds
            .read(move |reader| {
                let page = reader.exposed(&names, now, (after_seq, limit))?.into_iter();
                let signatures = page.map(|exposed| listed(reader.id(), exposed)).collect();
                Ok(v1::ExposureResponse { total: Some(total(reader.exposure(&names, now)?)), signatures })
            })
            .await
    }

    /// Signs what voids the payments of what is stopped, keeps it, and hands out all that is kept.
    pub(super) async fn cancel_outstanding(
        &self,
        operator: Operator,
        request: v1::LifecycleRequest,
    ) -> Result<v1::CancelOutstandingResponse, Status> {
        use v1::cancel_outstanding_response::Result as Outcome;
        let policy = self.gatehouse.policy();
        let (subject, reason) = convert::lifecycle(request, policy.registry())?;
        let names = policy.registry().subjects(&subject);
        let act = operator.act(ActVerb::CancelOutstanding, subject, Detail::None, reason);
        let decision_id = match self.done(act).await? {
            Ok((decision_id, _)) => decision_id,
            Err(denied) => {
                return Ok(v1::CancelOutstandingResponse { result: Some(Outcome::Denied(denied)) });
            }
        };
        let recorded = DecisionId::parse(&decision_id).map_err(|_| super::mixed_up())?;
        self.endings.void(recorded).await?;
        let now = self.gatehouse.now().unix_seconds();
        let done = self.holds.read(move |reader| {
            let (mut cancellations, mut not_cancellable) = (Vec::new(), Vec::new());
            for exposed in everything(reader, &names, now)? {
                match kept(reader.id(), &exposed) {
                    Some(cancellation) => cancellations.push(cancellation),
                    None => not_cancellable.push(convert::hold(reader.id(), exposed.hold, Vec::new())),
                }
            }
            Ok(v1::CancelledOutstanding { decision_id, cancellations, not_cancellable })
        });
        Ok(v1::CancelOutstandingResponse { result: Some(Outcome::Done(done.await?)) })
    }
}

/// Every signature of a subject that is outside.
fn everything(
    reader: &Reader,
    names: &[Subject],
    now: pursekeeper_core::UnixSeconds,
) -> Result<Vec<Exposed>, pursekeeper_journal::JournalError> {
    let mut found: Vec<Exposed> = Vec::new();
    loop {
        let after = found.last().map_or(0, |exposed| exposed.hold.seq);
        let page = reader.exposed(names, now, (after, RECORDS_PER_READ_MAX))?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}
