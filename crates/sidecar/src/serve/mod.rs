//! The running sidecar: everything wired together, from sockets to the journal.

mod audit;
mod chains;
mod checkpoints;
mod convert;
mod governance;
mod holds;
mod listener;
mod payees;
mod retention;
mod scrape;
mod signer;
mod storage;
mod strangers;

use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pursekeeper_api::v1::audit_server::AuditServer;
use pursekeeper_api::v1::governance_server::GovernanceServer;
use pursekeeper_api::v1::signer_server::SignerServer;
use pursekeeper_core::Subject;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_custody::{CustodyError, Keystore, LocalCustody, Passphrase};
use pursekeeper_journal::{AuditVerifier, AuditVerifierError, JournalError, SqliteJournal};
use pursekeeper_policy::{Bundle, BundleErrors, BundleOptions};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{Config, Limits};
use crate::identity::Identities;
use crate::sinks::{SinkState, Sinks, SinksError};
pub use checkpoints::CheckpointError;
pub(crate) use checkpoints::{NOTE_LEN_MAX, uphold};
pub use governance::BundleRefused;

use checkpoints::Checkpoints;

use crate::turnstile::{Capacity, Problem, Turnstile, Upkeep};

/// Largest gRPC message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// How often the clock is looked at, and a journal that cannot be written is tried again.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// The gate of a real sidecar.
pub type Gatehouse = Turnstile<SqliteJournal, Bundle>;

