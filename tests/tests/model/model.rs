//! What the gate must answer, in the plainest words, and what follows from the answer.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::U256;

use crate::book::{self, Hold, SKEW_SECS, State, USD_MAX};
use crate::clock::{Clock, Reading, Trust};
use crate::deed::{Deed, Signed, Told, Verb};
use crate::request::{Offer, Spec};
use crate::world::{
    AGENT_WORKFLOWS, Kind, SERVICE_PAYEES, WALLET_NETWORKS, WALLET_WORKFLOWS, WALLETS, WORKFLOW_SERVICES,
    World,
};

const VALIDITY_SECS_MAX: u64 = 300;
const BALANCE_AGE_SECS_MAX: u64 = 120;
const CLAIMS_MAX: u64 = 8;
/// From this many signatures of an agent for one call that may still be settled on, a policy of the tests' team denies.
pub(crate) const OUTSTANDING_MAX: usize = 5;
/// The wallet that may have a floor.
const FLOORED: usize = 1;

/// Codes in the order in which a request gets past them: of several, the last one is the answer.
const ORDER: [&str; 16] = [
    "WALLET_UNKNOWN",
    "WALLET_REQUIRED",
    "AMOUNT_ZERO",
    "AMOUNT_TOO_LARGE",
    "POLICY_DENIED",
    "CEILING_EXCEEDED",
    "BALANCE_UNKNOWN",
    "BALANCE_BELOW_FLOOR",
    "NETWORK_NOT_ALLOWED",
    "PAYEE_UNACCEPTED",
    "ENDPOINT_OUT_OF_SCOPE",
    "WALLET_NOT_IN_WORKFLOW",
    "AGENT_NOT_IN_WORKFLOW",
    "NOT_ACTIVE",
    "WORKFLOW_EXPIRED",
    "-",
];

/// Everything that must be so.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) world: World,
    pub(crate) holds: Vec<Hold>,
    pub(crate) clock: Clock,
    /// The last record.
    pub(crate) seq: u64,
    /// Stops and their ends, in order.
    pub(crate) stops: Vec<(Kind, String, bool)>,
    /// By wallet and asset: atomic units, and when they were read.
    pub(crate) balances: BTreeMap<(usize, usize), (U256, u64)>,
}

impl Model {
    pub(crate) fn new(begun: Reading) -> Self {
        Self {
            world: World::new(),
            holds: Vec::new(),
            clock: Clock::begun(begun),
            seq: 1,
            stops: Vec::new(),
            balances: BTreeMap::new(),
        }
    }

    /// The time that totals are those of: never before the latest record.
    pub(crate) fn counted_at(&self, at: Reading) -> u64 {
        at.wall_ms.max(self.clock.latest_ms) / 1_000
    }

    /// Judges a batch and takes note of it.
    pub(crate) fn pass(&mut self, now: Reading, deeds: &[Deed]) -> Vec<Told> {
        let trust = self.clock.trust(now);
        let at = self.clock.believed(now);
        deeds.iter().map(|deed| self.judge(deed, trust, at, now)).collect()
    }

    fn judge(&mut self, deed: &Deed, trust: Trust, at: Reading, now: Reading) -> Told {
        match deed {
            Deed::Pay(spec) => {
                let told = self.pay(spec, trust, at);
                self.record(at, false);
                told
            }
            Deed::Report { hold, caller, .. } => {
                let word = self.report(*hold, caller);
                self.noted(word, "REPORTED", at)
            }
            Deed::Evidence { hold, network, settled } => {
                let word = self.evidence(*hold, *network, *settled);
                self.noted(word, "RESOLVED", at)
            }
            Deed::Act(act) => {
                let word = self.act(act, trust, at.wall_ms / 1_000);
                let accepted = word == "ACTED" && matches!(act.verb, Verb::AcceptClock);
                self.record(if accepted { now } else { at }, accepted);
                Told { word, seq: Some(self.seq), signed: None }
            }
        }
    }

