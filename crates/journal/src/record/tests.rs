mod life;
mod notes;
mod shadow;
mod who;

use std::collections::BTreeMap;

use proptest::prelude::*;
use pursekeeper_core as core;
use pursekeeper_core::siwx::{SignIn, SignInParts, SignInProfile};
use pursekeeper_core::{
    ActVerb, Address, AgentName, Amount, Asked, Caller, ChainId, Claim, Demand, Denial, DenyCode, Digest,
    Endpoint, Entry, Evidence, EvmAddress, HoldState, Intent, Measure, Mode, Moment, NearLimit, Observation,
    OfferVerdict, Offered, OriginMatch, Outcome, PendingPayee, Permit, PolicyRef, Reissue, Report, RequestId,
    Said, ScopeKind, ServiceName, SignInDecision, SignInIntent, SignInOutcome, SignInPermit, Signable,
    Subject, TraceId, UnixSeconds, Usd, Wait, WalletName, Warning, Window, WorkflowName, x402,
};

use super::*;
use crate::JournalError;
use crate::fixtures::{ID, NOW, Pay, accepted, act, claimed, moment, resolved, said, settled_for};

fn body(entry: &Entry) -> Vec<u8> {
    Record::of(7, entry).to_bytes().unwrap()
}

#[test]
fn what_is_not_exactly_a_record_is_refused() {
    let good = String::from_utf8(body(&Pay::new(1, NOW).permit())).unwrap();
    let table = [
        ("", "", "no text"),
        ("{\"asked\"", "{ \"asked\"", "white space"),
        ("\"verdict\":\"permit\"", "\"verdict\":\"deny\"", "a verdict that contradicts the rest"),
        ("\"v\":1", "\"v\":2", "a newer version"),
        ("\"v\":1", "\"v\":1.0", "a float"),
        ("\"v\":1,", "\"v\":1,\"w\":1,", "an unknown member"),
        ("\"seq\":7", "\"seq\":9007199254740992", "an integer of 2^53"),
        ("\"kind\":\"payment\"", "\"kind\":\"pavement\"", "an unknown kind"),
        ("\"kind\":\"payment\"", "\"kind\":\"reissue\"", "another kind"),
        ("\"held_until\":1795305960,", "", "a permit without its end"),
        ("\"intent\":{", "\"act\":null,\"intent\":{", "a null"),
        ("d0d0d0", "D0D0D0", "upper-case digits"),
        ("\"agent\":\"researcher\"", "\"agent\":\"Researcher\"", "a name that is none"),
        ("\"1000\"", "\"01000\"", "an amount that is not canonical"),
        ("because", "bec\\u0061use", "a needless escape"),
    ];
    assert!(examine(good.as_bytes()).is_ok());
    for (from, to, what) in table {
        let text = if from.is_empty() { String::new() } else { good.replacen(from, to, 1) };
        assert_ne!(text, good, "{what}");
        assert!(examine(text.as_bytes()).is_err(), "{what}: {text}");
    }
}

#[test]
fn a_report_says_something_and_nothing_else() {
    let good = body(&said(2, Said::Both(Claim::settled(Some("0xabc")), Usd::ZERO), NOW));
    let good = String::from_utf8(good).unwrap();
    let table = [
        ("\"claim\":\"settled\",", "", "a transaction of nothing"),
        ("\"claim\":\"settled\"", "\"claim\":\"remaining\"", "an unknown word"),
        ("\"remaining\":\"0.00\"", "\"remaining\":\"-1\"", "less than nothing"),
        ("\"remaining\":\"0.00\"", "\"remaining\":\"\"", "no dollars"),
        (",\"claim\":\"settled\",\"remaining\":\"0.00\",\"transaction\":\"0xabc\"", "", "nothing at all"),
    ];
    assert!(examine(good.as_bytes()).is_ok(), "{good}");
    for (from, to, what) in table {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{what}");
        assert!(examine(text.as_bytes()).is_err(), "{what}: {text}");
    }
}

