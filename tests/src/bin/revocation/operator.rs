//! An operator who tells what was answered, and waits for no answer for ever.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_api::v1::pending_response::Result as Pending;
use pursekeeper_api::{Governance, v1};
use pursekeeper_custody::Recipient;
use pursekeeper_tests::Sidecar;
use tokio::runtime::{Builder, Runtime};
use tonic::{Response, Status};

/// How long any call may take. The sidecar's own limit is half of that: who waits longer waits for a lock that nobody opens.
const PATIENCE: Duration = Duration::from_secs(20);
/// The wallet that `init` makes.
pub(crate) const WALLET: &str = "research-hot";
/// What the operator gives as a reason.
const REASON: &str = "drill";

/// What an operator was answered.
#[derive(Clone, Debug)]
pub(crate) enum Told<T> {
    /// It is done.
    Done(T),
    /// No.
    Denied(v1::Denied),
    /// No answer.
    Failed(Status),
}

/// What changes a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Suspend,
    Resume,
    Revoke,
}

/// What an act is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A kind of subject and its name.
    One(&'static str, &'static str),
    /// Everything.
    All,
}

/// One connection to the operators' socket.
pub(crate) struct Operator {
    runtime: Runtime,
    governance: Governance,
    /// Whom keys for this sidecar are sealed for.
    pub(crate) transport: Recipient,
}

impl<T: Debug> Told<T> {
    /// What was done, or a failed scenario.
    pub(crate) fn done(self) -> T {
        match self {
            Self::Done(done) => done,
            other @ (Self::Denied(_) | Self::Failed(_)) => panic!("not done: {other:?}"),
        }
    }

    /// With something else instead of what was done.
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Told<U> {
        match self {
            Self::Done(done) => Told::Done(map(done)),
            Self::Denied(denied) => Told::Denied(denied),
            Self::Failed(status) => Told::Failed(status),
        }
    }

    /// Without what was done.
    pub(crate) fn unit(self) -> Told<()> {
        self.map(drop)
    }

    /// The code of the denial.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Denied(denied) => Some(&denied.code),
            Self::Done(_) | Self::Failed(_) => None,
        }
    }
}

impl Act {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
        }
    }
}

/// A wallet, as a subject.
pub(crate) fn subject(kind: &str, name: &str) -> Option<v1::Subject> {
    Some(v1::Subject { kind: kind.to_owned(), name: name.to_owned() })
}

fn lifecycle(kind: &str, name: &str) -> v1::LifecycleRequest {
    v1::LifecycleRequest { subject: subject(kind, name), reason: REASON.to_owned() }
}

fn sidecar() -> v1::SidecarRequest {
    v1::SidecarRequest { reason: REASON.to_owned() }
}