    /// A bundle came into force, which is recorded before anything that is judged under it: wallets that serve only what has
    /// expired are stopped with it. Which these are.
    pub(crate) fn comes_into_force(&mut self, now: Reading) -> BTreeSet<String> {
        let at = self.clock.believed(now);
        let over = |workflow: &usize| self.expired(*workflow, at.wall_ms / 1_000);
        let idle = (0..WALLETS.len()).filter(|wallet| WALLET_WORKFLOWS[*wallet].iter().all(over));
        let keys = idle.map(|wallet| self.world.key(Kind::Wallet, wallet));
        let stopped = |key: &String| {
            let last = self.stops.iter().rev().find(|(kind, name, _)| *kind == Kind::Wallet && name == key);
            last.is_some_and(|(_, _, stopped)| *stopped)
        };
        let idle: BTreeSet<String> = keys.filter(|key| !stopped(key)).collect();
        self.stops.extend(idle.iter().map(|key| (Kind::Wallet, key.clone(), true)));
        self.record(at, false);
        idle
    }

    fn record(&mut self, at: Reading, accepted: bool) {
        self.seq += 1;
        self.clock.record(at, accepted);
    }

    /// What did not happen is not recorded.
    fn noted(&mut self, refused: Option<&'static str>, done: &'static str, at: Reading) -> Told {
        if let Some(word) = refused {
            return Told { word, seq: None, signed: None };
        }
        self.record(at, false);
        Told { word: done, seq: Some(self.seq), signed: None }
    }

