//! Payees that services leave to the operators, read outside the gate.

use std::collections::BTreeMap;

use pursekeeper_api::v1;
use pursekeeper_core::registry::{FirstUse, Registry, Service};
use pursekeeper_core::{Address, DecisionId, Entry, PayeeState, ServiceName, Subject};
use pursekeeper_journal::{Content, JournalError, KnownPayee, Reader};
use tonic::{Code, Status};

use super::convert::fault;
use crate::record;

/// Most payees in one answer.
const PAYEES_PER_ANSWER_MAX: usize = 1_000;
/// The state of a payee that waited, or was accepted by nobody, and that the registry lists by now.
const LISTED: &str = "listed";

/// Which payees are meant.
pub(super) struct Wanted {
    service: Option<ServiceName>,
    state: String,
}

/// The records that say how a payee came to stand as it does.
#[derive(Clone, Copy, Default)]
struct Records {
    pending_seq: Option<u64>,
    accepted_seq: Option<u64>,
}

impl Wanted {
    /// Reads a request.
    pub(super) fn parse(request: v1::ListPayeesRequest) -> Result<Self, Status> {
        let v1::ListPayeesRequest { service, state } = request;
        if !state.is_empty() && state != LISTED && PayeeState::parse(&state).is_none() {
            let message = "`state` is one of pending, accepted, listed, or empty";
            return Err(fault(Code::InvalidArgument, "MALFORMED_STATE", message));
        }
        let name = (!service.is_empty()).then(|| ServiceName::parse(&service)).transpose();
        let service = name.map_err(|error| fault(Code::InvalidArgument, "MALFORMED_SUBJECT", error))?;
        Ok(Self { service, state })
    }

    /// The payees of services that leave them to operators now: what was said about others counts for nothing.
    pub(super) fn list(
        &self,
        reader: &Reader,
        registry: &Registry,
    ) -> Result<v1::ListPayeesResponse, JournalError> {
        let mut known = BTreeMap::<(ServiceName, Address), Records>::new();
        for KnownPayee { service, payee, pending_seq, accepted_seq } in reader.payees()? {
            // What happened under an earlier name belongs to the service as it is called now.
            let Subject::Service(service) = registry.current(&Subject::Service(service)) else { continue };
            let records = known.entry((service, payee)).or_default();
            records.pending_seq = earlier(records.pending_seq, pending_seq);
            records.accepted_seq = earlier(records.accepted_seq, accepted_seq);
        }
        let mut found = Vec::new();
        for ((service, payee), records) in known {
            let Some(declared) = registry.services.get(&service) else { continue };
            let state = state(declared, payee, records);
            let asked_for = self.service.as_ref().is_none_or(|wanted| *wanted == service)
                && (self.state.is_empty() || self.state == state);
            if asked_for && declared.payees.first_use == FirstUse::Pending {
                found.push((state, service, payee, records));
            }
        }
        // Stable: the order by service and address stays within those that wait and the others.
        found.sort_by_key(|(state, ..)| *state != PayeeState::Pending.as_str());
        let more = found.len() > PAYEES_PER_ANSWER_MAX;
        found.truncate(PAYEES_PER_ANSWER_MAX);
        let payees = found.into_iter().map(|(state, service, payee, records)| {
            Ok(v1::Payee {
                service: service.to_string(),
                payee: payee.to_string(),
                state: state.to_owned(),
                refusal: records.pending_seq.map(|seq| refusal(reader, seq)).transpose()?.flatten(),
                acceptance: records.accepted_seq.map(|seq| acceptance(reader, seq)).transpose()?.flatten(),
            })
        });
        Ok(v1::ListPayeesResponse { payees: payees.collect::<Result<_, JournalError>>()?, more })
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

fn state(declared: &Service, payee: Address, records: Records) -> &'static str {
    match records.accepted_seq {
        Some(_) => PayeeState::Accepted.as_str(),
        None if declared.payees.list.contains(&payee) => LISTED,
        None => PayeeState::Pending.as_str(),
    }
}

/// The refusal that left a payee to the operators, in words.
fn refusal(reader: &Reader, seq: u64) -> Result<Option<v1::PayeeRefusal>, JournalError> {
    let Some(record) = reader.record(seq)? else { return Ok(None) };
    let summary = reader.summary(&record)?;
    Ok(Some(v1::PayeeRefusal {
        decision_id: summary.decision_id,
        time_unix_ms: summary.time_unix_ms,
        agent: summary.agent,
        workflow: summary.workflow,
        endpoint: summary.endpoint.as_ref().map(record::call_to_wire),
        network: summary.network,
        usd: summary.usd,
    }))
}

/// Who accepted a payee, and why.
fn acceptance(reader: &Reader, seq: u64) -> Result<Option<v1::PayeeAcceptance>, JournalError> {
    let Some(record) = reader.record(seq)? else { return Ok(None) };
    let Content::Entry(Entry::Lifecycle(lifecycle)) = record.decode()?.content else { return Ok(None) };
    Ok(Some(v1::PayeeAcceptance {
        decision_id: DecisionId::new(reader.id(), seq).to_string(),
        time_unix_ms: lifecycle.at.unix_ms,
        operator: lifecycle.act.operator.to_string(),
        reason: lifecycle.act.reason,
    }))
}
