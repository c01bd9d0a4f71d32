//! Asks the networks what became of signatures and what wallets hold, round after round, and hands it to the gate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pursekeeper_api::v1;
use pursekeeper_core::gate::{Answer, Ask, EvidenceAsk};
use pursekeeper_core::ports::{Hold, Policy as _};
use pursekeeper_core::{
    Address, AssetId, Balance, ChainId, EvmAddress, Fate, Observation, TransferMethod, UnixSeconds,
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::Gatehouse;
use super::holds::Ledger;
use crate::chain::{Authorization, ChainError, Finding, QUESTIONS_MAX, Question, Watcher};

/// What the watchers saw last, by network.
#[derive(Clone, Debug, Default)]
pub(super) struct Chains(Arc<Mutex<BTreeMap<ChainId, Report>>>);

#[derive(Clone, Debug, Default)]
struct Report {
    block: u64,
    read_at: u64,
    problem: String,
}

/// One network being watched.
pub(super) struct Watch {
    pub(super) network: ChainId,
    pub(super) watcher: Watcher,
    pub(super) interval: Duration,
    pub(super) gatehouse: Arc<Gatehouse>,
    pub(super) ledger: Ledger,
    pub(super) chains: Chains,
}

/// Why a round brought nothing.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("{}", .0.message())]
    Journal(tonic::Status),
}

impl Chains {
    /// For people who ask how it goes.
    pub(super) fn report(&self) -> Vec<v1::ChainStatus> {
        let reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |(network, report): (&ChainId, &Report)| v1::ChainStatus {
            network: network.to_string(),
            block: report.block,
            read_at: report.read_at,
            problem: report.problem.clone(),
        };
        reports.iter().map(status).collect()
    }

    fn note(&self, network: &ChainId, change: impl FnOnce(&mut Report)) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(reports.entry(network.clone()).or_default());
    }
}

impl Watch {
    /// Goes round until the sidecar stops. A round that fails frees nothing, and the next one tries again.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        self.chains.note(&self.network, |_| {});
        let mut after_seq = 0;
        loop {
            let round = tokio::select! {
                round = self.round(&mut after_seq) => round,
                _ = stopped.changed() => return,
            };
            let problem = round.err().map(|error| error.to_string()).unwrap_or_default();
            let now = self.gatehouse.now().unix_seconds().0;
            self.chains.note(&self.network, |report| {
                if problem.is_empty() {
                    report.read_at = now;
                } else if report.problem != problem {
                    warn!(network = %self.network, %problem, "the chain cannot be read: no money is freed");
                }
                report.problem = problem;
            });
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                _ = stopped.changed() => return,
            }
        }
    }

    async fn round(&mut self, after_seq: &mut u64) -> Result<(), RoundError> {
        let now = self.gatehouse.now().unix_seconds();
        let page = self.ledger.unresolved(self.network.clone(), *after_seq, QUESTIONS_MAX).await;
        let holds = page.map_err(RoundError::Journal)?;
        // The next round asks about the next ones, and after the last about the first again.
        *after_seq = holds.last().filter(|_| holds.len() >= QUESTIONS_MAX).map_or(0, |hold| hold.seq);
        let questions: Vec<Question> = holds.iter().map(question).collect();
        let round = self.watcher.look(&questions, now).await?;
        for fault in &round.faults {
            warn!(network = %self.network, %fault, "a node could not be believed");
        }
        let block = round.heads.iter().map(|(_, head)| head.number).max().unwrap_or(0);
        self.chains.note(&self.network, |report| report.block = block);
        for answer in round.answers {
            match answer.result {
                Ok((finding, nodes)) => self.resolve(answer.hold, finding, nodes).await,
                Err(error) => warn!(network = %self.network, hold = answer.hold, %error, "nothing is freed"),
            }
        }
        self.read_balances(now).await
    }

    /// Hands what was found to the gate, which decides whether it fits.
    async fn resolve(&self, hold: u64, finding: Finding, nodes: u32) {
        let (fate, block, block_hash, transaction) = match finding {
            Finding::Alive => return,
            Finding::Dead { block, block_hash } => (Fate::Dead, block, block_hash, None),
            Finding::Canceled { transaction, block, block_hash } => {
                (Fate::Dead, block, block_hash, Some(transaction))
            }
            Finding::Settled { amount, transaction, block, block_hash } => {
                (Fate::Settled { amount }, block, block_hash, transaction)
            }
        };
        let network = self.network.clone();
        let observation = Observation { network, block, block_hash, transaction, nodes };
        match self.gatehouse.pass(Ask::Evidence(EvidenceAsk { hold, fate, observation })).await {
            Ok(Answer::Resolved { decision_id, state }) => {
                info!(decision = %decision_id, hold, state = state.as_str(), block, "a hold is resolved");
            }
            // Somebody else resolved it in between.
            Ok(_) => {}
            Err(fault) => warn!(hold, %fault, "the evidence is recorded in a later round"),
        }
    }

    async fn read_balances(&self, now: UnixSeconds) -> Result<(), RoundError> {
        let policy = self.gatehouse.policy();
        let registry = policy.registry();
        let wallets = registry.wallets.values().filter(|wallet| wallet.networks.contains(&self.network));
        let assets: Vec<&AssetId> =
            registry.assets.keys().filter(|asset| asset.network == self.network).collect();
        let pairs: Vec<(Address, AssetId)> = wallets
            .flat_map(|wallet| assets.iter().map(|asset| (wallet.address, (*asset).clone())))
            .collect();
        for pairs in pairs.chunks(QUESTIONS_MAX) {
            let of: Vec<_> = pairs.iter().map(|(wallet, asset)| (evm(asset.address), evm(*wallet))).collect();
            let read = self.watcher.balances(&of, now).await?;
            let observed_at = read.oldest.timestamp;
            let known = pairs.iter().zip(read.amounts).filter_map(|((wallet, asset), amount)| match amount {
                Ok(amount) => Some((*wallet, asset.clone(), Balance { amount, observed_at })),
                Err(error) => {
                    warn!(network = %self.network, %wallet, %error, "a balance cannot be read");
                    None
                }
            });
            self.gatehouse.note_balances(known.collect());
        }
        Ok(())
    }
}

