//! Each member of a record, back to what it says.

use std::borrow::Cow;
use std::sync::Arc;

use pursekeeper_core as core;
use pursekeeper_core::{UnixSeconds, siwx, x402};

use super::super::encode::BALANCE;
use super::super::{
    Allowance, Asked, Asset, Cancellation, Denial, Endpoint, Evidence, Hex, Int, Intent, Message, Offer,
    Pending, Report, Resolution, SignIn, Subject, Terms, Warning,
};
use super::{Flaw, Found, address, digest, known, read, refs};
use crate::credit::CreditKey;

impl Pending<'_> {
    pub(super) fn decode(self) -> Found<core::PendingPayee> {
        let Self { payee, service } = self;
        Ok(core::PendingPayee {
            service: read("service", core::ServiceName::parse(&service))?,
            payee: address("payee", &payee)?,
        })
    }
}

impl Subject<'_> {
    pub(super) fn decode(self) -> Found<core::Subject> {
        let Self { kind, name } = self;
        parse_subject(&kind, &name).map_err(Flaw)
    }
}

/// Reads a subject as records and tables write it.
pub(crate) fn parse_subject(kind: &str, name: &str) -> Result<core::Subject, String> {
    let flaw = |Flaw(what)| what;
    match kind {
        "agent" => read("name", core::AgentName::parse(name)).map(core::Subject::Agent).map_err(flaw),
        "workflow" => {
            read("name", core::WorkflowName::parse(name)).map(core::Subject::Workflow).map_err(flaw)
        }
        "service" => read("name", core::ServiceName::parse(name)).map(core::Subject::Service).map_err(flaw),
        "wallet" => address("name", name).map(core::Subject::Wallet).map_err(flaw),
        "sidecar" if name == core::Subject::Sidecar.to_string() => Ok(core::Subject::Sidecar),
        unknown => Err(format!("`kind`: unknown word `{unknown}`")),
    }
}

/// Reads a scope as tables write it.
pub(crate) fn parse_scope(kind: &str, name: &str) -> Result<core::Scope, String> {
    let flaw = |Flaw(what)| what;
    match kind {
        "agent" => read("name", core::AgentName::parse(name)).map(core::Scope::Agent).map_err(flaw),
        "workflow" => read("name", core::WorkflowName::parse(name)).map(core::Scope::Workflow).map_err(flaw),
        "service" => read("name", core::ServiceName::parse(name)).map(core::Scope::Service).map_err(flaw),
        "wallet" => address("name", name).map(core::Scope::Wallet).map_err(flaw),
        "payee" => address("name", name).map(core::Scope::Payee).map_err(flaw),
        unknown => Err(format!("`kind`: unknown word `{unknown}`")),
    }
}

/// Reads whose credit it is and where, as tables write it.
pub(crate) fn parse_credit(wallet: &str, service: &str) -> Result<CreditKey, String> {
    let service = core::ServiceName::parse(service).map_err(|error| format!("`service`: {error}"))?;
    address("wallet", wallet).map(|wallet| (wallet, service)).map_err(|Flaw(what)| what)
}

impl Asked<'_> {
    pub(super) fn decode(self) -> Found<core::Asked> {
        let Self { caller, endpoint, labels, latency_us, request_id, trace, wallet, workflow } = self;
        Ok(core::Asked {
            caller: caller.decode()?,
            request_id: read("request_id", core::RequestId::parse(&request_id))?,
            endpoint: endpoint.decode()?,
            workflow: workflow.map(|name| read("workflow", core::WorkflowName::parse(&name))).transpose()?,
            wallet: wallet.map(|name| read("wallet", core::WalletName::parse(&name))).transpose()?,
            labels: labels.to_map(),
            trace: trace.map(|trace| read("trace", core::TraceId::parse(&trace))).transpose()?,
            wait: latency_us.map_or(core::Wait::Unknown, |Int(micros)| core::Wait::For { micros }),
        })
    }
}

