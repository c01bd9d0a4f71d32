//! `tests/hostile`: what hostile sellers and servers send, and the one answer each of them gets from the real sidecar.
//!
//! All cases are asked of one process. In the end it must be alive, and its journal must hold exactly the signatures that
//! the cases allow: nothing besides.

mod ask;
mod case;
mod challenge;
mod payment;
mod sign_in;
mod tally;

use std::collections::BTreeMap;

use ask::{Agent, Answer};
use case::{Base, Case, Expected, Flood};
use challenge::{Scene, Sent};
use pursekeeper_tests::{Purse, Sidecar};
use serde_json::Value;
use tally::Tally;

/// The themes and how many cases each has. A case that is added or dropped shows here.
const THEMES: [(&str, usize); 18] = [
    ("amounts", 78),
    ("encoding", 71),
    ("extensions", 57),
    ("fields-v1", 46),
    ("fields-v2", 123),
    ("offers", 25),
    ("payees-and-assets", 69),
    ("schemes", 58),
    ("sign-in-fields", 88),
    ("sign-in-forms", 61),
    ("sign-in-sites", 77),
    ("sign-in-text", 56),
    ("sign-in-times", 55),
    ("spending", 24),
    ("urls-called", 139),
    ("urls-of-sellers", 64),
    ("validity", 34),
    ("versions", 47),
];
/// Fewer prove too little.
const CASES_MIN: usize = 200;

#[tokio::test]
async fn hostile_peers_get_nothing_but_what_is_allowed() {
    let (bases, themes) = (case::bases(), case::themes());
    let found: Vec<(&str, usize)> = themes.iter().map(|(name, cases)| (name.as_str(), cases.len())).collect();
    assert_eq!(found, THEMES, "the cases that are there, and those that ought to be");
    assert!(found.iter().map(|(_, cases)| cases).sum::<usize>() >= CASES_MIN);

    let (purse, wallet) = stage();
    let sidecar = purse.serve();
    let mut play = Play {
        agent: Agent { signer: sidecar.signer().await, raw: raw(&sidecar).await },
        bases,
        wallet,
        tally: Tally::default(),
        said: BTreeMap::new(),
        wrong: Vec::new(),
    };
    for (theme, cases) in &themes {
        for case in cases {
            play.case(theme, cases, case).await;
        }
    }
    if std::env::var_os("X").is_none() {
        assert!(play.wrong.is_empty(), "\n{}\n", play.wrong.join("\n"));
    }
    let allowed = themes.values().flatten().map(signatures).sum();
    let records = play.tally.check(&sidecar, allowed).await;
    // What strangers wrote stands in the trail, a line for each record, and no line of theirs.
    let trail = purse.exits(0, &["audit", "tail", "--last", &records.to_string()]);
    assert_eq!(trail.lines().count(), records);
    assert!(!trail.lines().any(|line| line.chars().any(is_not_shown)));
    assert!(!sidecar.log().contains("panicked"), "{}", sidecar.log());
    assert!(sidecar.stop().success(), "it was alive to the end");
    let _ = purse.exits(0, &["audit", "verify"]);
    assert!(purse.serve().stop().success(), "what it recorded it can read");
}

/// How many signatures a case allows.
fn signatures(case: &Case) -> usize {
    match case.expected() {
        Expected::Signed(_) | Expected::SignedIn(_) if case.retry_of.is_some() => 0,
        Expected::Signed(_) | Expected::SignedIn(_) => 1,
        Expected::Flood(flood) => flood.fit,
        Expected::Fault(_) | Expected::Denied(..) => 0,
    }
}

/// A purse with the registry of the corpus, and its wallet's address.
fn stage() -> (Purse, String) {
    let purse = Purse::init();
    let wallets = purse.exits(0, &["wallet", "list", "--output", "json"]);
    let wallets: Value = serde_json::from_str(wallets.lines().next().unwrap()).unwrap();
    let wallet = wallets[0]["address"].as_str().unwrap().to_owned();
    let registry = std::fs::read_to_string(case::dir().join("registry.yaml")).unwrap();
    let uid = rustix::process::geteuid().as_raw().to_string();
    let registry = registry.replace("$WALLET", &wallet).replace("$UID", &uid);
    std::fs::write(purse.file("policies/registry.yaml"), registry).unwrap();
    // Here one agent asks for everything, one thing at a time, and every answer is looked at.
    purse.lift_call_limits();
    purse.lift_repeat_limit();
    (purse, wallet)
}