impl Operator {
    /// Connects.
    pub(crate) fn connect(sidecar: &Sidecar) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (governance, status) = runtime.block_on(async {
            let mut governance = sidecar.governance().await;
            let status = governance.status(v1::StatusRequest {}).await.unwrap().into_inner();
            (governance, status)
        });
        let transport = Recipient::parse(&status.transport_recipient).unwrap();
        Self { runtime, governance, transport }
    }

    fn call<R>(
        &self,
        call: impl AsyncFnOnce(Governance) -> Result<Response<R>, Status>,
    ) -> Result<R, Status> {
        let call = call(self.governance.clone());
        let answered = self.runtime.block_on(within(call));
        answered.map(Response::into_inner)
    }

    /// Changes the status of something.
    pub(crate) fn act(&self, act: Act, aim: Aim) -> Told<v1::LifecycleDone> {
        let answered = self.call(async |mut governance| match (act, aim) {
            (Act::Suspend, Aim::One(kind, name)) => governance.suspend(lifecycle(kind, name)).await,
            (Act::Resume, Aim::One(kind, name)) => governance.resume(lifecycle(kind, name)).await,
            (Act::Revoke, Aim::One(kind, name)) => governance.revoke(lifecycle(kind, name)).await,
            (Act::Suspend, Aim::All) => governance.suspend_all(sidecar()).await,
            (Act::Resume, Aim::All) => governance.resume_all(sidecar()).await,
            (Act::Revoke, Aim::All) => panic!("the sidecar cannot be revoked"),
        });
        acted(answered)
    }

    /// Has a key made.
    pub(crate) fn create(&self, wallet: &str) -> Told<v1::PendingAct> {
        let request = v1::CreateRequest { wallet: wallet.to_owned(), reason: REASON.to_owned() };
        pending(self.call(async |mut governance| governance.create(request).await))
    }

    /// Hands in a key.
    pub(crate) fn import(&self, wallet: &str, sealed_key: Vec<u8>) -> Told<v1::PendingAct> {
        let request = v1::ImportRequest { wallet: wallet.to_owned(), sealed_key, reason: REASON.to_owned() };
        pending(self.call(async |mut governance| governance.import(request).await))
    }

    /// Has a successor made for the wallet's key.
    pub(crate) fn rotate(&self) -> Told<v1::PendingAct> {
        pending(self.call(async |mut governance| governance.rotate(lifecycle("wallet", WALLET)).await))
    }

    /// Has the bundle read again.
    pub(crate) fn reload(&self) -> Told<v1::Reloaded> {
        use v1::reload_response::Result as Outcome;
        match self.call(async |mut governance| governance.reload_policies(sidecar()).await) {
            Ok(v1::ReloadResponse { result: Some(Outcome::Done(done)) }) => Told::Done(done),
            Ok(v1::ReloadResponse { result: Some(Outcome::Denied(denied)) }) => Told::Denied(denied),
            Ok(v1::ReloadResponse { result: None }) => panic!("an answer that says nothing"),
            Err(status) => Told::Failed(status),
        }
    }

    /// Has what the wallet signed voided.
    pub(crate) fn cancel_outstanding(&self) -> Told<v1::CancelledOutstanding> {
        use v1::cancel_outstanding_response::Result as Outcome;
        let request = lifecycle("wallet", WALLET);
        match self.call(async |mut governance| governance.cancel_outstanding(request).await) {
            Ok(v1::CancelOutstandingResponse { result: Some(Outcome::Done(done)) }) => Told::Done(done),
            Ok(v1::CancelOutstandingResponse { result: Some(Outcome::Denied(denied)) }) => {
                Told::Denied(denied)
            }
            Ok(v1::CancelOutstandingResponse { result: None }) => panic!("an answer that says nothing"),
            Err(status) => Told::Failed(status),
        }
    }

    /// Brings the wallet's key back.
    pub(crate) fn recover(&self, sealed_key: Vec<u8>) -> Told<v1::LifecycleDone> {
        let request = v1::RecoverRequest { wallet: WALLET.to_owned(), sealed_key, reason: REASON.to_owned() };
        acted(self.call(async |mut governance| governance.recover(request).await))
    }

    /// Has the wallet's key handed out, encrypted.
    pub(crate) fn backup(&self) -> Told<v1::WalletBackup> {
        use v1::backup_response::Result as Outcome;
        match self.call(async |mut governance| governance.backup(lifecycle("wallet", WALLET)).await) {
            Ok(v1::BackupResponse { result: Some(Outcome::Backup(backup)) }) => Told::Done(backup),
            Ok(v1::BackupResponse { result: Some(Outcome::Denied(denied)) }) => Told::Denied(denied),
            Ok(v1::BackupResponse { result: None }) => panic!("an answer that says nothing"),
            Err(status) => Told::Failed(status),
        }
    }

    /// Every wallet, and what waits for the registry.
    pub(crate) fn wallets(&self) -> v1::ListGovernedWalletsResponse {
        let request = v1::ListGovernedWalletsRequest {};
        self.call(async |mut governance| governance.list_wallets(request).await).unwrap()
    }

    /// The wallet that `init` made, under the address it has.
    pub(crate) fn wallet(&self) -> v1::GovernedWallet {
        let mut wallets = self.wallets().wallets.into_iter();
        wallets.find(|wallet| wallet.name == WALLET && !wallet.replaced).unwrap()
    }

    /// What of a subject is outside: all of it, a page after the other.
    pub(crate) fn exposure(&self, kind: &str, name: &str) -> Vec<v1::ExposedSignature> {
        let mut found: Vec<v1::ExposedSignature> = Vec::new();
        loop {
            let last = found.last().and_then(|exposed| exposed.hold.as_ref());
            let after_seq = last.map_or(0, |hold| hold.seq);
            let request = v1::ExposureRequest { subject: subject(kind, name), after_seq, limit: 1_000 };
            let page = self.call(async |mut governance| governance.exposure(request).await).unwrap();
            if page.signatures.is_empty() {
                return found;
            }
            found.extend(page.signatures);
        }
    }
}

/// The record of a decision.
pub(crate) fn seq(decision_id: &str) -> u64 {
    decision_id.rsplit('-').next().unwrap().parse().unwrap_or_else(|_| panic!("`{decision_id}`"))
}

async fn within<T>(call: impl Future<Output = T>) -> T {
    let answered = tokio::time::timeout(PATIENCE, call).await;
    answered.unwrap_or_else(|_| panic!("an operator's call has no answer after {PATIENCE:?}: a deadlock"))
}

fn acted(answered: Result<v1::LifecycleResponse, Status>) -> Told<v1::LifecycleDone> {
    match answered.map(|response| response.result) {
        Ok(Some(Acted::Done(done))) => Told::Done(done),
        Ok(Some(Acted::Denied(denied))) => Told::Denied(denied),
        Ok(None) => panic!("an answer that says nothing"),
        Err(status) => Told::Failed(status),
    }
}

fn pending(answered: Result<v1::PendingResponse, Status>) -> Told<v1::PendingAct> {
    match answered.map(|response| response.result) {
        Ok(Some(Pending::Pending(pending))) => Told::Done(pending),
        Ok(Some(Pending::Denied(denied))) => Told::Denied(denied),
        Ok(None) => panic!("an answer that says nothing"),
        Err(status) => Told::Failed(status),
    }
}
