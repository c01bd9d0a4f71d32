//! What a review meeting asks: who owns what, who spent what, what nobody uses, what is left of what ended.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_api::v1;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{
    Address, Endpoint, EvmAddress, Moment, Status as Standing, Subject, UnixSeconds, WorkflowName,
};
use pursekeeper_journal::{JournalError, Reader, SqliteJournal, VolumeRow};
use tonic::Status;

use super::keeper::has_ended;
use super::{GovernanceService, declared_of};

/// A wallet that signed nothing for so many days is unused, when nobody says otherwise.
const UNUSED_DAYS: u32 = 30;
const DAY_SECS: u64 = 86_400;
/// Most rows of one list. A report is read by people.
const ROWS_MAX: usize = 1_000;

/// What the records say that a report needs.
struct Read {
    volumes: Vec<VolumeRow>,
    last_used: BTreeMap<Address, UnixSeconds>,
    called: BTreeSet<String>,
    times: BTreeMap<u64, Moment>,
}

fn read(reader: &Reader, seqs: &BTreeSet<u64>) -> Result<Read, JournalError> {
    let mut times = BTreeMap::new();
    for seq in seqs {
        times.extend(reader.time_of(*seq)?.map(|time| (*seq, time)));
    }
    Ok(Read { volumes: reader.volumes()?, last_used: reader.last_used()?, called: reader.called()?, times })
}

impl GovernanceService {
    /// Looks at registry, statuses and records.
    pub(super) async fn report(&self, request: v1::ReportRequest) -> Result<v1::ReportResponse, Status> {
        let unused_days = match request.unused_days {
            0 => UNUSED_DAYS,
            days => days,
        };
        let policy = self.gatehouse.policy();
        let registry = policy.registry();
        let now = self.gatehouse.now();
        let ended = self.gatehouse.with_journal(|journal| ended(registry, journal, now.unix_seconds()));
        let seqs = ended.iter().flat_map(|end| [end.ended_seq, end.wallet_seq]).flatten().collect();
        let read = self.holds.read(move |reader| read(reader, &seqs)).await?;
        let since = now.unix_seconds().minus(u64::from(unused_days).saturating_mul(DAY_SECS));
        let wallets = self.wallets().await?.into_iter().map(|wallet| used(wallet, &read, since));
        let mut unused_endpoints = unused_endpoints(registry, &read.called);
        let more = read.volumes.len() > ROWS_MAX || unused_endpoints.len() > ROWS_MAX;
        unused_endpoints.truncate(ROWS_MAX);
        Ok(v1::ReportResponse {
            time_unix_ms: now.unix_ms,
            bundle_digest: policy.digest().to_string(),
            unused_days,
            wallets: wallets.collect(),
            volumes: read.volumes.iter().take(ROWS_MAX).map(|row| volume(registry, row)).collect(),
            unused_endpoints,
            ended_workflows: ended.iter().map(|end| end.told(&read.times)).collect(),
            orphans: self.gatehouse.with_journal(|journal| orphans(registry, journal, now.unix_seconds())),
            more,
        })
    }
}

fn used(wallet: v1::GovernedWallet, read: &Read, since: UnixSeconds) -> v1::WalletReport {
    let address = EvmAddress::parse(&wallet.address).ok().map(Address::from);
    let last = address.and_then(|address| read.last_used.get(&address)).copied();
    v1::WalletReport {
        wallet: Some(wallet),
        last_used: last.map_or(0, |last| last.0),
        unused: last.is_none_or(|last| last < since),
    }
}

fn volume(registry: &Registry, row: &VolumeRow) -> v1::Volume {
    let VolumeRow { workflow, wallet, endpoint, payments, usd } = row;
    let name = registry.wallet_of(*wallet).map(|(name, _)| name.to_string());
    v1::Volume {
        workflow: workflow.to_string(),
        wallet: name.unwrap_or_else(|| wallet.to_string()),
        endpoint: endpoint.clone(),
        payments: *payments,
        usd: usd.to_string(),
    }
}

