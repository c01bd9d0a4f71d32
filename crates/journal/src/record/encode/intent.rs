//! From a payment, and what goes with it, to its members of the record.

use pursekeeper_core as core;
use pursekeeper_core::x402;

use super::super::{Allowance, Asset, Cancellation, Endpoint, Hex, Int, Intent, Terms};
use super::address_text;

impl<'a> Intent<'a> {
    pub(super) fn of(intent: &'a core::Intent) -> Self {
        let core::Intent {
            request_id,
            agent,
            workflow,
            wallet,
            wallet_address,
            service,
            endpoint,
            origin,
            demand,
            terms,
            domain,
            usd,
            valid_after,
            valid_before,
            nonce,
            allowance,
        } = intent;
        let base = Self {
            accepted: None,
            agent: agent.as_str().into(),
            allowance: allowance.as_ref().map(Allowance::of),
            domain: Hex(domain.0),
            endpoint: Endpoint::of(endpoint),
            extensions: None,
            nonce: Hex(*nonce),
            offer_index: None,
            origin: origin.as_str().into(),
            protocol: None,
            request_id: request_id.as_str().into(),
            resource: None,
            service: service.as_ref().map(|name| name.as_str().into()),
            terms: Terms::of(terms),
            usd: usd.to_string().into(),
            valid_after: Int(valid_after.0),
            valid_before: Int(valid_before.0),
            wallet: wallet.as_str().into(),
            wallet_address: address_text(*wallet_address).into(),
            workflow: workflow.as_str().into(),
        };
        match demand {
            core::Demand::TypedData => base,
            core::Demand::Offer(core::Offered { protocol, index, accepted, resource, extensions }) => Self {
                accepted: Some((&**accepted).into()),
                extensions: extensions.as_deref().map(Into::into),
                offer_index: Some(*index),
                protocol: Some(protocol.number()),
                resource: resource.as_deref().map(Into::into),
                ..base
            },
        }
    }
}

impl<'a> Cancellation<'a> {
    pub(super) fn of(cancellation: &'a core::Cancellation) -> Self {
        let core::Cancellation { wallet, authorizer, asset, domain, nonce } = cancellation;
        let core::AssetId { network, address: token } = asset;
        Self {
            asset: Asset { address: address_text(*token).into(), network: network.to_string().into() },
            domain: Hex(domain.0),
            nonce: Hex(*nonce),
            wallet: wallet.as_str().into(),
            wallet_address: address_text(*authorizer).into(),
        }
    }
}

impl Allowance<'_> {
    pub(super) fn of(allowance: &core::Allowance) -> Self {
        let core::Allowance { domain, nonce } = allowance;
        Self { domain: Hex(domain.0), nonce: nonce.to_string().into() }
    }
}

impl<'a> Terms<'a> {
    pub(super) fn of(terms: &'a x402::Terms) -> Self {
        let x402::Terms { scheme, method, asset, payee, amount } = terms;
        let core::AssetId { network, address: token } = asset;
        Self {
            amount: amount.to_string().into(),
            asset: Asset { address: address_text(*token).into(), network: network.to_string().into() },
            facilitator: scheme.facilitator().map(|facilitator| address_text(facilitator).into()),
            method: method.as_str().into(),
            payee: address_text(*payee).into(),
            scheme: scheme.as_str().into(),
        }
    }
}
