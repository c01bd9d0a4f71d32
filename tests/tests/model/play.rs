//! From what was drawn to what is done: everything is picked among what is there.

use alloy_primitives::U256;
use pursekeeper_core::{AssetId, Balance, ChainId, UnixSeconds};

use crate::book::{Hold, SKEW_SECS, State};
use crate::clock::Trust;
use crate::deed::{Act, Deed, Verb, address, atomic};
use crate::op::{AMOUNTS, AskOp, Edit, Fate, Named, OfferOp, Op, Pay, Rename, Twist};
use crate::poison::poison;
use crate::request::{Offer, Spec};
use crate::system::{Checked, System};
use crate::world::{
    AGENT_WORKFLOWS, ASSETS, Kind, NETWORKS, OPERATORS, SERVICE_PAYEES, URLS, WALLET_OWNERS,
    WALLET_WORKFLOWS, WALLETS, WINDOWS, WORKFLOW_SERVICES,
};

/// A moment in the life of a hold.
#[derive(Clone, Copy)]
enum Edge {
    /// It leaves a window.
    Window,
    /// It is no longer handed out again.
    Expiry,
    /// It cannot be settled any more.
    Death,
    /// It can no longer be missing in a balance that is read.
    Balance,
}

/// A number that no record has.
const NO_RECORD: u64 = 999_999;

impl System {
    /// One step, done to both.
    pub(crate) fn step(&mut self, op: &Op) -> Checked {
        match op {
            Op::Batch(asks) => {
                let deeds: Vec<Deed> = asks.iter().map(|ask| self.deed(ask)).collect();
                self.pass(&deeds)?;
            }
            Op::BatchThatFails(asks, by) => {
                // What is judged at a wrong time is denied, and so recorded without failing.
                if self.model.clock.trust(self.now) == Trust::Sound {
                    let mut deeds: Vec<Deed> = asks.iter().map(|ask| self.deed(ask)).collect();
                    deeds.extend(poison(&self.model, *by).map(Deed::Pay));
                    self.pass_in_vain(&deeds)?;
                }
            }
            Op::Pass(ms) => self.later(*ms),
            Op::PassToEdge { hold, edge, off_ms, meet } => {
                if let Some(hold) = self.hold(*hold).cloned() {
                    let edge = self.pass_to_edge(&hold, *edge, *off_ms);
                    if *meet {
                        let deeds = self.meet(&hold, edge);
                        self.pass(&deeds)?;
                    }
                }
            }
            Op::Jump(ms) => self.now.wall_ms += ms,
            Op::Back(ms) => self.now.wall_ms -= ms,
            Op::SetRight => {
                let clock = &self.model.clock;
                self.now.wall_ms = clock.expected_ms(self.now).max(clock.latest_ms);
            }
            Op::Reboot(off_ms) => {
                self.now.wall_ms += off_ms;
                (self.now.boot, self.now.boot_ms) = (self.now.boot.wrapping_add(1), 1_000);
                self.reopen();
            }
            Op::Reopen => self.reopen(),
            Op::Kill => self.kill(),
            Op::Balance { wallet, asset, amount, off_secs } => {
                self.balance(usize::from(*wallet), usize::from(*asset), *amount, *off_secs);
            }
            Op::Edit(edit) => {
                self.edit(edit);
                self.reload();
            }
        }
        self.compare_totals()
    }

    fn later(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.boot_ms += ms;
    }

    fn pass_to_edge(&mut self, hold: &Hold, edge: u8, off_ms: i64) -> Edge {
        self.focus = Some(hold.seq);
        let (edge, secs) = match usize::from(edge) % 8 {
            window @ 1..5 => (Edge::Window, hold.leaves_at(WINDOWS[window].1).unwrap_or_default()),
            5 => (Edge::Expiry, hold.valid_before),
            6 => (Edge::Balance, hold.held_until() + SKEW_SECS),
            _ => (Edge::Death, hold.held_until() + 1),
        };
        let target = (secs * 1_000).saturating_add_signed(off_ms);
        self.later(target.saturating_sub(self.now.wall_ms));
        edge
    }