#[test]
fn only_a_refusal_that_counts_leaves_a_payee_to_the_operators() {
    let refused = String::from_utf8(body(&Pay::new(1, NOW).pending())).unwrap();
    let member = format!("\"pending\":{{\"payee\":\"0x{}\",\"service\":\"papers\"}},", "09".repeat(20));
    assert!(refused.contains(&member) && examine(refused.as_bytes()).is_ok(), "{refused}");
    let preview = refused.replace("\"kind\":\"payment\"", "\"kind\":\"preview\"");
    let permit = String::from_utf8(body(&Pay::new(1, NOW).permit())).unwrap();
    let permit = permit.replace("\"policies\"", &format!("{member}\"policies\""));
    for text in [preview, permit] {
        assert!(text.contains(&member) && examine(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn an_integer_beyond_json_is_not_recorded() {
    let pay = Pay { held_until: 1 << 53, ..Pay::new(1, NOW) };
    assert!(matches!(Record::of(2, &pay.permit()).to_bytes(), Err(JournalError::Unrecordable(_))));
}

/// The format is final: these bytes are read and hashed for ever.
#[test]
fn the_bytes_of_version_1_are_pinned() {
    let genesis = Genesis { journal: ID, adopted: Some(UnixSeconds(NOW + 360)) };
    let genesis = Record::genesis(moment(NOW), genesis).to_bytes().unwrap();
    let suspended =
        act(ActVerb::Suspend, Subject::Wallet(Address::Evm(EvmAddress::from_bytes([1; 20]))), NOW);
    let pay = Pay::new(1, NOW);
    let mut near = pay.permit();
    if let Entry::Payment(decision) = &mut near
        && let Outcome::Permit(permit) = &mut decision.outcome
    {
        permit.warnings = [
            NearLimit::Ceiling {
                scope: ScopeKind::Workflow,
                name: "literature-review".to_owned(),
                window: Window::Day,
                measure: Measure::Usd,
            },
            NearLimit::Balance { name: "research".to_owned() },
        ]
        .map(|limit| Warning { limit, value: "4.10".to_owned(), threshold: "5.00".to_owned() })
        .to_vec();
    }
    let all = [
        genesis,
        body(&pay.permit()),
        body(&pay.denied()),
        body(&pay.permitted(Mode::Preview)),
        body(&pay.reissued(2, NOW)),
        body(&suspended),
        body(&claimed(2, Claim::settled(Some("0xabc")), NOW)),
        body(&claimed(2, Claim::failed("insufficient_funds"), NOW)),
        body(&resolved(2, settled_for(Usd::from_units(500_000_000)), NOW)),
        body(&resolved(2, HoldState::Released, NOW)),
        body(&near),
        body(&said(2, Said::Remaining(Usd::from_units(3_500_000_000_000)), NOW)),
        body(&said(2, Said::Both(Claim::settled(Some("0xabc")), Usd::ZERO), NOW)),
        body(&pay.pending()),
        body(&accepted("papers", Address::Evm(EvmAddress::from_bytes([9; 20])), NOW)),
    ];
    let all = all.into_iter().chain(
        life::pinned()
            .into_iter()
            .chain(notes::pinned())
            .chain(who::pinned())
            .chain(shadow::pinned())
            .map(|entry| body(&entry)),
    );
    let pinned: Vec<&str> = include_str!("v1.jsonl").lines().collect();
    let written: Vec<String> = all.map(|body| String::from_utf8(body).unwrap()).collect();
    for (at, (written, pinned)) in written.iter().zip(&pinned).enumerate() {
        assert_eq!(written, pinned, "line {at}");
    }
    assert_eq!(&written[pinned.len().min(written.len())..], [""; 0], "not pinned yet");
    assert_eq!(written.len(), pinned.len());
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,20}"
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(|bytes| Address::Evm(EvmAddress::from_bytes(bytes)))
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    ("[A-Z]{1,7}", "[a-z]{1,8}", "[a-zA-Z0-9/._~-]{0,20}", "[a-z=&0-9]{0,9}").prop_map(
        |(method, host, path, query)| {
            Endpoint::parse(&method, &format!("https://{host}.example/{path}?{query}")).unwrap()
        },
    )
}

fn instant() -> impl Strategy<Value = UnixSeconds> {
    (0u64..1 << 53).prop_map(UnixSeconds)
}

fn at() -> impl Strategy<Value = Moment> {
    (0u64..1 << 53, 0u64..1 << 53, any::<[u8; 16]>()).prop_map(|(unix_ms, boot_ms, boot_id)| Moment {
        unix_ms,
        boot_ms,
        boot_id,
    })
}

fn policies() -> impl Strategy<Value = Vec<PolicyRef>> {
    let policy = (any::<String>(), any::<String>(), prop::option::of(any::<[u8; 32]>())).prop_map(
        |(id, reason, digest)| PolicyRef { id: id.into(), reason: reason.into(), digest: digest.map(Digest) },
    );
    prop::collection::vec(policy, 0..3)
}

fn denial() -> impl Strategy<Value = Denial> {
    (prop::sample::select(DenyCode::ALL), any::<String>(), policies())
        .prop_map(|(code, message, policies)| Denial { code, message, policies })
}

fn asked() -> BoxedStrategy<Asked> {
    let labels = prop::collection::btree_map(any::<String>(), any::<String>(), 0..4);
    let names = (name(), prop::option::of(name()), prop::option::of(name()));
    let by = (who::source(), who::workflows());
    let call = (by, prop::option::of("[0-9a-f]{31}1"), prop::option::of(0u64..1 << 53));
    (names, "[A-Za-z0-9._:-]{1,128}", endpoint(), labels, call)
        .prop_map(|((agent, workflow, wallet), id, endpoint, labels, ((source, only), trace, micros))| {
            Asked {
                caller: Caller { workflows: only, ..Caller::new(AgentName::parse(&agent).unwrap(), source) },
                request_id: RequestId::parse(&id).unwrap(),
                endpoint,
                workflow: workflow.map(|name| WorkflowName::parse(&name).unwrap()),
                wallet: wallet.map(|name| WalletName::parse(&name).unwrap()),
                labels,
                trace: trace.map(|trace| TraceId::parse(&trace).unwrap()),
                wait: micros.map_or(Wait::Unknown, |micros| Wait::For { micros }),
            }
        })
        .boxed()
}

fn terms() -> impl Strategy<Value = x402::Terms> {
    let scheme = prop_oneof![
        Just(x402::Scheme::Exact),
        address().prop_map(|facilitator| x402::Scheme::Upto { facilitator })
    ];
    let how = (scheme, prop::sample::select(&pursekeeper_core::TransferMethod::ALL));
    (how, address(), address(), "[1-9][0-9]{0,76}", 1..=u64::MAX).prop_map(
        |((scheme, method), token, payee, amount, chain)| x402::Terms {
            scheme,
            method,
            asset: pursekeeper_core::AssetId { network: ChainId::Eip155(chain), address: token },
            payee,
            amount: Amount::parse(&amount).unwrap(),
        },
    )
}

fn demand() -> impl Strategy<Value = Demand> {
    const PROTOCOLS: [x402::Protocol; 2] = [x402::Protocol::V1, x402::Protocol::V2];
    let texts = (any::<String>(), prop::option::of(any::<String>()), prop::option::of(any::<String>()));
    let offered = (prop::sample::select(&PROTOCOLS), any::<u32>(), texts);
    let offered = offered.prop_map(|(protocol, index, (accepted, resource, extensions))| {
        Demand::Offer(Offered {
            protocol,
            index,
            accepted: accepted.into(),
            resource: resource.map(Into::into),
            extensions: extensions.map(Into::into),
        })
    });
    prop_oneof![4 => offered, 1 => Just(Demand::TypedData)]
}

fn allowance() -> impl Strategy<Value = Option<core::Allowance>> {
    let allowance = (any::<[u8; 32]>(), any::<[u8; 32]>());
    let allowance = allowance.prop_map(|(domain, nonce)| core::Allowance {
        domain: Digest(domain),
        nonce: Amount::from_be_bytes(nonce),
    });
    prop::option::of(allowance)
}

fn intent() -> impl Strategy<Value = Intent> {
    let names = (name(), name(), name(), prop::option::of(name()), "[A-Za-z0-9._:-]{1,128}");
    const ORIGINS: [OriginMatch; 3] = [OriginMatch::Match, OriginMatch::Absent, OriginMatch::Differs];
    let demand = (prop::sample::select(&ORIGINS), demand(), allowance());
    let bytes = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u128>());
    (names, address(), endpoint(), demand, terms(), bytes, (instant(), instant())).prop_map(
        |(names, wallet_address, endpoint, (origin, demand, allowance), terms, bytes, valid)| {
            let offered = demand != Demand::TypedData;
            Intent {
                request_id: RequestId::parse(&names.4).unwrap(),
                agent: AgentName::parse(&names.0).unwrap(),
                workflow: WorkflowName::parse(&names.1).unwrap(),
                wallet: WalletName::parse(&names.2).unwrap(),
                wallet_address,
                service: names.3.map(|name| ServiceName::parse(&name).unwrap()),
                endpoint,
                origin,
                demand,
                terms,
                domain: Digest(bytes.0),
                usd: Usd::from_units(bytes.2),
                valid_after: valid.0,
                valid_before: valid.1,
                nonce: bytes.1,
                // An app that builds typed data asks for an allowance on its own.
                allowance: allowance.filter(|_| offered),
            }
        },
    )
}

fn warning() -> impl Strategy<Value = Warning> {
    let ceiling = (
        prop::sample::select(&ScopeKind::ALL),
        any::<String>(),
        prop::sample::select(&Window::ALL),
        prop::sample::select(&Measure::ALL),
    );
    let ceiling = ceiling.prop_map(|(scope, name, window, measure)| NearLimit::Ceiling {
        scope,
        name,
        window,
        measure,
    });
    let limit = prop_oneof![ceiling, any::<String>().prop_map(|name| NearLimit::Balance { name })];
    (limit, any::<String>(), any::<String>()).prop_map(|(limit, value, threshold)| Warning {
        limit,
        value,
        threshold,
    })
}

fn report() -> impl Strategy<Value = Entry> {
    let claim = prop_oneof![
        prop::option::of(any::<String>()).prop_map(|transaction| Claim::Settled { transaction }),
        any::<String>().prop_map(|reason| Claim::Failed { reason }),
    ];
    let remaining = any::<u128>().prop_map(Usd::from_units);
    let said = prop_oneof![
        claim.clone().prop_map(Said::Outcome),
        remaining.clone().prop_map(Said::Remaining),
        (claim, remaining).prop_map(|(claim, usd)| Said::Both(claim, usd)),
    ];
    (at(), name(), who::source(), 0u64..1 << 53, said).prop_map(|(at, agent, source, original_seq, said)| {
        let agent = AgentName::parse(&agent).unwrap();
        let caller = Caller::new(agent, source);
        Entry::Report(Box::new(Report { at, caller, original_seq, said }))
    })
}

fn evidence() -> impl Strategy<Value = Entry> {
    let settled = (any::<u64>(), any::<u128>()).prop_map(|(amount, usd)| HoldState::Settled {
        amount: Amount::parse(&amount.to_string()).unwrap(),
        usd: Usd::from_units(usd),
    });
    let state = prop_oneof![settled, Just(HoldState::Released)];
    let place = (any::<u64>(), 0u64..1 << 53, any::<[u8; 32]>());
    let place = (place, prop::option::of(any::<[u8; 32]>()), any::<u32>());
    (at(), 0u64..1 << 53, place, state).prop_map(
        |(at, original_seq, ((network, block, block_hash), transaction, nodes), state)| {
            let network = ChainId::Eip155(network);
            let observation = Observation { network, block, block_hash, transaction, nodes };
            Entry::Evidence(Box::new(Evidence { at, original_seq, observation, state }))
        },
    )
}

fn payment() -> impl Strategy<Value = Entry> {
    let permit = (intent(), policies(), instant(), prop::collection::vec(warning(), 0..3));
    let permit = permit.prop_map(|(intent, policies, held_until, warnings)| {
        Outcome::Permit(Box::new(Permit { intent, policies, held_until, warnings }))
    });
    let deny = (denial(), prop::option::of(intent()))
        .prop_map(|(denial, intent)| Outcome::Deny { denial, intent: intent.map(Box::new) });
    let offer =
        (any::<u32>(), prop::option::of(denial())).prop_map(|(index, denial)| OfferVerdict { index, denial });
    let mode = prop_oneof![Just(Mode::Enforce), Just(Mode::Preview)];
    let judged = (any::<[u8; 32]>(), shadow::bundle(), shadow::shadow());
    let offers = prop::collection::vec(offer, 0..3);
    let pending =
        prop::option::of((name(), address()).prop_map(|(service, payee)| PendingPayee {
            service: ServiceName::parse(&service).unwrap(),
            payee,
        }));
    (at(), mode, asked(), judged, offers, prop_oneof![permit, deny], pending, notes::ceilings()).prop_map(
        |(at, mode, asked, (fingerprint, bundle, shadow), offers, outcome, pending, ceilings)| {
            let mut decision = pursekeeper_core::Decision {
                at,
                mode,
                asked,
                fingerprint: Digest(fingerprint),
                offers,
                outcome,
                ceilings,
                pending,
                bundle,
                shadow,
            };
            decision.pending = decision.pending_payee().cloned();
            Entry::Payment(Box::new(decision))
        },
    )
}

fn reissue() -> impl Strategy<Value = Entry> {
    let allowance = (intent(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(intent, domain, nonce)| {
        let intent = Intent { demand: Demand::TypedData, allowance: None, ..intent };
        let nonce = Amount::from_be_bytes(nonce);
        Signable::Allowance(intent, core::Allowance { domain: Digest(domain), nonce })
    });
    let what = prop_oneof![
        intent().prop_map(Signable::Payment),
        sign_in_intent().prop_map(Signable::SignIn),
        allowance
    ];
    (at(), asked(), 1u64..1 << 53, what, policies(), shadow::bundle()).prop_map(
        |(at, asked, original_seq, what, policies, bundle)| {
            Entry::Reissue(Box::new(Reissue { at, asked, original_seq, what, policies, bundle }))
        },
    )
}

fn sign_in_intent() -> impl Strategy<Value = SignInIntent> {
    let texts = (
        prop::option::of("[A-Za-z .,]{1,40}"),
        "[A-Za-z0-9]{8,20}",
        prop::option::of("[A-Za-z0-9._~-]{1,20}"),
        prop::collection::vec("[a-z0-9]{1,9}", 0..3),
    );
    let profile = prop::sample::select(&[SignInProfile::Standard, SignInProfile::Venice]);
    let chosen = (profile, any::<u64>(), any::<bool>(), any::<bool>());
    (name(), name(), name(), prop::option::of(name()), endpoint(), address(), texts, chosen).prop_map(
        |(agent, workflow, wallet, service, endpoint, wallet_address, texts, chosen)| {
            let origin = endpoint.origin().to_string();
            let parts = SignInParts {
                profile: chosen.0,
                domain: endpoint.origin().host().to_owned(),
                address: wallet_address,
                statement: texts.0,
                uri: format!("{origin}/login"),
                chain: ChainId::Eip155(chosen.1),
                nonce: texts.1,
                issued_at: "2026-11-22T12:00:00Z".to_owned(),
                expiration_time: chosen.2.then(|| "2026-11-22T12:05:00.5Z".to_owned()),
                not_before: chosen.3.then(|| "2026-11-22T11:59:00+00:00".to_owned()),
                request_id: texts.2,
                resources: texts.3.iter().map(|path| format!("{origin}/{path}")).collect(),
                signature_scheme: chosen.2.then(|| "eip191".to_owned()),
            };
            SignInIntent {
                request_id: RequestId::parse(&agent).unwrap(),
                agent: AgentName::parse(&agent).unwrap(),
                workflow: WorkflowName::parse(&workflow).unwrap(),
                wallet: WalletName::parse(&wallet).unwrap(),
                wallet_address,
                service: service.map(|name| ServiceName::parse(&name).unwrap()),
                endpoint,
                message: SignIn::from_parts(parts).unwrap(),
            }
        },
    )
}

fn sign_in() -> impl Strategy<Value = Entry> {
    let permit = (sign_in_intent(), policies(), instant()).prop_map(|(intent, policies, counted_until)| {
        SignInOutcome::Permit(Box::new(SignInPermit { intent, policies, counted_until }))
    });
    let deny = (denial(), prop::option::of(sign_in_intent()))
        .prop_map(|(denial, intent)| SignInOutcome::Deny { denial, intent: intent.map(Box::new) });
    let outcome = prop_oneof![permit, deny];
    let judged = (any::<[u8; 32]>(), shadow::bundle(), shadow::shadow());
    (at(), asked(), judged, outcome, notes::ceilings()).prop_map(
        |(at, asked, (fingerprint, bundle, shadow), outcome, ceilings)| {
            let fingerprint = Digest(fingerprint);
            Entry::SignIn(Box::new(SignInDecision {
                at,
                asked,
                fingerprint,
                outcome,
                ceilings,
                bundle,
                shadow,
            }))
        },
    )
}

proptest! {
    /// Every entry comes back exactly, and its bytes are what an independent canonicaliser (RFC 8785) makes of them.
    #[test]
    fn records_are_canonical_and_come_back_exactly(
        seq in 1u64..1 << 53,
        entry in prop_oneof![
            3 => payment(), 1 => reissue(), 1 => life::lifecycle(), 1 => report(), 1 => evidence(), 1 => sign_in(),
            1 => life::transition(), 1 => notes::notes()
        ],
    ) {
        let body = Record::of(seq, &entry).to_bytes().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let canonical = serde_json_canonicalizer::to_vec(&value).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&canonical));
        let decoded = decode(&body).unwrap();
        prop_assert_eq!((decoded.seq, decoded.time), (seq, entry.at()));
        prop_assert_eq!(decoded.content, Content::Entry(entry));
    }

    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = examine(&bytes);
    }
}

#[test]
fn labels_are_sorted_by_utf16_code_units() {
    // U+FFFF sorts after U+10000 in UTF-16, before it in UTF-8.
    let labels =
        BTreeMap::from([("\u{ffff}".to_owned(), "a".to_owned()), ("\u{10000}".to_owned(), "b".to_owned())]);
    let text = serde_json::to_string(&Labels::of(&labels)).unwrap();
    assert_eq!(text, "{\"\u{10000}\":\"b\",\"\u{ffff}\":\"a\"}");
}