impl Report<'_> {
    pub(super) fn decode(self) -> Found<(core::Caller, core::Said)> {
        let Self { caller, claim, reason, remaining, transaction } = self;
        let outcome = match (claim.as_deref(), reason, transaction) {
            (None, None, None) => None,
            (Some("settled"), None, transaction) => {
                Some(core::Claim::Settled { transaction: transaction.map(Into::into) })
            }
            (Some("failed"), Some(reason), None) => Some(core::Claim::Failed { reason: reason.into_owned() }),
            (unknown, _, _) => {
                let unknown = unknown.unwrap_or_default();
                return Err(Flaw(format!("`claim`: `{unknown}` with other members than its own")));
            }
        };
        let remaining = remaining.map(|usd| read("remaining", core::Usd::parse(&usd))).transpose()?;
        let nothing = || Flaw("it says neither what happened nor what is left".to_owned());
        Ok((caller.decode()?, core::Said::of(outcome, remaining).ok_or_else(nothing)?))
    }
}

impl Evidence<'_> {
    pub(super) fn decode(self) -> Found<core::Observation> {
        let Self { block, block_hash, network, nodes, transaction } = self;
        Ok(core::Observation {
            network: read("network", core::ChainId::parse(&network))?,
            block: block.0,
            block_hash: block_hash.0,
            transaction: transaction.map(|Hex(hash)| hash),
            nodes,
        })
    }
}

impl Resolution<'_> {
    pub(super) fn decode(self) -> Found<core::HoldState> {
        let Self { amount, state, usd } = self;
        match (&*state, amount, usd) {
            ("settled", Some(amount), Some(usd)) => Ok(core::HoldState::Settled {
                amount: read("amount", core::Amount::parse(&amount))?,
                usd: read("usd", core::Usd::parse(&usd))?,
            }),
            ("released", None, None) => Ok(core::HoldState::Released),
            (unknown, _, _) => Err(Flaw(format!("`state`: `{unknown}` with other members than its own"))),
        }
    }
}

impl SignIn<'_> {
    pub(super) fn decode(self) -> Found<core::SignInIntent> {
        let Self { agent, endpoint, message, request_id, service, wallet, wallet_address, workflow } = self;
        let wallet_address = address("wallet_address", &wallet_address)?;
        Ok(core::SignInIntent {
            request_id: read("request_id", core::RequestId::parse(&request_id))?,
            agent: read("agent", core::AgentName::parse(&agent))?,
            workflow: read("workflow", core::WorkflowName::parse(&workflow))?,
            wallet: read("wallet", core::WalletName::parse(&wallet))?,
            wallet_address,
            service: service.map(|name| read("service", core::ServiceName::parse(&name))).transpose()?,
            endpoint: endpoint.decode()?,
            message: message.decode(wallet_address)?,
        })
    }
}

impl Message<'_> {
    pub(super) fn decode(self, address: core::Address) -> Found<siwx::SignIn> {
        let Self {
            domain,
            expiration_time,
            issued_at,
            network,
            nonce,
            not_before,
            profile,
            request_id,
            resources,
            signature_scheme,
            statement,
            uri,
        } = self;
        let parts = siwx::SignInParts {
            profile: known("profile", &profile, siwx::SignInProfile::parse(&profile))?,
            domain: domain.into_owned(),
            address,
            statement: statement.map(Into::into),
            uri: uri.into_owned(),
            chain: read("network", core::ChainId::parse(&network))?,
            nonce: nonce.into_owned(),
            issued_at: issued_at.into_owned(),
            expiration_time: expiration_time.map(Into::into),
            not_before: not_before.map(Into::into),
            request_id: request_id.map(Into::into),
            resources: resources.into_iter().map(Into::into).collect(),
            signature_scheme: signature_scheme.map(Into::into),
        };
        read("message", siwx::SignIn::from_parts(parts))
    }
}

impl Warning<'_> {
    pub(super) fn decode(self) -> Found<core::Warning> {
        let Self { name, scope, threshold, unit, value, window } = self;
        let measure = known("unit", &unit, core::Measure::parse(&unit))?;
        let kind = known("scope", &scope, core::ScopeKind::parse(&scope))?;
        let limit = if window == BALANCE {
            core::NearLimit::Balance { name: name.into_owned() }
        } else {
            let window = known("window", &window, core::Window::parse(&window))?;
            core::NearLimit::Ceiling { scope: kind, name: name.into_owned(), window, measure }
        };
        Ok(core::Warning { limit, value: value.into_owned(), threshold: threshold.into_owned() })
    }
}

impl Endpoint<'_> {
    pub(super) fn decode(self) -> Found<core::Endpoint> {
        if self.method.is_empty() && self.url.is_empty() {
            return Ok(core::Endpoint::unknown());
        }
        read("endpoint", core::Endpoint::parse(&self.method, &self.url))
    }
}