    /// What a moment in the life of a hold means most to.
    fn meet(&mut self, hold: &Hold, edge: Edge) -> Vec<Deed> {
        let mut small = hold.spec.clone();
        small.id = format!("{}-m{}", small.id, self.model.seq);
        small.nonce[30] = small.nonce[30].wrapping_add(1);
        small.caller = self.model.world.of(Kind::Agent, small.agent).name.clone();
        small.offers = vec![Offer { amount: units(hold.offer.asset, 0), ..hold.offer.clone() }];
        let small = Deed::Pay(small);
        match edge {
            Edge::Window => vec![small],
            Edge::Expiry => {
                let caller = self.model.world.of(Kind::Agent, hold.spec.agent).name.clone();
                vec![Deed::Pay(Spec { caller, ..hold.spec.clone() })]
            }
            Edge::Death => {
                let operator = WALLET_OWNERS[hold.wallet];
                let operator = OPERATORS.iter().position(|(_, team)| *team == operator).unwrap_or_default();
                let verb = Verb::Release { wallet: hold.wallet, hold: Some(hold.seq) };
                vec![small, act(u8::try_from(operator).unwrap_or_default(), verb)]
            }
            Edge::Balance => {
                let amount = hold.offer.amount + units(hold.offer.asset, 10);
                self.note_balance((hold.wallet, hold.offer.asset), amount, self.secs());
                vec![small]
            }
        }
    }

    /// Half the time one of those that are held, more often one of the last, and often the one that is looked at.
    fn hold(&self, pick: u16) -> Option<&Hold> {
        let (half, third, lately) = (pick.is_multiple_of(2), pick.is_multiple_of(3), pick % 5 < 3);
        let focus = self.model.holds.iter().find(|hold| third && Some(hold.seq) == self.focus);
        if focus.is_some() {
            return focus;
        }
        let held: Vec<&Hold> =
            self.model.holds.iter().rev().filter(|hold| !half || hold.state == State::Held).collect();
        let among = if lately { held.len().min(4) } else { held.len() };
        held.get(usize::from(pick / 30).checked_rem(among)?).copied()
    }

    /// A request made before, more often one of the last.
    fn recent(&self, pick: u16) -> Option<usize> {
        let (often, pick, len) = (!pick.is_multiple_of(4), usize::from(pick / 4), self.asked.len());
        let focus = self.model.holds.iter().find(|hold| often && Some(hold.seq) == self.focus);
        let focus = focus.filter(|_| pick.is_multiple_of(3));
        if let Some(hold) = focus {
            return self.asked.iter().position(|spec| spec.id == hold.spec.id);
        }
        let among = if often { len.min(8) } else { len };
        let back = pick.checked_rem(among)?;
        Some(len - 1 - back)
    }

    fn balance(&mut self, wallet: usize, asset: usize, amount: u8, off_secs: i64) {
        let (wallet, asset) = (wallet % WALLETS.len(), asset % ASSETS.len());
        let observed_at = self.secs().saturating_add_signed(off_secs);
        self.note_balance((wallet, asset), units(asset, amount), observed_at);
    }

    fn note_balance(&mut self, (wallet, asset): (usize, usize), amount: U256, observed_at: u64) {
        let known = self.model.balances.entry((wallet, asset)).or_insert((amount, observed_at));
        if known.1 <= observed_at {
            *known = (amount, observed_at);
        }
        let network = ChainId::parse(NETWORKS[asset]).expect("a network");
        let id = AssetId { network, address: address(ASSETS[asset].0) };
        let balance = Balance { amount: atomic(amount), observed_at: UnixSeconds(observed_at) };
        self.balances.note(address(WALLETS[wallet]), id, balance);
    }

