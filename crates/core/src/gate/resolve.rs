//! From what was asked to an intent, under the bundle that judges.

use crate::quote::quoted;
use crate::registry::{Registry, Wallet, Workflow};
use crate::x402::{Challenge, Offer, Sponsoring, Terms, Understood};
use crate::{
    Address, Allowance, Asked, Asset, ChainId, Demand, Denial, DenyCode, EXACT_PROXY, EvmAddress, Intent,
    Offered, OriginMatch, PERMIT2, TransferMethod, UPTO_PROXY, UnixSeconds, UsdRateError, WalletName,
    WorkflowName, permit2_domain_separator,
};

use super::{AllowanceAsk, PaymentAsk, Settings};

/// Contracts of the protocol that can never be paid.
const PROTOCOL_CONTRACTS: [EvmAddress; 3] = [PERMIT2, EXACT_PROXY, UPTO_PROXY];

/// The workflow a request is for: the one it names, or the agent's only one.
pub(super) fn workflow<'r>(
    registry: &'r Registry,
    asked: &Asked,
) -> Result<(&'r WorkflowName, &'r Workflow), Denial> {
    let agent_name = &asked.caller.agent;
    let agent = registry.agents.get(agent_name);
    let agent =
        agent.ok_or_else(|| Denial::rule(DenyCode::AgentUnknown, format!("no agent `{agent_name}`")))?;
    let name = match &asked.workflow {
        Some(name) => name,
        None => {
            let mut workflows = agent.workflows.iter();
            match (workflows.next(), workflows.next()) {
                (Some(only), None) => only,
                (Some(_) | None, _) => {
                    let what = format!("agent `{agent_name}` does not work for exactly one workflow");
                    return Err(Denial::rule(DenyCode::WorkflowRequired, what));
                }
            }
        }
    };
    let unknown = || Denial::rule(DenyCode::WorkflowUnknown, format!("no workflow `{name}`"));
    registry.workflows.get_key_value(name).ok_or_else(unknown)
}

/// The wallet that would sign on `network`: the one named, or the workflow's only one there.
pub(super) fn wallet<'r>(
    registry: &'r Registry,
    asked: &Asked,
    workflow: &WorkflowName,
    network: &ChainId,
) -> Result<(&'r WalletName, &'r Wallet), Denial> {
    if let Some(name) = &asked.wallet {
        let unknown = || Denial::rule(DenyCode::WalletUnknown, format!("no wallet `{name}`"));
        return registry.wallets.get_key_value(name).ok_or_else(unknown);
    }
    let mut serving = registry.wallets.iter().filter(|(_, wallet)| wallet.workflows.contains(workflow));
    // With one wallet there is nothing to choose; whether it may spend on the network is for the policies to say.
    let all: Vec<_> = serving.by_ref().collect();
    let here: Vec<_> = all.iter().filter(|(_, wallet)| wallet.networks.contains(network)).collect();
    match (all.as_slice(), here.as_slice()) {
        ([only], _) => Ok(*only),
        (_, [only]) => Ok(**only),
        (_, _) => {
            let what = format!("workflow `{workflow}` does not have exactly one wallet on `{network}`");
            Err(Denial::rule(DenyCode::WalletRequired, what))
        }
    }
}

/// What a request would have us sign.
pub(super) struct Resolver<'a> {
    pub(super) registry: &'a Registry,
    pub(super) settings: Settings,
    pub(super) now: UnixSeconds,
    pub(super) asked: &'a Asked,
    pub(super) workflow: (&'a WorkflowName, &'a Workflow),
}

