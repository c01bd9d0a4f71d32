//! The context of a payment: facts in the schema's words, only those that are read.

use cedar_policy::{Context, RestrictedExpression};
use pursekeeper_core::{
    BalanceFacts, ClaimedFacts, DenyCode, Facts, Intent, PrepaidFacts, ScopeKind, ServiceName, SignInIntent,
    Totals, Usd, WalletName, Window, WorkflowName,
};

use crate::entities::identity;
use crate::needs::{Leaf, Needs, One};
use crate::numbers::{datetime, dollars, dollars_left};
use crate::vocabulary::{Pairs, Vocabulary, flag, long, pair, record, text, uid, unjudgeable};

/// The largest sum Cedar's `decimal` can show, in units of 10⁻¹² dollars. A total above it is shown as this, which every
/// ceiling is below: so an exhausted window exceeds its ceiling, and binds nobody who has none.
const USD_MAX: Usd = Usd::from_units((i64::MAX as u128).saturating_mul(100_000_000));

/// Builds the context `needs` asks for. A payment that Cedar cannot show is refused whether or not it is read, so that
/// an answer does not depend on which policies happen to look.
pub(crate) fn payment(
    words: &Vocabulary,
    (intent, asset): (&Intent, &str),
    facts: &Facts,
    needs: Needs,
) -> Result<Context, DenyCode> {
    if intent.usd > USD_MAX {
        return Err(DenyCode::AmountTooLarge);
    }
    let subjects = (&intent.workflow, &intent.wallet, intent.service.as_ref());
    let mut pairs = shared(words, subjects, facts, needs)?;
    if needs.one(One::Origin) {
        pairs.push(pair("origin", text(intent.origin.as_str())));
    }
    if needs.one(One::Outstanding) {
        pairs.push(pair("outstanding", long(facts.outstanding)));
    }
    if let Some(balance) = balance(facts, needs)? {
        pairs.push(pair("balance", record(balance)?));
    }
    let terms = terms(words, (intent, asset), facts, needs)?;
    let count = count(facts, needs, &ScopeKind::ALL, Totals::payments_in)?;
    for (name, record_pairs) in
        [("payment", terms), ("after", after(intent, facts, needs)?), ("count", count)]
    {
        if !record_pairs.is_empty() {
            pairs.push(pair(name, record(record_pairs)?));
        }
    }
    Context::from_pairs(pairs).map_err(unjudgeable)
}

/// What payments and sign-ins have in common.
fn shared(
    words: &Vocabulary,
    (workflow, wallet, service): (&WorkflowName, &WalletName, Option<&ServiceName>),
    facts: &Facts,
    needs: Needs,
) -> Result<Pairs, DenyCode> {
    let mut pairs = Pairs::new();
    if needs.one(One::Now) {
        pairs.push(pair("now", datetime(facts.now.unix_seconds())?));
    }
    pairs.extend(identity(&facts.caller.source, needs)?);
    if needs.one(One::Workflow) {
        pairs.push(pair("workflow", uid(words.workflow(workflow.as_str()))));
    }
    if needs.one(One::Wallet) {
        pairs.push(pair("wallet", uid(words.wallet(wallet.as_str()))));
    }
    if let Some(service) = service.filter(|_| needs.one(One::Service)) {
        pairs.push(pair("service", uid(words.service(service.as_str()))));
    }
    if let Some(prepaid) = prepaid(facts, needs)? {
        pairs.push(pair("prepaid", record(prepaid)?));
    }
    Ok(pairs)
}

/// Builds the context of a sign-in.
pub(crate) fn sign_in(
    words: &Vocabulary,
    intent: &SignInIntent,
    facts: &Facts,
    needs: Needs,
) -> Result<Context, DenyCode> {
    let subjects = (&intent.workflow, &intent.wallet, intent.service.as_ref());
    let mut pairs = shared(words, subjects, facts, needs)?;
    let kinds = [ScopeKind::Agent, ScopeKind::Workflow, ScopeKind::Wallet, ScopeKind::Service];
    let count = count(facts, needs, &kinds, Totals::sign_ins_in)?;
    for (name, record_pairs) in [("sign_in", message(intent, facts, needs)), ("count", count)] {
        if !record_pairs.is_empty() {
            pairs.push(pair(name, record(record_pairs)?));
        }
    }
    Context::from_pairs(pairs).map_err(unjudgeable)
}

fn message(intent: &SignInIntent, facts: &Facts, needs: Needs) -> Pairs {
    let parts = intent.message.parts();
    let mut pairs = Pairs::new();
    if needs.one(One::SignInProfile) {
        pairs.push(pair("profile", text(parts.profile.as_str())));
    }
    if needs.one(One::SignInNetwork) {
        pairs.push(pair("network", text(&parts.chain.to_string())));
    }
    if needs.one(One::SignInDomain) {
        pairs.push(pair("domain", text(&parts.domain)));
    }
    if let Some(statement) = parts.statement.as_deref().filter(|_| needs.one(One::SignInStatement)) {
        pairs.push(pair("statement", text(statement)));
    }
    if needs.one(One::SignInResources) {
        let resources = parts.resources.iter().map(|resource| text(resource));
        pairs.push(pair("resources", RestrictedExpression::new_set(resources)));
    }
    if needs.one(One::SignInExpires) {
        let expires = intent.message.expires_at().0.saturating_sub(facts.now.unix_seconds().0);
        pairs.push(pair("expires_secs", long(expires)));
    }
    pairs
}