    fn edit(&mut self, edit: &Edit) {
        let secs = self.secs();
        let world = &mut self.model.world;
        let kind = |kind: u8, of: &[Kind]| of[usize::from(kind) % of.len()];
        match *edit {
            Edit::Usd { kind: of, at, window, limit } => {
                let of = kind(of, &Kind::ALL);
                let limits = &mut world.of_mut(of, usize::from(at) % of.len()).limits.usd;
                let window = usize::from(window) % WINDOWS.len();
                limits.remove(&window);
                limits.extend(limit.map(|limit| (window, limit)));
            }
            Edit::Payments { kind: of, at, window, limit } => {
                let of = kind(of, &Kind::ALL);
                let limits = &mut world.of_mut(of, usize::from(at) % of.len()).limits.payments;
                let window = 1 + usize::from(window) % (WINDOWS.len() - 1);
                limits.remove(&window);
                limits.extend(limit.map(|limit| (window, limit)));
            }
            Edit::Rename { kind: of, at, how } => {
                let of = kind(of, &Kind::RENAMED);
                let declared = world.of_mut(of, usize::from(at) % of.len());
                match how {
                    Rename::Fresh => declared.rename(),
                    Rename::Back => declared.rename_back(),
                    Rename::Forget => declared.forget(),
                    Rename::Remember => declared.remember(),
                }
            }
            Edit::Declare { kind: of, at, suspended } => {
                let of = kind(of, &Kind::STOPPABLE);
                world.of_mut(of, usize::from(at) % of.len()).suspended = suspended;
            }
            Edit::Floor(floor) => world.floor = floor,
            Edit::Expires(secs_left) => world.expires = secs_left.map(|left| secs + left),
        }
    }

    fn deed(&mut self, ask: &AskOp) -> Deed {
        match ask {
            AskOp::Pay(pay) => {
                let spec = self.spec(pay);
                self.asked.push(spec.clone());
                Deed::Pay(spec)
            }
            AskOp::Again { pick, twist } => match self.recent(*pick) {
                Some(at) => Deed::Pay(self.again(at, *twist)),
                None => Deed::Evidence { hold: NO_RECORD, network: 0, settled: None },
            },
            AskOp::Report { hold, agent, settled } => {
                let found = self.hold(*hold).map(|hold| (hold.seq, hold.spec.agent));
                let (hold, own) = found.unwrap_or((1, 0));
                let agent = agent.map_or(own, usize::from) % Kind::Agent.len();
                let caller = self.model.world.of(Kind::Agent, agent).name.clone();
                Deed::Report { hold, agent, caller, settled: *settled }
            }
            AskOp::Evidence { hold, fate } => self.evidence(*hold, *fate),
            AskOp::Release { hold, operator, named } => {
                let found = self.hold(*hold).map_or((NO_RECORD, 0), |hold| (hold.seq, hold.wallet));
                let (wallet, hold) = match named {
                    Named::Rightly => (found.1, Some(found.0)),
                    Named::AsAnothers => ((found.1 + 1) % WALLETS.len(), Some(found.0)),
                    Named::NotAtAll => (found.1, None),
                    Named::Wrongly => (found.1, Some(NO_RECORD)),
                };
                act(*operator, Verb::Release { wallet, hold })
            }
            AskOp::Stop { kind, at, operator, resume, former } => {
                let of = Kind::STOPPABLE[usize::from(*kind) % Kind::STOPPABLE.len()];
                let keys = self.stoppable(of, usize::from(*at));
                let kind = of;
                let key = if *former { keys.last() } else { keys.first() };
                let key = key.expect("a name").clone();
                act(*operator, if *resume { Verb::Resume(kind, key) } else { Verb::Suspend(kind, key) })
            }
            AskOp::AcceptClock { operator } => act(*operator, Verb::AcceptClock),
        }
    }

    /// The names of a subject, more often of one that had others.
    fn stoppable(&self, kind: Kind, at: usize) -> Vec<String> {
        let all = (0..kind.len()).map(|at| self.model.world.keys(kind, at));
        let (renamed, others): (Vec<_>, Vec<_>) = all.partition(|keys| keys.len() > 1);
        let among =
            if renamed.is_empty() || (at.is_multiple_of(4) && !others.is_empty()) { others } else { renamed };
        among[at / 4 % among.len()].clone()
    }