async fn raw(sidecar: &Sidecar) -> tonic::client::Grpc<pursekeeper_api::Channel> {
    tonic::client::Grpc::new(pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap())
}

/// One run over the corpus.
struct Play {
    agent: Agent,
    bases: BTreeMap<String, Base>,
    wallet: String,
    tally: Tally,
    /// What was signed, by case.
    said: BTreeMap<String, Answer>,
    /// Answers other than those expected.
    wrong: Vec<String>,
}

impl Play {
    /// Plays one case: what is wrong about the answer is noted, what is wrong about a signature ends the test.
    async fn case(&mut self, theme: &str, cases: &[Case], case: &Case) {
        let name = &case.name;
        let expected = case.expected();
        // The last line of it, if an assertion fails.
        println!("{theme}: {name}");
        let rounds = if let Expected::Flood(Flood { times, .. }) = &expected { *times } else { 1 };
        for round in 0..rounds {
            let scene = Scene { wallet: self.wallet.clone(), now: jiff::Timestamp::now() };
            let other = |name: &String| {
                let found =
                    cases.iter().take_while(|other| other.name != case.name).find(|case| case.name == *name);
                found.unwrap_or_else(|| panic!("`{}`: no case `{name}` before it in {theme}", case.name))
            };
            let sent = challenge::build(case, &self.bases, &scene);
            let before =
                case.wire_after.as_ref().map(|name| challenge::build(other(name), &self.bases, &scene));
            let id =
                format!("{}:{round}", case.retry_of.as_ref().map_or(name, |earlier| &other(earlier).name));
            let asked_at = payment::now();
            let answer = self.agent.ask(case, &id, &sent, before.as_ref()).await;
            if !self.is_as_expected(case, &answer, &expected, (round, &sent, asked_at)) {
                self.wrong.push(format!(
                    "{theme}: {name}\n    expected {expected:?}\n    got      {}",
                    answer.words()
                ));
            }
            self.tally.note(&id, &answer, case.retry_of.is_some());
            self.said.insert(name.clone(), answer);
        }
    }

    fn is_as_expected(
        &self,
        case: &Case,
        answer: &Answer,
        expected: &Expected,
        (round, sent, asked_at): (usize, &Sent, u64),
    ) -> bool {
        let name = &case.name;
        let (allowed, allowed_sign_in) = match expected {
            Expected::Fault(reason) => return matches!(answer, Answer::Fault(got) if got == reason),
            Expected::Denied(code, offers) => return is_denied(answer, code, offers.as_deref()),
            Expected::Flood(flood) if round >= flood.fit => return is_denied(answer, &flood.then, None),
            Expected::Flood(flood) => (flood.signed.as_ref(), flood.signed_in.as_ref()),
            Expected::Signed(allowed) => (Some(allowed), None),
            Expected::SignedIn(allowed) => (None, Some(allowed)),
        };
        if let Some(earlier) = &case.retry_of {
            return self.said.get(earlier) == Some(answer);
        }
        match (answer, allowed, allowed_sign_in) {
            (Answer::Signed(signed), Some(allowed), None) => {
                payment::check(name, signed, allowed, sent, asked_at);
                true
            }
            (Answer::SignedIn(signed), None, Some(allowed)) => {
                sign_in::check(name, signed, allowed, sent);
                true
            }
            _ => false,
        }
    }
}

/// A denial with this code, and these of its offers, if they are said.
fn is_denied(answer: &Answer, code: &str, offers: Option<&[String]>) -> bool {
    let Answer::Denied(denied) = answer else { return false };
    // What a seller wrote is shown to people: on one line, and not without end.
    let shown = |text: &str| text.len() < 1024 && !text.chars().any(is_not_shown);
    let codes: Vec<&str> = denied.offers.iter().map(|offer| offer.code.as_str()).collect();
    denied.code == code
        && offers.is_none_or(|offers| codes == offers)
        && shown(&denied.message)
        && denied.offers.iter().all(|offer| shown(&offer.message))
}

/// What would break a line, or turn the order of what stands behind it.
fn is_not_shown(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
