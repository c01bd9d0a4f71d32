//! The audit trail, streamed.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use pursekeeper_api::v1;
use pursekeeper_api::v1::audit_server::Audit;
use pursekeeper_core::JournalId;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_journal::{JournalError, Reader};
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::checkpoints::Checkpoints;
use super::convert::fault;
use super::signer::peer_uid;
use super::strangers::Strangers;
use super::{Gatehouse, Sidecar};
use crate::identity::Identities;
use crate::record;

/// Records read from the journal at a time.
const PAGE_LEN_MAX: usize = 256;
/// Records waiting for a subscriber; a slow one is waited for, it costs nobody else anything.
const WAITING_LEN_MAX: usize = 64;

/// Serves auditors.
pub(super) struct AuditService {
    gatehouse: Arc<Gatehouse>,
    identities: Identities,
    records: Records,
    checkpoints: Checkpoints,
    stopped: watch::Receiver<bool>,
    strangers: Strangers,
}

/// Reads records outside the gate, over connections of its own.
#[derive(Clone, Debug)]
pub(super) struct Records {
    path: PathBuf,
}

impl Records {
    pub(super) fn new(journal: &Path) -> Self {
        Self { path: journal.to_owned() }
    }

    /// One record.
    pub(super) async fn get(&self, seq: u64) -> Result<Option<v1::Decision>, Status> {
        Ok(self.page(seq, 1).await?.into_iter().find(|decision| decision.seq == seq))
    }

    /// Records from a position on.
    async fn page(&self, from_seq: u64, limit: usize) -> Result<Vec<v1::Decision>, Status> {
        self.read(move |reader| {
            reader.records(from_seq, limit)?.iter().map(|stored| record::to_wire(reader, stored)).collect()
        })
        .await
    }

    /// The newest checkpoint, and whose it is.
    async fn newest_checkpoint(&self) -> Result<(Option<String>, JournalId), Status> {
        self.read(|reader| Ok((reader.newest_checkpoint()?.map(|(_, note)| note), reader.id()))).await
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Status> {
        let path = self.path.clone();
        let read = move || look(&Reader::open(&path)?);
        let unreadable =
            |error: &dyn std::fmt::Display| fault(Code::Unavailable, "JOURNAL_UNREADABLE", error);
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| unreadable(&error))?;
        read.map_err(|error| unreadable(&error))
    }
}

impl AuditService {
    pub(super) fn new(sidecar: &Sidecar, stopped: watch::Receiver<bool>) -> Self {
        Self {
            gatehouse: sidecar.gatehouse.clone(),
            identities: sidecar.identities,
            records: Records::new(&sidecar.config.journal),
            checkpoints: sidecar.checkpoints.clone(),
            stopped,
            strangers: Strangers::new("Audit", sidecar),
        }
    }
}

#[tonic::async_trait]
impl Audit for AuditService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let policy = self.gatehouse.policy();
        if let Err(error) = self.identities.operator(policy.registry(), peer_uid(&request)) {
            return Err(self.strangers.refuse(&request, error).await);
        }
        let v1::WatchRequest { from_seq, until_now, filter: _, keep_alive_secs: _ } = request.into_inner();
        let durable = self.gatehouse.durable_seq();
        let now = *durable.borrow();
        let next = if from_seq == 0 { now.saturating_add(1) } else { from_seq };
        let (sender, receiver) = mpsc::channel(WAITING_LEN_MAX);
        let follow = Follow { records: self.records.clone(), durable, stopped: self.stopped.clone(), sender };
        tokio::spawn(follow.run(next, until_now.then_some(now)));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn query(
        &self,
        _request: Request<v1::QueryRequest>,
    ) -> Result<Response<v1::QueryResponse>, Status> {
        Err(Status::unimplemented("query"))
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let policy = self.gatehouse.policy();
        if let Err(error) = self.identities.operator(policy.registry(), peer_uid(&request)) {
            return Err(self.strangers.refuse(&request, error).await);
        }
        let (note, journal) = self.records.newest_checkpoint().await?;
        let absent = || {
            fault(Code::NotFound, "NO_CHECKPOINT", &"no checkpoint was made yet: the first one follows soon")
        };
        let verifier_key = self.checkpoints.verifier_key(journal);
        Ok(Response::new(v1::GetCheckpointResponse { note: note.ok_or_else(absent)?, verifier_key }))
    }
}

/// One subscriber being served.
struct Follow {
    records: Records,
    durable: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    sender: mpsc::Sender<Result<v1::WatchResponse, Status>>,
}

impl Follow {
    /// Sends every record from `next` on, without gaps: it reads them from the journal, never from a notification.
    async fn run(mut self, mut next: u64, until: Option<u64>) {
        loop {
            if until.is_some_and(|until| next > until) {
                return;
            }
            let durable = *self.durable.borrow_and_update();
            if next > durable {
                tokio::select! {
                    changed = self.durable.changed() => if changed.is_err() { return },
                    _ = self.stopped.changed() => return,
                    () = self.sender.closed() => return,
                }
                continue;
            }
            let page = match self.records.page(next, PAGE_LEN_MAX).await {
                Ok(page) => page,
                Err(status) => return drop(self.sender.send(Err(status)).await),
            };
            for decision in page {
                if until.is_some_and(|until| decision.seq > until) || decision.seq > durable {
                    break;
                }
                next = decision.seq.saturating_add(1);
                let response = v1::WatchResponse { seen_seq: decision.seq, decision: Some(decision) };
                let sent = self.sender.send(Ok(response)).await;
                if sent.is_err() || *self.stopped.borrow() {
                    return;
                }
            }
        }
    }
}
