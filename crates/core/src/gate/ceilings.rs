//! The arithmetic behind an answer: every ceiling that applies, before and after.

use crate::ports::Policy;
use crate::registry::Ceilings;
use crate::{CeilingUse, Intent, Measure, Scope, ServiceName, SignInIntent, Totals, Usd, Window};

use super::judge::Court;

/// What is to be counted.
#[derive(Clone, Copy)]
enum Counted {
    Payment(Usd),
    SignIn,
}

impl<P: Policy> Court<'_, P> {
    /// The ceilings that apply to a payment.
    pub(super) fn ceilings_of_payment(&self, intent: &Intent) -> Vec<CeilingUse> {
        let scopes = [
            Scope::Workflow(intent.workflow.clone()),
            Scope::Agent(intent.agent.clone()),
            Scope::Wallet(intent.wallet_address),
            Scope::Payee(intent.terms.payee),
        ];
        self.ceilings_met(scopes, intent.service.as_ref(), Counted::Payment(intent.usd))
    }

    /// The ceilings that apply to a sign-in.
    pub(super) fn ceilings_of_sign_in(&self, intent: &SignInIntent) -> Vec<CeilingUse> {
        let scopes = [
            Scope::Workflow(intent.workflow.clone()),
            Scope::Agent(intent.agent.clone()),
            Scope::Wallet(intent.wallet_address),
        ];
        self.ceilings_met(scopes, intent.service.as_ref(), Counted::SignIn)
    }

    fn ceilings_met(
        &self,
        scopes: impl IntoIterator<Item = Scope>,
        service: Option<&ServiceName>,
        counted: Counted,
    ) -> Vec<CeilingUse> {
        let service = service.cloned().map(Scope::Service);
        let mut met = Vec::new();
        for scope in scopes.into_iter().chain(service) {
            let Some(ceilings) = self.policy.registry().ceilings(&scope) else { continue };
            if ceilings.bound_nothing(counted) {
                continue;
            }
            let before = self.totals(&scope);
            let uses = match counted {
                Counted::Payment(usd) => of_payment(ceilings, &before, usd),
                Counted::SignIn => of_sign_in(ceilings, &before),
            };
            let named = |(window, measure, limit, before, after)| CeilingUse {
                scope: scope.kind(),
                window,
                measure,
                limit,
                before,
                after,
            };
            met.extend(uses.into_iter().map(named));
        }
        met
    }
}

impl Ceilings {
    fn bound_nothing(&self, counted: Counted) -> bool {
        let Self { usd, payments, sign_ins, warn_at: _ } = self;
        match counted {
            Counted::Payment(_) => usd.is_empty() && payments.is_empty(),
            Counted::SignIn => sign_ins.is_empty(),
        }
    }
}

type Use = (Window, Measure, String, String, String);

fn of_payment(ceilings: &Ceilings, before: &Totals, usd: Usd) -> Vec<Use> {
    let after = before.with_payment(usd);
    let mut uses = Vec::new();
    for (window, limit) in &ceilings.usd {
        // A ceiling for each payment keeps no total.
        let (had, has) = before.usd_in(*window).zip(after.usd_in(*window)).unwrap_or((Usd::ZERO, usd));
        uses.push((*window, Measure::Usd, limit.to_string(), had.to_string(), has.to_string()));
    }
    for (window, limit) in &ceilings.payments {
        let Some((had, has)) = before.payments_in(*window).zip(after.payments_in(*window)) else { continue };
        uses.push((*window, Measure::Payments, limit.to_string(), had.to_string(), has.to_string()));
    }
    uses
}

fn of_sign_in(ceilings: &Ceilings, before: &Totals) -> Vec<Use> {
    let after = before.with_sign_in();
    let mut uses = Vec::new();
    for (window, limit) in &ceilings.sign_ins {
        let Some((had, has)) = before.sign_ins_in(*window).zip(after.sign_ins_in(*window)) else { continue };
        uses.push((*window, Measure::SignIns, limit.to_string(), had.to_string(), has.to_string()));
    }
    uses
}