    fn spec(&self, pay: &Pay) -> Spec {
        let Pay { agent, fitting, former, workflow, wallet, service, offers, preview } = pay;
        let world = &self.model.world;
        let agent = usize::from(*agent) % Kind::Agent.len();
        let names = world.keys(Kind::Agent, agent);
        let caller = if *former { names.last() } else { names.first() };
        // Past the last one is none.
        let named = |kind: Kind, at: usize| {
            if at < kind.len() { world.of(kind, at).name.clone() } else { "nobody".to_owned() }
        };
        let fit = |at: usize, fitting_ones: &[usize]| {
            if *fitting { fitting_ones[at % fitting_ones.len()] } else { at }
        };
        let works_for = fit(workflow.map_or(0, usize::from), AGENT_WORKFLOWS[agent]);
        let workflow = workflow.map(|_| works_for).or(fitting.then_some(works_for));
        let serving: Vec<usize> =
            (0..WALLETS.len()).filter(|at| WALLET_WORKFLOWS[*at].contains(&works_for)).collect();
        let wallet = wallet.map(|at| fit(usize::from(at), &serving));
        let services = WORKFLOW_SERVICES.get(works_for).copied().unwrap_or_default();
        let service = fit(usize::from(*service), services).min(URLS.len());
        let payees = SERVICE_PAYEES.get(service).copied().unwrap_or_default();
        let offers = offers.iter().map(offer).map(|offer| Offer { payee: fit(offer.payee, payees), ..offer });
        let number = u32::try_from(self.asked.len()).expect("few requests");
        let mut nonce = [1; 32];
        nonce[..4].copy_from_slice(&number.to_be_bytes());
        Spec {
            agent,
            caller: caller.expect("a name").clone(),
            id: format!("r{number}"),
            workflow: workflow.map(|at| named(Kind::Workflow, at)),
            wallet: wallet.map(|at| named(Kind::Wallet, at)),
            service,
            offers: offers.collect(),
            preview: *preview,
            nonce,
        }
    }

    /// A request made before, by whoever has its agent's name now. Another nonce is drawn; the first one counts.
    fn again(&self, at: usize, twist: Twist) -> Spec {
        let mut spec = self.asked[at].clone();
        spec.preview = false;
        spec.nonce[31] = spec.nonce[31].wrapping_add(1);
        match twist {
            Twist::Same => {}
            Twist::OtherTimeout => spec.offers[0].timeout_secs = 45,
            Twist::OtherAmount => spec.offers[0].amount += U256::from(1),
            Twist::OtherEndpoint => spec.service = (spec.service + 1) % URLS.len(),
            Twist::OtherAgent => spec.agent = (spec.agent + 1) % Kind::Agent.len(),
            Twist::Preview => spec.preview = true,
        }
        spec.caller = self.model.world.of(Kind::Agent, spec.agent).name.clone();
        spec
    }

    fn evidence(&mut self, hold: u16, fate: Fate) -> Deed {
        let Some(hold) = self.hold(hold).cloned() else {
            return Deed::Evidence { hold: NO_RECORD, network: 0, settled: None };
        };
        self.focus = Some(hold.seq);
        let (all, one) = (hold.offer.amount, U256::from(1));
        let settled = match fate {
            Fate::Part(part) => Some(all * U256::from(part) / U256::from(256)),
            Fate::All | Fate::Elsewhere => Some(all),
            Fate::OneLess => Some(all - one),
            Fate::OneMore => Some(all + one),
            Fate::Dead => None,
        };
        let elsewhere = usize::from(matches!(fate, Fate::Elsewhere));
        Deed::Evidence { hold: hold.seq, network: (hold.offer.asset + elsewhere) % NETWORKS.len(), settled }
    }
}

fn offer(op: &OfferOp) -> Offer {
    let OfferOp { asset, payee, amount, timeout_secs } = *op;
    let asset = usize::from(asset) % ASSETS.len();
    Offer { asset, payee: usize::from(payee), amount: units(asset, amount), timeout_secs }
}

/// Atomic units; of the second asset they are not worth whole units of 10⁻¹² dollars.
fn units(asset: usize, amount: u8) -> U256 {
    let text = AMOUNTS[usize::from(amount) % AMOUNTS.len()];
    let amount: U256 = text.parse().expect("a number");
    if asset == 0 || amount.is_zero() {
        return amount;
    }
    amount * U256::from(1_000_000_000_000_u64) + U256::from(7)
}

fn act(operator: u8, verb: Verb) -> Deed {
    // The one who owns most acts most; past the last one is nobody.
    let operator = OPERATORS.get(usize::from(operator)).map_or("ann", |(name, _)| name);
    Deed::Act(Act { operator: operator.to_owned(), verb })
}
