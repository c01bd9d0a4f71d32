//! The audit trail: followed and asked.

mod filter;
mod query;
mod records;
mod token;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pursekeeper_api::v1;
use pursekeeper_api::v1::audit_server::Audit;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_journal::Reader;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::checkpoints::Checkpoints;
use super::convert::fault;
use super::signer::peer_uid;
use super::strangers::Strangers;
use super::{Gatehouse, Sidecar};
use crate::identity::Identities;
use filter::Filter;
use query::Query;
pub(super) use records::Records;
use watch::{Follow, WAITING_LEN_MAX};

/// Serves auditors.
pub(super) struct AuditService {
    gatehouse: Arc<Gatehouse>,
    identities: Identities,
    records: Records,
    checkpoints: Checkpoints,
    subscribers: Arc<Semaphore>,
    stopped: tokio::sync::watch::Receiver<bool>,
    strangers: Strangers,
}

impl AuditService {
    pub(super) fn new(sidecar: &Sidecar, stopped: tokio::sync::watch::Receiver<bool>) -> Self {
        Self {
            gatehouse: sidecar.gatehouse.clone(),
            identities: sidecar.identities,
            records: Records::new(&sidecar.config.journal),
            checkpoints: sidecar.checkpoints.clone(),
            subscribers: Arc::new(Semaphore::new(sidecar.config.limits.subscribers_max)),
            stopped,
            strangers: Strangers::new("Audit", sidecar),
        }
    }

    /// Lets nobody in but operators.
    async fn admit<T: prost::Name>(&self, request: &Request<T>) -> Result<(), Status> {
        let policy = self.gatehouse.policy();
        match self.identities.operator(policy.registry(), peer_uid(request)) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.strangers.refuse(request, error).await),
        }
    }

    /// What an operator wants to see.
    async fn filter<T: prost::Name>(
        &self,
        request: &Request<T>,
        filter: Option<v1::AuditFilter>,
    ) -> Result<Filter, Status> {
        self.admit(request).await?;
        Filter::parse(filter, self.gatehouse.policy().registry())
    }
}

#[tonic::async_trait]
impl Audit for AuditService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        mut request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let filter = request.get_mut().filter.take();
        let filter = self.filter(&request, filter).await?;
        let place = self.subscribers.clone().try_acquire_owned().map_err(|_| {
            let message = "as many follow the audit as may: end one, or raise `limits.subscribers_max`";
            fault(Code::ResourceExhausted, "SUBSCRIBERS_FULL", message)
        })?;
        let v1::WatchRequest { from_seq, until_now, filter: _, keep_alive_secs } = request.into_inner();
        let durable = self.gatehouse.durable_seq();
        let now = *durable.borrow();
        let mut next_seq = if from_seq == 0 { now.saturating_add(1) } else { from_seq };
        next_seq = next_seq.max(filter.first_seq());
        let (since, _) = filter.times();
        if since > 0 {
            next_seq = next_seq.max(self.records.read(move |reader| reader.first_seq_at(since)).await?);
        }
        let (sender, receiver) = mpsc::channel(WAITING_LEN_MAX);
        let follow = Follow {
            records: self.records.clone(),
            filter: Arc::new(filter),
            durable,
            stopped: self.stopped.clone(),
            sender,
            keep_alive: (keep_alive_secs > 0).then(|| Duration::from_secs(keep_alive_secs.into())),
            from_oldest: from_seq == 1 || since > 0,
            until_seq: until_now.then_some(now),
            _place: place,
        };
        tokio::spawn(follow.run(next_seq));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn query(
        &self,
        mut request: Request<v1::QueryRequest>,
    ) -> Result<Response<v1::QueryResponse>, Status> {
        let filter = request.get_mut().filter.take();
        let filter = self.filter(&request, filter).await?;
        let v1::QueryRequest { filter: _, page_size, page_token, newest_first } = request.into_inner();
        let durable = *self.gatehouse.durable_seq().borrow();
        let query = Query { filter, page_size, page_token, newest_first, durable };
        query.answer(&self.records).await.map(Response::new)
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        self.admit(&request).await?;
        let newest = |reader: &Reader| Ok((reader.newest_checkpoint()?.map(|(_, note)| note), reader.id()));
        let (note, journal) = self.records.read(newest).await?;
        let absent = || {
            fault(Code::NotFound, "NO_CHECKPOINT", "no checkpoint was made yet: the first one follows soon")
        };
        let verifier_key = self.checkpoints.verifier_key(journal);
        Ok(Response::new(v1::GetCheckpointResponse { note: note.ok_or_else(absent)?, verifier_key }))
    }
}
