//! From what was asked to an intent, under the bundle that judges.

use crate::registry::{Registry, Wallet, Workflow};
use crate::x402::{Challenge, Offer, OfferRefusal, Understood};
use crate::{
    Address, Asked, Asset, ChainId, Denial, DenyCode, EvmAddress, Intent, UnixSeconds, UsdRateError,
    WalletName, WorkflowName,
};

use super::{PaymentAsk, Settings};

/// Contracts of the protocol that can never be paid: Permit2 and the two x402 proxies.
const PROTOCOL_CONTRACTS: [EvmAddress; 3] = [
    EvmAddress::from_bytes(alloy_primitives::hex!("000000000022D473030F116dDEE9F6B43aC78BA3")),
    EvmAddress::from_bytes(alloy_primitives::hex!("402085c248EeA27D92E8b30b2C58ed07f9E20001")),
    EvmAddress::from_bytes(alloy_primitives::hex!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002")),
];

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

/// What one offer of a request would have us sign.
pub(super) struct Resolver<'a> {
    pub(super) registry: &'a Registry,
    pub(super) settings: Settings,
    pub(super) now: UnixSeconds,
    pub(super) ask: &'a PaymentAsk,
    pub(super) workflow: (&'a WorkflowName, &'a Workflow),
}

impl Resolver<'_> {
    pub(super) fn intent(&self, offer: &Offer) -> Result<Intent, Denial> {
        let refused = |refusal: &OfferRefusal| Denial::rule(refusal.code, &refusal.what);
        let understood = offer.content.as_ref().map_err(refused)?;
        let (workflow_name, workflow) = self.workflow;
        let terms = &understood.terms;
        let (wallet_name, wallet) =
            wallet(self.registry, &self.ask.asked, workflow_name, &terms.asset.network)?;
        let asset = self.asset(understood)?;
        self.refuse_impossible_payee(understood, wallet.address)?;
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
        let Challenge { protocol, resource, extensions, .. } = &self.ask.challenge;
        let endpoint = &self.ask.asked.endpoint;
        let services = self.registry.services_of(endpoint);
        let valid_secs = understood.timeout_secs.min(self.settings.validity_secs_max);
        Ok(Intent {
            request_id: self.ask.asked.request_id.clone(),
            agent: self.ask.asked.caller.agent.clone(),
            workflow: workflow_name.clone(),
            wallet: wallet_name.clone(),
            wallet_address: wallet.address,
            service: services.into_iter().find(|service| workflow.services.contains(service)),
            endpoint: endpoint.clone(),
            origin: endpoint.compare_origin(self.ask.challenge.resource_url_of(offer)),
            protocol: *protocol,
            offer_index: offer.index,
            accepted: offer.raw.clone(),
            resource: resource.clone(),
            extensions: extensions.clone(),
            terms: terms.clone(),
            domain: asset.domain_separator(),
            usd,
            valid_after: self.now.minus(self.settings.skew_secs),
            valid_before: self.now.plus(valid_secs),
            nonce: self.ask.nonce,
        })
    }

    /// The asset as we know it; what the seller says about it must agree.
    fn asset(&self, understood: &Understood) -> Result<&Asset, Denial> {
        let id = &understood.terms.asset;
        let asset = self.registry.assets.get(id);
        let unknown =
            || Denial::rule(DenyCode::AssetUnknown, format!("no asset `{}` on `{}`", id.address, id.network));
        let asset = asset.ok_or_else(unknown)?;
        let said = [
            ("name", &understood.asset_name, asset.name()),
            ("version", &understood.asset_version, asset.version()),
        ];
        for (what, theirs, ours) in said {
            if let Some(theirs) = theirs.as_deref().filter(|theirs| *theirs != ours) {
                let what =
                    format!("the seller says the {what} of {} is `{theirs}`, it is `{ours}`", asset.symbol());
                return Err(Denial::rule(DenyCode::AssetMismatch, what));
            }
        }
        if asset.allows(understood.terms.method) {
            return Ok(asset);
        }
        let what = format!("{} is not paid with `{}`", asset.symbol(), understood.terms.method.as_str());
        Err(Denial::rule(DenyCode::MethodUnsupported, what))
    }

    /// Zero address, token, payer and the protocol's own contracts cannot be whom anybody means to pay.
    fn refuse_impossible_payee(&self, understood: &Understood, payer: Address) -> Result<(), Denial> {
        let payee = understood.terms.payee;
        let Address::Evm(evm) = payee;
        let token = understood.terms.asset.address;
        if evm == EvmAddress::ZERO || payee == token || payee == payer || PROTOCOL_CONTRACTS.contains(&evm) {
            return Err(Denial::rule(DenyCode::PayeeForbidden, format!("`{payee}` cannot be paid")));
        }
        Ok(())
    }
}
