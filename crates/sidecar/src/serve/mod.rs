//! The running sidecar: everything wired together, from sockets to the journal.

mod audit;
mod calls;
mod chains;
mod checkpoints;
mod convert;
mod entrance;
mod governance;
mod health;
mod holds;
mod listener;
mod payees;
mod peers;
mod reload;
mod retention;
mod scrape;
mod seldom;
mod services;
mod signer;
mod storage;

use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pursekeeper_api::v1::signer_server::SignerServer;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::{ReloadKind, Subject};
use pursekeeper_custody::{CustodyError, Keystore, LocalCustody, Passphrase};
use pursekeeper_journal::{AuditVerifier, AuditVerifierError, JournalError, SqliteJournal};
use pursekeeper_policy::{Bundle, BundleErrors, BundleOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{Config, Limits, Listener};
use crate::identity::{Identities, IdentitiesError, OnDisk, TlsError};
use crate::sinks::{SinkState, Sinks, SinksError};
pub use checkpoints::CheckpointError;
pub(crate) use checkpoints::{NOTE_LEN_MAX, uphold};
pub use governance::BundleRefused;

use checkpoints::Checkpoints;
pub(crate) use health::Check;
use health::{HealthPort, Outlook};
pub use reload::SetLevel;
use reload::{FollowedBundle, FollowedConfig, FollowedFiles, FollowedShadow, Follower, Reloads};

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
    /// The shadow bundle is invalid.
    #[error("`shadow_policies`: {0}")]
    Shadow(#[source] BundleErrors),
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
    /// Callers cannot be identified as it is configured.
    #[error(transparent)]
    Identities(#[from] IdentitiesError),
    /// A listener's fields do not fit together.
    #[error("`listeners`: {0}")]
    Listener(String),
    /// A listener cannot prove who it is.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    identities: Arc<Identities>,
    config: Config,
    chains: chains::Chains,
    storage: storage::Storage,
    checkpoints: Checkpoints,
    sinks: Option<Sinks>,
    sink_states: Vec<Arc<SinkState>>,
    outlook: Outlook,
    reloads: Reloads,
    /// The configuration file and what puts another log level in force, where somebody told.
    followed: Option<(PathBuf, SetLevel)>,
}

impl Sidecar {
    /// Loads everything and opens the journal. Nothing listens yet.
    ///
    /// # Errors
    /// [`ServeError`] naming what is wrong; nothing was started.
    pub fn open(config: Config) -> Result<Self, ServeError> {
        let options = BundleOptions { dev: config.dev };
        let bundle = Bundle::load(&config.policies, options)?;
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
        governance::follows(&bundle, &journal)?;
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
        if let Some(dir) = &config.shadow_policies {
            let shadow = Bundle::load(dir, options).map_err(ServeError::Shadow)?;
            gatehouse.set_shadow(Arc::new(shadow));
        }
        gatehouse.note_keys(custody.addresses().into_iter().collect());
        let own_uid = rustix::process::geteuid().as_raw();
        let identities = Arc::new(Identities::open(&config, own_uid)?);
        services::warn_of_mistakes(&config, gatehouse.policy().registry(), &identities);
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
            outlook: Outlook::default(),
            reloads: Reloads::default(),
            followed: None,
        })
    }

    /// Follows the configuration file as well, to put another log level in force.
    #[must_use]
    pub fn following(mut self, file: PathBuf, set_level: SetLevel) -> Self {
        self.followed = Some((file, set_level));
        self
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
        reporter.set_not_serving::<SignerServer<signer::SignerService>>().await;
        let health_port = self.open_health(health.clone())?;
        let limits = &self.config.limits;
        let signer = signer::SignerService::new(&self);
        let endings = governance::Endings::new(&self);
        let governance = Arc::new(governance::GovernanceService::new(&self, endings.clone()));
        let audit = audit::AuditService::new(&self, stopped.clone());
        // Before anybody is listened to: what was interrupted, and what a bundle that is new to the journal entails.
        let keeper = governance::Keeper { gatehouse: self.gatehouse.clone(), endings: endings.clone() };
        endings.finish().await;
        keeper.round().await;
        let mut bound = Vec::new();
        for listener in &self.config.listeners {
            bound.push(listener::bind(listener, limits, (&self.identities, &self.gatehouse)).await?);
        }
        let certificates = bound.iter().filter_map(|bound| Some(bound.tls.as_ref()?.on_disk())).collect();
        self.outlook.note(self.gatehouse.checks());
        if self.gatehouse.problems().is_empty() {
            reporter.set_serving::<SignerServer<signer::SignerService>>().await;
        }
        let services = services::Services {
            signer: Arc::new(signer),
            governance: governance.clone(),
            audit: Arc::new(audit),
            health,
            calls: calls::Calls(self.gatehouse.clone()),
        };
        let mut serving = JoinSet::new();
        for bound in bound {
            let router = services.router(limits, bound.door.serves);
            serving.spawn(router.serve_with_incoming_shutdown(bound.accept(), done(stopped.clone())));
        }
        info!(listeners = self.config.listeners.len(), bundle = %self.gatehouse.policy().digest(), "serving");
        let sinks = sinks.map(|sinks| sinks.feed(&self.gatehouse));
        self.watch_chains(&stopped)?;
        self.retain(&stopped)?;
        let checkpoints = tokio::spawn(self.checkpoints.clone().run(stopped.clone()));
        let broken = tokio::spawn(watch_health(
            self.gatehouse.clone(),
            self.outlook.clone(),
            keeper,
            reporter.clone(),
            stopped.clone(),
        ));
        self.follow(governance, certificates, &stopped);
        self.outlook.serving();
        let drain_secs_max = self.config.limits.drain_secs_max;
        let mut broken = broken;
        let problem = tokio::select! {
            () = stop => None,
            problem = &mut broken => problem.ok().flatten(),
        };
        info!("stopping");
        // Whoever sends payments is told before anything is closed.
        self.outlook.stopping();
        reporter.set_not_serving::<SignerServer<signer::SignerService>>().await;
        stopping.send_replace(true);
        match tokio::time::timeout(Duration::from_secs(drain_secs_max), services::drained(&mut serving)).await
        {
            Ok(result) => result?,
            Err(_) => warn!(drain_secs_max, "calls under way were cut off"),
        }
        // What was signed last is recorded, then covered by the last checkpoint, then sent on.
        self.gatehouse.settle();
        let _ = checkpoints.await;
        self.checkpoints.run_last().await;
        if let Some(sinks) = sinks {
            sinks.finish().await;
        }
        for socket in self.config.listeners.iter().filter_map(Listener::socket) {
            // The socket of a process that is gone only confuses; failing to remove it harms nobody.
            let _ = std::fs::remove_file(socket);
        }
        drop(health_port);
        problem.map_or(Ok(()), |problem| Err(ServeError::Fatal(problem.message)))
    }

    /// Takes up what changes on disk, until the sidecar stops.
    fn follow(
        &mut self,
        governance: Arc<governance::GovernanceService>,
        certificates: Vec<Arc<dyn OnDisk>>,
        stopped: &watch::Receiver<bool>,
    ) {
        let follower = Follower {
            gatehouse: self.gatehouse.clone(),
            reloads: self.reloads.clone(),
            config: self.config.reload,
            stopped: stopped.clone(),
        };
        let certificates = self.identities.authorities().into_iter().chain(certificates).collect();
        for (kind, files) in [(ReloadKind::Tls, certificates), (ReloadKind::Jwks, self.identities.keys())] {
            if let Some(followed) = FollowedFiles::new(kind, files) {
                follower.follow(followed);
            }
        }
        tokio::spawn(services::stay_informed(self.identities.clone(), stopped.clone()));
        // What proves who somebody is renews itself, whoever decides about everything else.
        if !self.config.reload.watch {
            return;
        }
        follower.follow(FollowedBundle::new(governance, self.config.policies.clone()));
        if let Some(dir) = self.config.shadow_policies.clone() {
            let options = BundleOptions { dev: self.config.dev };
            follower.follow(FollowedShadow::new(self.gatehouse.clone(), options, dir));
        }
        if let Some((file, set_level)) = self.followed.take() {
            let config = self.config.clone();
            follower.follow(FollowedConfig::new(file, config, set_level, self.reloads.clone()));
        }
    }

    /// Answers probes and scrapes, if there is a port for them.
    fn open_health<H: Health>(&self, grpc: HealthServer<H>) -> Result<Option<HealthPort>, ServeError> {
        let Some(address) = self.config.health else { return Ok(None) };
        let scraped = scrape::Scraped {
            gatehouse: self.gatehouse.clone(),
            chains: self.chains.clone(),
            storage: self.storage.clone(),
            sinks: self.sink_states.clone(),
            journal: self.config.journal.clone(),
        };
        let opened = HealthPort::open(address, self.outlook.clone(), scraped, grpc);
        opened.map(Some).map_err(|source| ServeError::Listen { path: address.to_string().into(), source })
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
    outlook: Outlook,
    keeper: governance::Keeper,
    reporter: HealthReporter,
    mut stopped: watch::Receiver<bool>,
) -> Option<Problem> {
    let mut told: Option<Vec<String>> = None;
    loop {
        let problem = gatehouse.problem();
        outlook.note(gatehouse.checks());
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

async fn done(mut stopped: watch::Receiver<bool>) {
    // The sender going away means the same: stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