/// What is asked about a hold.
fn question(hold: &Hold) -> Question {
    let intent = &hold.permit.intent;
    let authorization = match intent.terms.method {
        TransferMethod::Eip3009 => Authorization::Eip3009 {
            authorizer: evm(intent.wallet_address),
            nonce: intent.nonce,
            valid_after: intent.valid_after,
            valid_before: intent.valid_before,
        },
        TransferMethod::Permit2 => Authorization::Permit2 {
            owner: evm(intent.wallet_address),
            nonce: intent.nonce,
            valid_after: intent.valid_after,
            deadline: intent.deadline(),
            scheme: intent.terms.scheme,
        },
    };
    let skew_secs = hold.permit.held_until.0.saturating_sub(intent.valid_before.0);
    Question {
        hold: hold.seq,
        asset: evm(intent.terms.asset.address),
        payee: evm(intent.terms.payee),
        amount: intent.terms.amount,
        // The signature was neither valid nor made before, as far as clocks agree: an app may let it begin long ago.
        signed_at: intent.valid_after.max(hold.at.minus(skew_secs)),
        dead_at: hold.permit.held_until,
        authorization,
    }
}

fn evm(address: Address) -> EvmAddress {
    let Address::Evm(evm) = address;
    evm
}

#[cfg(test)]
mod tests {
    use pursekeeper_core::x402::{Scheme, Terms};
    use pursekeeper_core::{
        AgentName, Amount, Demand, Digest, Endpoint, HoldState, Intent, OriginMatch, Permit, RequestId, Usd,
        WalletName, WorkflowName,
    };

    use super::*;

    /// A hold of a signature that is valid from 1000 to 1100.
    fn hold(scheme: Scheme, method: TransferMethod) -> Hold {
        let address = |byte| Address::Evm(EvmAddress::from_bytes([byte; 20]));
        let intent = Intent {
            request_id: RequestId::parse("a").unwrap(),
            agent: AgentName::parse("researcher").unwrap(),
            workflow: WorkflowName::parse("review").unwrap(),
            wallet: WalletName::parse("research").unwrap(),
            wallet_address: address(1),
            service: None,
            endpoint: Endpoint::parse("GET", "https://api.example.com/").unwrap(),
            origin: OriginMatch::Match,
            demand: Demand::TypedData,
            terms: Terms {
                scheme,
                method,
                asset: AssetId { network: ChainId::Eip155(84532), address: address(2) },
                payee: address(3),
                amount: Amount::parse("5").unwrap(),
            },
            domain: Digest([4; 32]),
            usd: Usd::from_units(5),
            valid_after: UnixSeconds(1000),
            valid_before: UnixSeconds(1100),
            nonce: [5; 32],
            allowance: None,
        };
        let held_until = UnixSeconds(1160);
        let permit = Permit { intent, policies: Vec::new(), held_until, warnings: Vec::new() };
        Hold { seq: 7, at: UnixSeconds(1060), permit, state: HoldState::Held, claims: 0 }
    }

    #[test]
    fn a_signature_that_begins_long_ago_is_looked_for_since_it_was_made() {
        let mut hold = hold(Scheme::Exact, TransferMethod::Eip3009);
        hold.permit.intent.valid_after = UnixSeconds(0);
        assert_eq!(question(&hold).signed_at, UnixSeconds(1000));
    }

    #[test]
    fn every_hold_can_be_asked_about() {
        let address = |byte| EvmAddress::from_bytes([byte; 20]);
        let upto = Scheme::Upto { facilitator: Address::Evm(address(6)) };
        let permit2 = |scheme| Authorization::Permit2 {
            owner: address(1),
            nonce: [5; 32],
            valid_after: UnixSeconds(1000),
            // Permit2 takes it up to its deadline, a token before its end.
            deadline: UnixSeconds(1099),
            scheme,
        };
        let eip3009 = Authorization::Eip3009 {
            authorizer: address(1),
            nonce: [5; 32],
            valid_after: UnixSeconds(1000),
            valid_before: UnixSeconds(1100),
        };
        for (scheme, method, authorization) in [
            (Scheme::Exact, TransferMethod::Eip3009, eip3009),
            (Scheme::Exact, TransferMethod::Permit2, permit2(Scheme::Exact)),
            (upto, TransferMethod::Permit2, permit2(upto)),
        ] {
            let expected = Question {
                hold: 7,
                asset: address(2),
                payee: address(3),
                amount: Amount::parse("5").unwrap(),
                signed_at: UnixSeconds(1000),
                dead_at: UnixSeconds(1160),
                authorization,
            };
            assert_eq!(question(&hold(scheme, method)), expected);
        }
    }
}