    fn report(&mut self, seq: u64, caller: &str) -> Option<&'static str> {
        let names = self.names_of_agent(caller);
        let found = self.holds.iter_mut().find(|hold| hold.seq == seq && names.contains(&hold.agent));
        let Some(hold) = found else { return Some("PaymentUnknown") };
        if hold.claims >= CLAIMS_MAX {
            return Some("ClaimsExhausted");
        }
        hold.claims += 1;
        None
    }

    fn evidence(&mut self, seq: u64, network: usize, settled: Option<U256>) -> Option<&'static str> {
        let fits =
            |hold: &&mut Hold| hold.seq == seq && hold.state == State::Held && hold.offer.asset == network;
        let Some(hold) = self.holds.iter_mut().find(fits) else { return Some("HoldResolved") };
        hold.state = match settled {
            Some(amount) if amount > hold.offer.amount => return Some("HoldResolved"),
            Some(amount) => State::Settled(book::share(hold.usd, amount, hold.offer.amount)),
            None => State::Released,
        };
        None
    }

    /// The name an agent is authenticated as and those it had before, if the registry still knows it.
    fn names_of_agent(&self, caller: &str) -> Vec<String> {
        match self.world.find(Kind::Agent, caller) {
            Some(at) => self.world.keys(Kind::Agent, at),
            None => vec![caller.to_owned()],
        }
    }

    /// Whether nobody stopped a subject. What the registry does not know is not active.
    fn active(&self, kind: Kind, key: &str) -> bool {
        let Some(at) = self.world.find_ever(kind, key) else { return false };
        let keys = self.world.keys(kind, at);
        let mut decided = self.stops.iter().filter(|(of, name, _)| *of == kind && keys.contains(name));
        !self.world.of(kind, at).suspended && !decided.next_back().is_some_and(|(_, _, stopped)| *stopped)
    }

    fn expired(&self, workflow: usize, at: u64) -> bool {
        workflow == 1 && self.world.expires.is_some_and(|expires| at >= expires)
    }

    fn pay(&mut self, spec: &Spec, trust: Trust, at: Reading) -> Told {
        let told = |word, signed| Told { word, seq: Some(self.seq + 1), signed };
        match trust {
            Trust::Behind => return told("CLOCK_REGRESSED", None),
            Trust::Ahead => return told("CLOCK_JUMPED", None),
            Trust::Sound => {}
        }
        let prior = self
            .names_of_agent(&spec.caller)
            .into_iter()
            .find_map(|name| self.holds.iter().find(|hold| hold.agent == name && hold.spec.id == spec.id));
        if let Some(hold) = prior {
            return match self.not_again(hold, spec, at.wall_ms / 1_000) {
                Some(word) => told(word, None),
                None if spec.preview => told("WOULD_SIGN", Some(hold.signed())),
                None => Told { word: "SIGNED", seq: Some(hold.seq), signed: Some(hold.signed()) },
            };
        }
        match self.choose(spec, at) {
            Err(word) => told(word, None),
            Ok(hold) => {
                let signed = Some(hold.signed());
                if spec.preview {
                    return told("WOULD_SIGN", signed);
                }
                let told = told("SIGNED", signed);
                self.holds.push(hold);
                told
            }
        }
    }

    /// Why a payment permitted earlier is not handed out again.
    fn not_again(&self, hold: &Hold, spec: &Spec, at: u64) -> Option<&'static str> {
        if !spec.repeats(&hold.spec) {
            return Some("REQUEST_ID_REUSED");
        }
        if at >= hold.valid_before || hold.state == State::Released {
            return Some("REQUEST_EXPIRED");
        }
        let active = self.active(Kind::Agent, &hold.agent)
            && self.active(Kind::Workflow, &hold.workflow)
            && self.active(Kind::Wallet, WALLETS[hold.wallet])
            && hold.service.as_ref().is_none_or(|service| self.active(Kind::Service, service));
        let workflow = self.world.find_ever(Kind::Workflow, &hold.workflow);
        match (active, workflow) {
            (true, Some(workflow)) => self.expired(workflow, at).then_some("WORKFLOW_EXPIRED"),
            (_, _) => Some("NOT_ACTIVE"),
        }
    }

    /// The cheapest permitted offer; among equals the one that lives shorter, then the first.
    fn choose(&self, spec: &Spec, at: Reading) -> Result<Hold, &'static str> {
        let agent = self.world.find(Kind::Agent, &spec.caller).ok_or("AGENT_UNKNOWN")?;
        let workflow = match &spec.workflow {
            Some(name) => self.world.find(Kind::Workflow, name).ok_or("WORKFLOW_UNKNOWN")?,
            None => match AGENT_WORKFLOWS[agent] {
                [only] => *only,
                _ => return Err("WORKFLOW_REQUIRED"),
            },
        };
        let judged: Vec<Result<Hold, &'static str>> =
            spec.offers.iter().map(|offer| self.offer(spec, offer, (agent, workflow), at)).collect();
        let permitted = judged.iter().filter_map(|judged| judged.as_ref().ok());
        match permitted.min_by_key(|hold| (hold.usd, hold.valid_before)) {
            Some(best) => Ok(best.clone()),
            None => {
                let refused = judged.into_iter().filter_map(Result::err);
                Err(refused.max_by_key(|code| rank(code)).expect("an offer"))
            }
        }
    }

    fn offer(
        &self,
        spec: &Spec,
        offer: &Offer,
        (agent, workflow): (usize, usize),
        at: Reading,
    ) -> Result<Hold, &'static str> {
        let wallet = self.wallet(spec, workflow, offer.asset)?;
        if offer.amount.is_zero() {
            return Err("AMOUNT_ZERO");
        }
        let usd = book::worth(offer.asset, offer.amount, true).filter(|usd| *usd <= USD_MAX);
        let usd = usd.ok_or("AMOUNT_TOO_LARGE")?;
        let secs = at.wall_ms / 1_000;
        let service = Some(spec.service).filter(|service| WORKFLOW_SERVICES[workflow].contains(service));
        let hold = Hold {
            seq: self.seq + 1,
            spec: spec.clone(),
            offer: offer.clone(),
            agent: spec.caller.clone(),
            workflow: self.world.key(Kind::Workflow, workflow),
            wallet,
            service: service.map(|service| self.world.key(Kind::Service, service)),
            usd,
            valid_before: secs + offer.timeout_secs.min(VALIDITY_SECS_MAX),
            state: State::Held,
            claims: 0,
        };
        let subjects = [
            Some((Kind::Agent, agent)),
            Some((Kind::Workflow, workflow)),
            Some((Kind::Wallet, wallet)),
            service.map(|service| (Kind::Service, service)),
            Some((Kind::Payee, offer.payee)),
        ];
        let subjects: Vec<(Kind, usize)> = subjects.into_iter().flatten().collect();
        let refusals = [
            (self.outstanding(&hold, at) >= OUTSTANDING_MAX, "POLICY_DENIED"),
            (self.exceeded(&subjects, usd, at), "CEILING_EXCEEDED"),
            (!WALLET_NETWORKS[wallet].contains(&offer.asset), "NETWORK_NOT_ALLOWED"),
            (!service.is_some_and(|at| SERVICE_PAYEES[at].contains(&offer.payee)), "PAYEE_UNACCEPTED"),
            (service.is_none(), "ENDPOINT_OUT_OF_SCOPE"),
            (!WALLET_WORKFLOWS[wallet].contains(&workflow), "WALLET_NOT_IN_WORKFLOW"),
            (!AGENT_WORKFLOWS[agent].contains(&workflow), "AGENT_NOT_IN_WORKFLOW"),
            (self.expired(workflow, secs), "WORKFLOW_EXPIRED"),
            (self.stopped(&subjects), "NOT_ACTIVE"),
        ];
        let refusals = refusals.into_iter().filter_map(|(refused, code)| refused.then_some(code));
        match refusals.chain(self.unfunded(&hold, secs)).max_by_key(|code| rank(code)) {
            Some(code) => Err(code),
            None => Ok(hold),
        }
    }

    fn exceeded(&self, subjects: &[(Kind, usize)], usd: u128, at: Reading) -> bool {
        let now = self.counted_at(at);
        subjects.iter().any(|of| book::exceeds(&self.world, &self.holds, *of, now, Some(usd)))
    }

    fn stopped(&self, subjects: &[(Kind, usize)]) -> bool {
        let stoppable = subjects.iter().filter(|(kind, _)| Kind::STOPPABLE.contains(kind));
        stoppable.into_iter().any(|(kind, at)| !self.active(*kind, &self.world.key(*kind, *at)))
    }

    /// The wallet that is named, or the only one that serves the workflow, or the only one that also may on the network.
    fn wallet(&self, spec: &Spec, workflow: usize, network: usize) -> Result<usize, &'static str> {
        if let Some(name) = &spec.wallet {
            return self.world.find(Kind::Wallet, name).ok_or("WALLET_UNKNOWN");
        }
        let serving: Vec<usize> =
            (0..WALLETS.len()).filter(|at| WALLET_WORKFLOWS[*at].contains(&workflow)).collect();
        let here: Vec<usize> =
            serving.iter().copied().filter(|at| WALLET_NETWORKS[*at].contains(&network)).collect();
        match (serving.as_slice(), here.as_slice()) {
            ([only], _) | (_, [only]) => Ok(*only),
            (_, _) => Err("WALLET_REQUIRED"),
        }
    }

    /// Signatures of the agent for the call that may still be settled.
    fn outstanding(&self, asked: &Hold, at: Reading) -> usize {
        let (names, now) = (self.names_of_agent(&asked.agent), self.counted_at(at));
        let open = self.holds.iter().filter(|hold| {
            hold.state == State::Held
                && hold.held_until() >= now
                && hold.spec.service == asked.spec.service
                && names.contains(&hold.agent)
        });
        open.count()
    }

    /// Why the wallet's balance does not allow it.
    fn unfunded(&self, hold: &Hold, at: u64) -> Option<&'static str> {
        let floor = self.world.floor.filter(|_| hold.wallet == FLOORED)?;
        let recent = |(_, observed_at): &&(U256, u64)| {
            *observed_at <= at + SKEW_SECS && at <= *observed_at + BALANCE_AGE_SECS_MAX
        };
        let known = self.balances.get(&(hold.wallet, hold.offer.asset)).filter(recent);
        let Some((amount, observed_at)) = known else { return Some("BALANCE_UNKNOWN") };
        let worth = book::worth(hold.offer.asset, *amount, false).expect("a balance of ours");
        let taken = book::bound(&self.holds, hold.wallet, *observed_at) + hold.usd;
        book::below(floor, worth.saturating_sub(taken)).then_some("BALANCE_BELOW_FLOOR")
    }
}

impl Hold {
    fn signed(&self) -> Signed {
        Signed {
            agent: self.agent.clone(),
            workflow: self.workflow.clone(),
            wallet: WALLETS[self.wallet].to_owned(),
            service: self.service.clone(),
            offer: self.spec.offers.iter().position(|offer| *offer == self.offer).expect("one of them"),
            usd: self.usd,
            valid_before: self.valid_before,
            nonce: self.spec.nonce,
        }
    }
}

fn rank(code: &str) -> usize {
    ORDER.iter().position(|ordered| *ordered == code).expect("every code has its place")
}
