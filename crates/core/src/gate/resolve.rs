//! From what was asked to an intent, under the bundle that judges.

use crate::quote::quoted;
use crate::registry::{Registry, Wallet, Workflow};
use crate::typed_data::{TypedPayment, TypedPermit};
use crate::x402::{Challenge, Offer, Sponsoring, Terms};
use crate::{
    Address, Allowance, Asked, Asset, AssetId, ChainId, Demand, Denial, DenyCode, EXACT_PROXY, EvmAddress,
    Intent, Offered, OriginMatch, PERMIT2, TransferMethod, UPTO_PROXY, UnixSeconds, UsdRateError, WalletName,
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
            let mut workflows = agent.workflows.iter().filter(|name| asked.caller.may_ask_for(name));
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
    let found = registry.workflows.get_key_value(name).ok_or_else(unknown)?;
    if asked.caller.may_ask_for(name) { Ok(found) } else { Err(not_on_listener(name)) }
}

/// Why a workflow is refused that the agent may work for, but not over this listener.
pub(super) fn not_on_listener(workflow: &WorkflowName) -> Denial {
    let what = format!("the listener this was asked over is not for workflow `{workflow}`");
    Denial::rule(DenyCode::WorkflowNotOnListener, what)
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
        refuse_other_names(asset, (understood.asset_name.as_deref(), understood.asset_version.as_deref()))?;
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

    /// What a payment comes to that an app built itself.
    pub(super) fn typed(&self, wanted: &TypedPayment) -> Result<Intent, Denial> {
        let TypedPayment { from, terms, asset_domain, valid_after, valid_before, nonce } = wanted;
        let wallet = match from {
            Some(from) => self.wallet_at(*from)?,
            None => wallet(self.registry, self.asked, self.workflow.0, &terms.asset.network)?,
        };
        let asset = self.asset(terms)?;
        if let Some((name, version)) = asset_domain {
            refuse_other_names(asset, (Some(name.as_str()), Some(version.as_str())))?;
        }
        // Permit2 takes the signature in the second of its deadline too, an EIP-3009 token only before its end.
        let last = match terms.method {
            TransferMethod::Eip3009 => 0,
            TransferMethod::Permit2 => 1,
        };
        let latest = self.now.plus(self.settings.validity_secs_max(terms.method)).plus(last);
        if *valid_after > self.now || *valid_before <= self.now || *valid_before > latest {
            let what = format!("the signature would be valid from {valid_after} to {valid_before}");
            return Err(Denial::rule(DenyCode::ValidityRefused, what));
        }
        let intent = self.intent(terms, Demand::TypedData, wallet, asset)?;
        Ok(Intent { valid_after: *valid_after, valid_before: *valid_before, nonce: *nonce, ..intent })
    }

    /// The allowance that an app wants granted.
    pub(super) fn granting(&self, wanted: &TypedPermit) -> Result<Allowance, Denial> {
        let TypedPermit { owner, asset: id, asset_domain: (name, version), nonce, value: _, deadline: _ } =
            wanted;
        self.wallet_at(*owner)?;
        let asset = self.asset_at(id)?;
        refuse_other_names(asset, (Some(name.as_str()), Some(version.as_str())))?;
        if asset.has_eip2612() {
            return Ok(Allowance { domain: asset.domain_separator(), nonce: *nonce });
        }
        let what = format!("{} is not declared with `eip2612: true`", asset.symbol());
        Err(Denial::rule(DenyCode::MethodUnsupported, what))
    }

    /// The wallet with an address, which must be the one that is named, if one is.
    fn wallet_at(&self, address: Address) -> Result<(&WalletName, &Wallet), Denial> {
        let unknown =
            || Denial::rule(DenyCode::WalletUnknown, format!("no wallet has the address `{address}`"));
        let found = self.registry.wallet_at(address).ok_or_else(unknown)?;
        match &self.asked.wallet {
            Some(named) if named != found.0 => {
                let what = format!("`{address}` is wallet `{}` and not `{named}`", found.0);
                Err(Denial::rule(DenyCode::WalletUnknown, what))
            }
            Some(_) | None => Ok(found),
        }
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
        let services = self.registry.services_for(endpoint, terms.payee);
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

    /// The asset as we know it, which must be paid this way.
    fn asset(&self, terms: &Terms) -> Result<&Asset, Denial> {
        let asset = self.asset_at(&terms.asset)?;
        if asset.allows(terms.method) {
            return Ok(asset);
        }
        let what = format!("{} is not paid with `{}`", asset.symbol(), terms.method.as_str());
        Err(Denial::rule(DenyCode::MethodUnsupported, what))
    }

    fn asset_at(&self, id: &AssetId) -> Result<&Asset, Denial> {
        let unknown =
            || Denial::rule(DenyCode::AssetUnknown, format!("no asset `{}` on `{}`", id.address, id.network));
        self.registry.assets.get(id).ok_or_else(unknown)
    }
}

/// What others say about the asset must agree with what we know.
fn refuse_other_names(asset: &Asset, (name, version): (Option<&str>, Option<&str>)) -> Result<(), Denial> {
    for (what, theirs, ours) in [("name", name, asset.name()), ("version", version, asset.version())] {
        if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
            let (symbol, theirs, ours) = (asset.symbol(), quoted(theirs), quoted(ours));
            let what = format!("the {what} of {symbol} is said to be {theirs}, it is {ours}");
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