/// What is known of the wallet's balance, if anything recent is and anything reads it.
fn balance(facts: &Facts, needs: Needs) -> Result<Option<Pairs>, DenyCode> {
    let Some(BalanceFacts { usd, after, age_secs }) = facts.balance else { return Ok(None) };
    let mut pairs = Pairs::new();
    if needs.one(One::BalanceUsd) {
        pairs.push(pair("usd", dollars_left(usd.min(USD_MAX))?));
    }
    if needs.one(One::BalanceAfter) {
        pairs.push(pair("after", dollars_left(after.min(USD_MAX))?));
    }
    if needs.one(One::BalanceAge) {
        pairs.push(pair("age_secs", long(age_secs)));
    }
    Ok((!pairs.is_empty()).then_some(pairs))
}

/// The wallet's credit at a prepaid service, if the call is to one and anything reads it. What was paid is rounded up,
/// like every sum; what is claimed to be left is rounded down.
fn prepaid(facts: &Facts, needs: Needs) -> Result<Option<Pairs>, DenyCode> {
    let Some(PrepaidFacts { top_up: _, topped_up, claimed, sign_ins }) = facts.prepaid else {
        return Ok(None);
    };
    let mut pairs = Pairs::new();
    if needs.one(One::PrepaidToppedUp) {
        pairs.push(pair("topped_up", dollars(topped_up.min(USD_MAX))?));
    }
    if let Some(ClaimedFacts { usd, age_secs }) = claimed {
        if needs.one(One::PrepaidClaimed) {
            pairs.push(pair("claimed", dollars_left(usd.min(USD_MAX))?));
        }
        if needs.one(One::PrepaidClaimedAge) {
            pairs.push(pair("claimed_age_secs", long(age_secs)));
        }
    }
    if needs.one(One::PrepaidSignIns) {
        pairs.push(pair("sign_ins", long(sign_ins)));
    }
    let reads = [One::PrepaidToppedUp, One::PrepaidClaimed, One::PrepaidClaimedAge, One::PrepaidSignIns];
    Ok(reads.into_iter().any(|one| needs.one(one)).then_some(pairs))
}

fn terms(
    words: &Vocabulary,
    (intent, asset): (&Intent, &str),
    facts: &Facts,
    needs: Needs,
) -> Result<Pairs, DenyCode> {
    let mut pairs = Pairs::new();
    if needs.one(One::Scheme) {
        pairs.push(pair("scheme", text(intent.terms.scheme.as_str())));
    }
    if needs.one(One::Method) {
        pairs.push(pair("method", text(intent.terms.method.as_str())));
    }
    if let Some(facilitator) = intent.terms.scheme.facilitator().filter(|_| needs.one(One::Facilitator)) {
        pairs.push(pair("facilitator", text(&facilitator.to_string())));
    }
    if needs.one(One::FacilitatorAccepted) {
        pairs.push(pair("facilitator_accepted", flag(facts.facilitator_accepted)));
    }
    if needs.one(One::Protocol) {
        let version = intent.offered().map_or(0, |offered| offered.protocol.number());
        pairs.push(pair("protocol", long(version.into())));
    }
    if needs.one(One::Network) {
        pairs.push(pair("network", text(&intent.terms.asset.network.to_string())));
    }
    if needs.one(One::Asset) {
        pairs.push(pair("asset", uid(words.asset(asset))));
    }
    if needs.one(One::Payee) {
        pairs.push(pair("payee", uid(words.payee(intent.terms.payee.to_string()))));
    }
    if needs.one(One::PayeeAccepted) {
        pairs.push(pair("payee_accepted", flag(facts.payee_accepted)));
    }
    if needs.one(One::TopUp) {
        let top_up = facts.prepaid.is_some_and(|prepaid| prepaid.top_up);
        pairs.push(pair("top_up", flag(top_up)));
    }
    if needs.one(One::Usd) {
        pairs.push(pair("usd", dollars(intent.usd)?));
    }
    if needs.one(One::ValidSecs) {
        pairs.push(pair("valid_secs", long(intent.valid_secs(facts.now.unix_seconds()))));
    }
    Ok(pairs)
}

fn after(intent: &Intent, facts: &Facts, needs: Needs) -> Result<Pairs, DenyCode> {
    let mut scopes = Pairs::new();
    for kind in ScopeKind::ALL {
        let totals = facts.after.get(kind);
        let mut windows = Pairs::new();
        for window in Window::ALL.into_iter().filter(|window| needs.reads(Leaf::After(kind, *window))) {
            // What keeps no total is this payment alone.
            let usd = totals.usd_in(window).unwrap_or(intent.usd).min(USD_MAX);
            windows.push(pair(window.as_str(), dollars(usd)?));
        }
        if !windows.is_empty() {
            scopes.push(pair(kind.as_str(), record(windows)?));
        }
    }
    Ok(scopes)
}

fn count(
    facts: &Facts,
    needs: Needs,
    kinds: &[ScopeKind],
    counted: impl Fn(&Totals, Window) -> Option<u64>,
) -> Result<Pairs, DenyCode> {
    let mut scopes = Pairs::new();
    for kind in kinds.iter().copied() {
        let totals = facts.after.get(kind);
        let read = Window::TOTALLED.into_iter().filter(|window| needs.reads(Leaf::Count(kind, *window)));
        let windows =
            read.filter_map(|window| counted(totals, window).map(|count| pair(window.as_str(), long(count))));
        let windows: Pairs = windows.collect();
        if !windows.is_empty() {
            scopes.push(pair(kind.as_str(), record(windows)?));
        }
    }
    Ok(scopes)
}
