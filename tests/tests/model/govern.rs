//! What operators may do, and what follows.

use crate::book::State;
use crate::clock::Trust;
use crate::deed::{Act, Verb};
use crate::model::Model;
use crate::world::{
    AGENT_WORKFLOWS, Kind, OPERATORS, REVOKERS, WALLET_OWNERS, WORKFLOW_OWNERS, WORKFLOW_SERVICES,
};

impl Model {
    /// Judges an act and does it.
    pub(crate) fn act(&mut self, act: &Act, trust: Trust, at: u64) -> &'static str {
        let team = OPERATORS.iter().find(|(name, _)| *name == act.operator).map(|(_, team)| *team);
        let allowed = match &act.verb {
            Verb::Suspend(kind, key) | Verb::Resume(kind, key) => match self.governors(*kind, key) {
                Some(governors) => governors.into_iter().any(|governor| Some(governor) == team),
                None => return "SUBJECT_UNKNOWN",
            },
            Verb::Release { wallet, .. } => Some(WALLET_OWNERS[*wallet]) == team,
            // Nobody is named: the owners of its wallets answer for the sidecar.
            Verb::AcceptClock => WALLET_OWNERS.iter().any(|owner| Some(*owner) == team),
        };
        match &act.verb {
            _ if !allowed => "OPERATOR_NOT_ALLOWED",
            Verb::Suspend(kind, key) => {
                self.stops.push((*kind, key.clone(), true));
                "ACTED"
            }
            Verb::Resume(kind, key) => {
                self.stops.push((*kind, key.clone(), false));
                "ACTED"
            }
            Verb::Release { wallet, hold } => self.release(*wallet, *hold, at),
            Verb::AcceptClock if trust == Trust::Behind => "CLOCK_REGRESSED",
            Verb::AcceptClock => "ACTED",
        }
    }

    fn release(&mut self, wallet: usize, seq: Option<u64>, at: u64) -> &'static str {
        let meant = |hold: &&mut crate::book::Hold| {
            Some(hold.seq) == seq && hold.wallet == wallet && hold.state == State::Held
        };
        match self.holds.iter_mut().find(meant) {
            None => "HOLD_UNKNOWN",
            Some(hold) if at <= hold.held_until() => "HOLD_ALIVE",
            Some(hold) => {
                hold.state = State::Released;
                "ACTED"
            }
        }
    }

    /// The teams that may stop a subject and end its stop; nothing when there is no such subject.
    fn governors(&self, kind: Kind, key: &str) -> Option<Vec<&'static str>> {
        let at = (0..kind.len()).find(|at| self.world.key(kind, *at) == key)?;
        let owner = |workflow: &usize| WORKFLOW_OWNERS[*workflow];
        Some(match kind {
            Kind::Workflow => vec![WORKFLOW_OWNERS[at]],
            Kind::Agent => AGENT_WORKFLOWS[at].iter().map(owner).collect(),
            Kind::Wallet => vec![WALLET_OWNERS[at], REVOKERS],
            Kind::Service => {
                let users =
                    (0..WORKFLOW_SERVICES.len()).filter(|user| WORKFLOW_SERVICES[*user].contains(&at));
                users.map(|user| WORKFLOW_OWNERS[user]).collect()
            }
            Kind::Payee => return None,
        })
    }
}