/// Method and path pattern of every service that some workflow uses and nobody has called.
fn unused_endpoints(registry: &Registry, called: &BTreeSet<String>) -> Vec<v1::UnusedEndpoint> {
    let calls: Vec<Endpoint> = called
        .iter()
        .filter_map(|call| call.split_once(' '))
        .filter_map(|(method, url)| Endpoint::parse(method, url).ok())
        .collect();
    let mut unused = Vec::new();
    for (name, service) in &registry.services {
        for method in &service.methods {
            for path in &service.paths {
                let hit = |call: &&Endpoint| {
                    call.method() == method && *call.origin() == service.origin && path.matches(call.path())
                };
                if calls.iter().any(|call| hit(&call)) {
                    continue;
                }
                unused.push(v1::UnusedEndpoint {
                    service: name.to_string(),
                    method: method.clone(),
                    pattern: format!("{}{}", service.origin, path.as_str()),
                });
            }
        }
    }
    unused
}

/// A workflow that ended, and a wallet that only served it.
struct Ended {
    workflow: WorkflowName,
    status: &'static str,
    /// The record of the revocation, or the declared instant.
    ended_seq: Option<u64>,
    expires: Option<UnixSeconds>,
    wallet: String,
    wallet_seq: Option<u64>,
    suspended: bool,
}

impl Ended {
    fn told(&self, times: &BTreeMap<u64, Moment>) -> v1::EndedWorkflow {
        let at = |seq: Option<u64>| seq.and_then(|seq| times.get(&seq)).map(|time| time.unix_ms);
        let ended_unix_ms =
            at(self.ended_seq).or(self.expires.map(|expires| expires.0.saturating_mul(1_000))).unwrap_or(0);
        // One that was suspended before is suspended at once.
        let suspended_after_ms = at(self.wallet_seq).unwrap_or(0).saturating_sub(ended_unix_ms);
        v1::EndedWorkflow {
            workflow: self.workflow.to_string(),
            status: self.status.to_owned(),
            ended_unix_ms,
            wallet: self.wallet.clone(),
            suspended_after_ms,
            suspended: self.suspended,
        }
    }
}

/// Every pair of an ended workflow and a wallet that served it and serves nothing else that goes on.
fn ended(registry: &Registry, journal: &SqliteJournal, now: UnixSeconds) -> Vec<Ended> {
    let mut found = Vec::new();
    for (name, workflow) in &registry.workflows {
        if !has_ended(registry, journal, name, now) {
            continue;
        }
        let subject = Subject::Workflow(name.clone());
        let revoked = journal.status(&registry.subjects(&subject)) == Standing::Revoked;
        let expired = workflow.expires.filter(|expires| now >= *expires);
        for (wallet, declared) in &registry.wallets {
            let only = declared.workflows.contains(name)
                && declared.workflows.iter().all(|other| has_ended(registry, journal, other, now));
            if !only {
                continue;
            }
            let of = Subject::Wallet(declared.address);
            let status = declared_of(registry, &of, now).strictest(journal.status(std::slice::from_ref(&of)));
            found.push(Ended {
                workflow: name.clone(),
                status: if revoked { "revoked" } else { "expired" },
                ended_seq: revoked.then(|| journal.status_seq(&subject)).flatten(),
                expires: expired,
                wallet: wallet.to_string(),
                wallet_seq: journal.status_seq(&of),
                suspended: status.is_stopped(),
            });
        }
    }
    found
}

/// What serves nothing any more.
fn orphans(registry: &Registry, journal: &SqliteJournal, now: UnixSeconds) -> Vec<v1::Subject> {
    let over = |name: &WorkflowName| has_ended(registry, journal, name, now);
    let wire = |kind: &str, name: String| v1::Subject { kind: kind.to_owned(), name };
    let agents = registry.agents.iter().filter(|(_, agent)| agent.workflows.iter().all(over));
    let wallets = registry.wallets.iter().filter(|(_, wallet)| wallet.workflows.iter().all(over));
    let served = |service: &pursekeeper_core::ServiceName| {
        registry.workflows.iter().any(|(name, workflow)| !over(name) && workflow.services.contains(service))
    };
    let services = registry.services.keys().filter(|service| !served(service));
    let agents = agents.map(|(name, _)| wire("agent", name.to_string()));
    let wallets = wallets.map(|(name, _)| wire("wallet", name.to_string()));
    agents.chain(wallets).chain(services.map(|name| wire("service", name.to_string()))).collect()
}