/// Why a sidecar does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The governance bundle is invalid.
    #[error(transparent)]
    Bundle(#[from] BundleErrors),
    /// The governance bundle does not fit what happened under earlier ones.
    #[error(transparent)]
    BundleRefused(#[from] BundleRefused),
    /// The public half of the audit key cannot be used.
    #[error(transparent)]
    Verifier(#[from] AuditVerifierError),
    /// A sink of the audit trail could never be used.
    #[error("`audit.sinks`: {0}")]
    Sink(#[from] SinksError),
    /// A key cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The keystore names no journal.
    #[error("the keystore names no journal: create one with `pursekeeper journal init`")]
    Unbound,
    /// A socket cannot be opened.
    #[error("cannot listen on `{path}`: {source}", path = path.display())]
    Listen {
        /// Which socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Segments cannot be put anywhere.
    #[error("`audit.archive.dir`: `{path}` cannot be made: {source}", path = path.display())]
    Archive {
        /// Which directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A server failed.
    #[error("a listener failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The journal is not what a checkpoint says.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A network cannot be watched.
    #[error("`chains`: {0}")]
    Chain(String),
    /// The journal is in a state only a restart can clear.
    #[error("stopped, because the journal's state on disk is unknown: {0}; restart to read it afresh")]
    Fatal(String),
}

impl Upkeep for SqliteJournal {
    fn is_fatal(error: &JournalError) -> bool {
        error.is_fatal()
    }

    fn probe(&mut self) -> Result<(), JournalError> {
        self.writable_probe()
    }

    fn room(&self) -> Result<(), JournalError> {
        Self::room(self)
    }

    fn upkeep(&mut self) -> Result<(), JournalError> {
        Self::upkeep(self)
    }

    fn last_seq(&self) -> u64 {
        Self::last_seq(self)
    }
}

/// A sidecar that is ready to listen: bundle valid, keys loaded, journal open.
pub struct Sidecar {
    gatehouse: Arc<Gatehouse>,
    custody: Arc<LocalCustody>,
    identities: Identities,
    config: Config,
    chains: chains::Chains,
    storage: storage::Storage,
    checkpoints: Checkpoints,
    sinks: Option<Sinks>,
    sink_states: Vec<Arc<SinkState>>,
}

impl Sidecar {
    /// Loads everything and opens the journal. Nothing listens yet.
    ///
    /// # Errors
    /// [`ServeError`] naming what is wrong; nothing was started.
    pub fn open(config: Config) -> Result<Self, ServeError> {
        let bundle = Bundle::load(&config.policies, BundleOptions { dev: config.dev })?;
        for warning in bundle.warnings() {
            warn!(%warning, "bundle");
        }
        let keystore = Keystore::open(&config.keystore.dir)?;
        let passphrase = Passphrase::from_file(&config.keystore.passphrase_file)?;
        let journal_id = keystore.journal_id().ok_or(ServeError::Unbound)?;
        let mut journal = SqliteJournal::open(&config.journal, journal_id)?;
        journal.bound_log(config.audit.archive.disk.wal_bytes_max);
        let audit_key = keystore.load_audit_key(&passphrase)?;
        checkpoints::uphold(&config, &AuditVerifier::parse(&audit_key.verifier_key(journal_id))?)?;
        let sinks = Sinks::open(&config.audit.sinks, &config.journal, &mut journal)?;
        governance::remembers(bundle.registry(), &journal)?;
        let expected = governance::expected(bundle.registry(), &journal);
        let custody = keystore.load_expected(&passphrase, &expected)?;
        for (address, wallet) in expected.iter().filter(|(address, _)| !custody.holds(**address)) {
            warn!(%wallet, %address, "there is no key for this wallet, so it signs nothing: recover it from its backup");
        }
        load_revoked(&keystore, &passphrase, &custody, &journal)?;
        if config.dev {
            warn!(
                "dev: true lets one user be sidecar, agent and operator at once; never use it with real money"
            );
        }
        let Limits { queue_len_max, batch_len_max, .. } = config.limits;
        let gatehouse = Turnstile::new(
            journal,
            Arc::new(bundle),
            config.limits.settings(),
            Clock::new(),
            Capacity { queue_len_max, batch_len_max },
        );
        gatehouse.note_keys(custody.addresses().into_iter().collect());
        let own_uid = rustix::process::geteuid().as_raw();
        let identities = Identities::new(own_uid, config.dev);
        let checkpoints = Checkpoints::new(gatehouse.clone(), audit_key, config.audit.checkpoint.clone());
        Ok(Self {
            gatehouse,
            custody: Arc::new(custody),
            identities,
            config,
            chains: chains::Chains::default(),
            storage: storage::Storage::default(),
            checkpoints,
            sink_states: sinks.states(),
            sinks: Some(sinks),
        })
    }

    /// The gate, to look at from the same process.
    #[must_use]
    pub fn gatehouse(&self) -> Arc<Gatehouse> {
        self.gatehouse.clone()
    }

    /// Listens until `stop` is done, then lets calls under way finish.
    ///
    /// # Errors
    /// [`ServeError`] when a socket cannot be opened, or the journal broke.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let sinks = self.sinks.take();
        let (stopping, stopped) = watch::channel(false);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<SignerServer<signer::SignerService>>().await;
        let limits = &self.config.limits;
        let signer = signer::SignerService::new(&self);
        let endings = governance::Endings::new(&self);
        let governance = governance::GovernanceService::new(&self, endings.clone());
        let audit = audit::AuditService::new(&self, stopped.clone());
        // Before anybody is listened to: what was interrupted, and what a bundle that is new to the journal entails.
        let keeper = governance::Keeper { gatehouse: self.gatehouse.clone(), endings: endings.clone() };
        endings.finish().await;
        keeper.round().await;
        let agents = listener::bind(&self.config.listeners.agents, limits.connections_max)?;
        let operators = listener::bind(&self.config.listeners.operators, limits.connections_max)?;

        let for_agents = server(limits)
            .add_service(health.clone())
            .add_service(reflection())
            .add_service(SignerServer::new(signer).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .serve_with_incoming_shutdown(agents, done(stopped.clone()));
        let for_operators = server(limits)
            .add_service(health)
            .add_service(reflection())
            .add_service(GovernanceServer::new(governance).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(AuditServer::new(audit).max_decoding_message_size(MESSAGE_BYTES_MAX))
            .serve_with_incoming_shutdown(operators, done(stopped.clone()));
        info!(
            agents = %self.config.listeners.agents.path.display(),
            operators = %self.config.listeners.operators.path.display(),
            bundle = %self.gatehouse.policy().digest(),
            "serving"
        );
        let sinks = sinks.map(|sinks| sinks.feed(&self.gatehouse));
        self.watch_chains(&stopped)?;
        self.serve_metrics(&stopped).await?;
        self.retain(&stopped)?;
        let checkpoints = tokio::spawn(self.checkpoints.clone().run(stopped.clone()));
        let broken = tokio::spawn(watch_health(self.gatehouse.clone(), keeper, reporter, stopped.clone()));
        let serving = tokio::spawn(async { tokio::try_join!(for_agents, for_operators) });

        let drain_secs_max = limits.drain_secs_max;
        let mut broken = broken;
        let problem = tokio::select! {
            () = stop => None,
            problem = &mut broken => problem.ok().flatten(),
        };
        info!("stopping");
        stopping.send_replace(true);
        match tokio::time::timeout(Duration::from_secs(drain_secs_max), serving).await {
            Ok(Ok(result)) => drop(result?),
            Ok(Err(crashed)) => error!(%crashed, "a listener ended badly"),
            Err(_) => warn!(drain_secs_max, "calls under way were cut off"),
        }
        // What was signed last is recorded, then covered by the last checkpoint, then sent on.
        self.gatehouse.settle();
        let _ = checkpoints.await;
        self.checkpoints.run_last().await;
        if let Some(sinks) = sinks {
            sinks.finish().await;
        }
        for listener in [&self.config.listeners.agents, &self.config.listeners.operators] {
            // The socket of a process that is gone only confuses; failing to remove it harms nobody.
            let _ = std::fs::remove_file(&listener.path);
        }
        problem.map_or(Ok(()), |problem| Err(ServeError::Fatal(problem.message)))
    }

    /// Lets Prometheus scrape, if there is a port for it.
    async fn serve_metrics(&self, stopped: &watch::Receiver<bool>) -> Result<(), ServeError> {
        let Some(address) = self.config.listeners.metrics else { return Ok(()) };
        let listener = scrape::bind(address).await;
        let listener =
            listener.map_err(|source| ServeError::Listen { path: address.to_string().into(), source })?;
        let scraped = scrape::Scraped {
            gatehouse: self.gatehouse.clone(),
            chains: self.chains.clone(),
            storage: self.storage.clone(),
            sinks: self.sink_states.clone(),
        };
        tokio::spawn(scrape::serve(listener, scraped, stopped.clone()));
        Ok(())
    }

    /// Archives, deletes and watches the disk, until the sidecar stops.
    fn retain(&self, stopped: &watch::Receiver<bool>) -> Result<(), ServeError> {
        let config = self.config.audit.archive.clone();
        if let Some(dir) = &config.dir {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|source| ServeError::Archive { path: dir.clone(), source })?;
        }
        let retention = retention::Retention {
            gatehouse: self.gatehouse.clone(),
            journal: self.config.journal.clone(),
            config,
            required: self.config.audit.required_sinks(),
            verifier: Some(self.checkpoints.verifier_key(self.gatehouse.with_journal(SqliteJournal::id))),
            storage: self.storage.clone(),
            stopped: stopped.clone(),
        };
        tokio::spawn(retention.run());
        Ok(())
    }

    /// Asks every configured network what became of signatures, until the sidecar stops.
    fn watch_chains(&self, stopped: &watch::Receiver<bool>) -> Result<(), ServeError> {
        for (network, chain) in &self.config.chains {
            let (network, watcher) = chain.watcher(network).map_err(ServeError::Chain)?;
            let watch = chains::Watch {
                network,
                watcher,
                interval: Duration::from_secs(chain.interval_secs),
                gatehouse: self.gatehouse.clone(),
                ledger: holds::Ledger::new(&self.config.journal),
                chains: self.chains.clone(),
            };
            tokio::spawn(watch.run(stopped.clone()));
        }
        Ok(())
    }
}

/// Follows what keeps the gate from signing: says NOT_SERVING while the journal cannot be written or the clock cannot
/// be believed, tries the journal again, records what follows without anybody asking, and returns when only a restart can
/// help.
async fn watch_health(
    gatehouse: Arc<Gatehouse>,
    keeper: governance::Keeper,
    reporter: HealthReporter,
    mut stopped: watch::Receiver<bool>,
) -> Option<Problem> {
    let mut told: Option<Vec<String>> = None;
    loop {
        let problem = gatehouse.problem();
        let problems = gatehouse.problems();
        if told.as_ref() != Some(&problems) {
            if problems.is_empty() {
                reporter.set_serving::<SignerServer<signer::SignerService>>().await;
                if told.is_some() {
                    info!("signing goes on");
                }
            } else {
                reporter.set_not_serving::<SignerServer<signer::SignerService>>().await;
                error!(?problems, "nothing is signed");
            }
            told = Some(problems);
        }
        if problem.as_ref().is_some_and(|problem| problem.fatal) {
            return problem;
        }
        tokio::select! {
            () = gatehouse.problem_changed() => {}
            () = tokio::time::sleep(PROBE_INTERVAL) => {
                let gatehouse = gatehouse.clone();
                // Both may wait for the disk.
                let upkeep = move || if problem.is_some() { gatehouse.probe() } else { gatehouse.upkeep() };
                let _ = tokio::task::spawn_blocking(upkeep).await;
                keeper.round().await;
            }
            _ = stopped.changed() => return None,
        }
    }
}

/// Loads the keys of wallets that were revoked and not destroyed yet: they still have to void what they signed.
fn load_revoked(
    keystore: &Keystore,
    passphrase: &Passphrase,
    custody: &LocalCustody,
    journal: &SqliteJournal,
) -> Result<(), CustodyError> {
    for (subject, _) in journal.revoked() {
        if let Subject::Wallet(address) = subject
            && let Some(key) = keystore.load_address(passphrase, address)?
        {
            custody.adopt(key);
        }
    }
    Ok(())
}

fn server(limits: &Limits) -> Server {
    Server::builder()
        .timeout(Duration::from_millis(limits.deadline_ms_max))
        .max_concurrent_streams(limits.streams_per_connection_max)
}

fn reflection()
-> tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection> {
    let built = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pursekeeper_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    match built {
        Ok(service) => service,
        Err(error) => unreachable!("the embedded descriptors do not parse: {error}"),
    }
}

async fn done(mut stopped: watch::Receiver<bool>) {
    // The sender going away means the same: stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