impl Denial<'_> {
    pub(super) fn decode(self) -> Found<core::Denial> {
        let Self { code, message, policies } = self;
        Ok(core::Denial {
            code: known("code", &code, core::DenyCode::parse(&code))?,
            message: message.into_owned(),
            policies: refs(policies),
        })
    }
}

impl Offer<'_> {
    pub(super) fn decode(self) -> Found<core::OfferVerdict> {
        let Self { denial, index } = self;
        Ok(core::OfferVerdict { index, denial: denial.map(Denial::decode).transpose()? })
    }
}

impl Intent<'_> {
    pub(super) fn decode(self) -> Found<core::Intent> {
        let demand = demand(
            (self.accepted, self.offer_index, self.protocol),
            self.resource.map(Into::into),
            self.extensions.map(Into::into),
        )?;
        Ok(core::Intent {
            request_id: read("request_id", core::RequestId::parse(&self.request_id))?,
            agent: read("agent", core::AgentName::parse(&self.agent))?,
            workflow: read("workflow", core::WorkflowName::parse(&self.workflow))?,
            wallet: read("wallet", core::WalletName::parse(&self.wallet))?,
            wallet_address: address("wallet_address", &self.wallet_address)?,
            service: self.service.map(|name| read("service", core::ServiceName::parse(&name))).transpose()?,
            endpoint: self.endpoint.decode()?,
            origin: known("origin", &self.origin, core::OriginMatch::parse(&self.origin))?,
            demand,
            terms: self.terms.decode()?,
            domain: digest(self.domain),
            usd: read("usd", core::Usd::parse(&self.usd))?,
            valid_after: UnixSeconds(self.valid_after.0),
            valid_before: UnixSeconds(self.valid_before.0),
            nonce: self.nonce.0,
            allowance: self.allowance.map(Allowance::decode).transpose()?,
        })
    }
}

/// What asks for a signature: an offer, with all that belongs to one, or typed data, with nothing of it.
fn demand(
    offered: (Option<Cow<'_, str>>, Option<u32>, Option<u8>),
    resource: Option<Arc<str>>,
    extensions: Option<Arc<str>>,
) -> Found<core::Demand> {
    match (offered, &resource, &extensions) {
        ((Some(accepted), Some(index), Some(number)), _, _) => {
            let mut protocols = [x402::Protocol::V1, x402::Protocol::V2].into_iter();
            let protocol = protocols.find(|protocol| protocol.number() == number);
            let protocol = known("protocol", &number.to_string(), protocol)?;
            let accepted = accepted.into();
            Ok(core::Demand::Offer(core::Offered { protocol, index, accepted, resource, extensions }))
        }
        ((None, None, None), None, None) => Ok(core::Demand::TypedData),
        _ => Err(Flaw("it is half an offer".to_owned())),
    }
}

impl Cancellation<'_> {
    pub(super) fn decode(self) -> Found<core::Cancellation> {
        let Self { asset, domain, nonce, wallet, wallet_address } = self;
        Ok(core::Cancellation {
            wallet: read("wallet", core::WalletName::parse(&wallet))?,
            authorizer: address("wallet_address", &wallet_address)?,
            asset: asset.decode()?,
            domain: digest(domain),
            nonce: nonce.0,
        })
    }
}

impl Asset<'_> {
    fn decode(self) -> Found<core::AssetId> {
        Ok(core::AssetId {
            network: read("network", core::ChainId::parse(&self.network))?,
            address: address("asset", &self.address)?,
        })
    }
}

impl Allowance<'_> {
    fn decode(self) -> Found<core::Allowance> {
        let Self { domain, nonce } = self;
        Ok(core::Allowance { domain: digest(domain), nonce: read("nonce", core::Amount::parse(&nonce))? })
    }
}

impl Terms<'_> {
    pub(super) fn decode(self) -> Found<x402::Terms> {
        let Self { amount, asset, facilitator, method, payee, scheme: word } = self;
        let scheme = match facilitator {
            None => x402::Scheme::Exact,
            Some(text) => x402::Scheme::Upto { facilitator: address("facilitator", &text)? },
        };
        let scheme = known("scheme", &word, (scheme.as_str() == word).then_some(scheme))?;
        Ok(x402::Terms {
            scheme,
            method: known("method", &method, core::TransferMethod::parse(&method))?,
            asset: asset.decode()?,
            payee: address("payee", &payee)?,
            amount: read("amount", core::Amount::parse(&amount))?,
        })
    }
}