impl Resolver<'_> {
    /// What paying one entry of a 402 comes to.
    pub(super) fn offer(&self, ask: &PaymentAsk, offer: &Offer) -> Result<Intent, Denial> {
        let Challenge { protocol, resource, resource_url: _, extensions, offers: _ } = &ask.challenge;
        let refused = |(code, what): (DenyCode, String)| Denial::rule(code, what);
        let understood =
            offer.content.as_ref().map_err(|refusal| Denial::rule(refusal.code, &refusal.what))?;
        extensions.refusal().map_or(Ok(()), |refusal| Err(refused(refusal)))?;
        let terms = &understood.terms;
        let wallet = wallet(self.registry, self.asked, self.workflow.0, &terms.asset.network)?;
        let asset = self.asset(terms)?;
        refuse_other_names(asset, understood)?;
        let demand = Demand::Offer(Offered {
            protocol: *protocol,
            index: offer.index,
            accepted: offer.raw.clone(),
            resource: resource.clone(),
            extensions: extensions.raw.clone(),
        });
        let valid_secs = understood.timeout_secs.min(self.settings.validity_secs_max(terms.method));
        let intent = Intent {
            origin: self.asked.endpoint.compare_origin(ask.challenge.resource_url_of(offer)),
            valid_after: self.now.minus(self.settings.skew_secs),
            valid_before: self.now.plus(valid_secs),
            nonce: ask.nonce,
            allowance: allowance(ask, terms, asset)?,
            ..self.intent(terms, demand, wallet, asset)?
        };
        Ok(intent)
    }

    /// What is the same however a payment is asked for. When it is valid is for the caller to say.
    fn intent(
        &self,
        terms: &Terms,
        demand: Demand,
        (wallet_name, wallet): (&WalletName, &Wallet),
        asset: &Asset,
    ) -> Result<Intent, Denial> {
        refuse_impossible(terms, wallet.address)?;
        if terms.amount.is_zero() {
            return Err(Denial::rule(DenyCode::AmountZero, "the amount is zero"));
        }
        let usd = asset.usd(terms.amount, self.now).map_err(|error| {
            let code = match error {
                UsdRateError::Stale => DenyCode::UsdStale,
                UsdRateError::TooLarge => DenyCode::AmountTooLarge,
            };
            Denial::rule(code, format!("the amount `{}` of {} has no value", terms.amount, asset.symbol()))
        })?;
        let (workflow_name, workflow) = self.workflow;
        let endpoint = &self.asked.endpoint;
        let services = self.registry.services_of(endpoint);
        Ok(Intent {
            request_id: self.asked.request_id.clone(),
            agent: self.asked.caller.agent.clone(),
            workflow: workflow_name.clone(),
            wallet: wallet_name.clone(),
            wallet_address: wallet.address,
            service: services.into_iter().find(|service| workflow.services.contains(service)),
            endpoint: endpoint.clone(),
            origin: OriginMatch::Absent,
            demand,
            terms: terms.clone(),
            domain: match terms.method {
                TransferMethod::Eip3009 => asset.domain_separator(),
                TransferMethod::Permit2 => permit2_domain_separator(&terms.asset.network),
            },
            usd,
            valid_after: self.now,
            valid_before: self.now,
            nonce: [0; 32],
            allowance: None,
        })
    }

    /// The asset as we know it.
    fn asset(&self, terms: &Terms) -> Result<&Asset, Denial> {
        let id = &terms.asset;
        let unknown =
            || Denial::rule(DenyCode::AssetUnknown, format!("no asset `{}` on `{}`", id.address, id.network));
        let asset = self.registry.assets.get(id).ok_or_else(unknown)?;
        if asset.allows(terms.method) {
            return Ok(asset);
        }
        let what = format!("{} is not paid with `{}`", asset.symbol(), terms.method.as_str());
        Err(Denial::rule(DenyCode::MethodUnsupported, what))
    }
}

/// What the seller says about the asset must agree with what we know.
fn refuse_other_names(asset: &Asset, understood: &Understood) -> Result<(), Denial> {
    let said = [
        ("name", &understood.asset_name, asset.name()),
        ("version", &understood.asset_version, asset.version()),
    ];
    for (what, theirs, ours) in said {
        if let Some(theirs) = theirs.as_deref().filter(|theirs| *theirs != ours) {
            let (theirs, ours) = (quoted(theirs), quoted(ours));
            let what = format!("the seller says the {what} of {} is {theirs}, it is {ours}", asset.symbol());
            return Err(Denial::rule(DenyCode::AssetMismatch, what));
        }
    }
    Ok(())
}

/// Zero address, token, payer and the protocol's own contracts cannot be whom anybody means to pay, nor who settles.
fn refuse_impossible(terms: &Terms, payer: Address) -> Result<(), Denial> {
    let impossible = |address: Address| {
        let Address::Evm(evm) = address;
        evm == EvmAddress::ZERO
            || address == terms.asset.address
            || address == payer
            || PROTOCOL_CONTRACTS.contains(&evm)
    };
    if impossible(terms.payee) {
        return Err(Denial::rule(DenyCode::PayeeForbidden, format!("`{}` cannot be paid", terms.payee)));
    }
    match terms.scheme.facilitator().filter(|facilitator| impossible(*facilitator)) {
        Some(facilitator) => {
            Err(Denial::rule(DenyCode::FacilitatorUnaccepted, format!("`{facilitator}` cannot settle")))
        }
        None => Ok(()),
    }
}

/// The allowance that is granted with a payment, if the agent says that one is missing. A payment that would fail for want
/// of one is not signed.
fn allowance(ask: &PaymentAsk, terms: &Terms, asset: &Asset) -> Result<Option<Allowance>, Denial> {
    let wanted =
        |wanted: &&AllowanceAsk| wanted.asset == terms.asset && terms.method == TransferMethod::Permit2;
    let Some(AllowanceAsk { asset: _, nonce }) = ask.allowance.as_ref().filter(wanted) else {
        return Ok(None);
    };
    match ask.challenge.extensions.sponsoring {
        Sponsoring::Eip2612 if asset.has_eip2612() => {
            Ok(Some(Allowance { domain: asset.domain_separator(), nonce: *nonce }))
        }
        Sponsoring::Eip2612 => {
            let what = format!("{} is not declared with `eip2612: true`", asset.symbol());
            Err(Denial::rule(DenyCode::AllowanceUnsponsored, what))
        }
        Sponsoring::Unlimited => {
            let what = "the seller sponsors an approval without limit only";
            Err(Denial::rule(DenyCode::ApprovalUnlimited, what))
        }
        Sponsoring::None => {
            Err(Denial::rule(DenyCode::AllowanceUnsponsored, "the seller does not sponsor an allowance"))
        }
    }
}
