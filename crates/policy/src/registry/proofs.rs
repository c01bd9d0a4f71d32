//! What agents and operators are known by: one proof leads to one of them, or nobody could tell who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use pursekeeper_core::registry::Proofs;
use pursekeeper_core::{SpiffeId, TokenSubject};

use super::fields::{Field, Fields, Findings};

/// The keys of the registry that say what somebody is known by.
pub(super) const PROOFS: [&str; 4] = ["uids", "gids", "spiffe", "tokens"];

/// Whom every proof leads to so far.
pub(super) struct Known {
    uids: Taken<u32>,
    gids: Taken<u32>,
    spiffe: Taken<SpiffeId>,
    tokens: Taken<TokenSubject>,
    dev: bool,
}

/// Who was named with a proof: what it is called for messages, and whether it governs.
type Taken<T> = BTreeMap<T, Vec<(String, bool)>>;

impl Known {
    /// `dev` lets one person be an agent and an operator, for trying things out on one machine.
    pub(super) fn new(dev: bool) -> Self {
        Self { uids: Taken::new(), gids: Taken::new(), spiffe: Taken::new(), tokens: Taken::new(), dev }
    }

    /// Reads what an agent or operator is known by.
    pub(super) fn read(&mut self, fields: &Fields<'_>, is_operator: bool, findings: &mut Findings) -> Proofs {
        if PROOFS.iter().all(|key| fields.get(key).is_none()) {
            let why = "say what it connects as, `uids: [1001]`, or name `gids`, `spiffe` or `tokens`";
            findings.error(fields.at, format!("{}: `uids` is missing: {why}", fields.subject));
        }
        let who = Who { is_operator, dev: self.dev };
        let spiffe = |field: &Field<'_>, findings: &mut Findings| field.parsed(SpiffeId::parse, findings);
        let token = |field: &Field<'_>, findings: &mut Findings| field.parsed(TokenSubject::parse, findings);
        Proofs {
            uids: who.read("uids", fields, id, &mut self.uids, findings),
            gids: who.read("gids", fields, id, &mut self.gids, findings),
            spiffe: who.read("spiffe", fields, spiffe, &mut self.spiffe, findings),
            tokens: who.read("tokens", fields, token, &mut self.tokens, findings),
        }
    }
}

/// What a list is for that is empty.
fn why(key: &str) -> String {
    let (what, example) = match key {
        "uids" => ("user id(s) it connects as", "1001"),
        "gids" => ("group id(s) it connects as", "2000"),
        "spiffe" => ("SPIFFE ID(s) of its certificates", "\"spiffe://prod.example/crawler\""),
        _ => ("issuer(s) and `sub` of its tokens", "\"cluster:system:serviceaccount:agents:crawler\""),
    };
    format!("name the {what}, `{key}: [{example}]`, or leave the key out")
}

/// A user or group id.
fn id(field: &Field<'_>, findings: &mut Findings) -> Option<u32> {
    field.whole(u64::from(u32::MAX), findings).and_then(|number| u32::try_from(number).ok())
}

#[derive(Clone, Copy)]
struct Who {
    is_operator: bool,
    dev: bool,
}

impl Who {
    fn read<T: Ord + Clone + Display>(
        self,
        key: &'static str,
        fields: &Fields<'_>,
        parse: impl Fn(&Field<'_>, &mut Findings) -> Option<T>,
        taken: &mut Taken<T>,
        findings: &mut Findings,
    ) -> BTreeSet<T> {
        let mut found = BTreeSet::new();
        let Some(field) = fields.get(key) else { return found };
        for node in field.some_items(&why(key), findings).unwrap_or_default() {
            let item = field.item(node);
            let Some(proof) = parse(&item, findings) else { continue };
            if !found.insert(proof.clone()) {
                item.error(findings, format!("{proof} stands here twice: keep one"));
                continue;
            }
            let others = taken.entry(proof.clone()).or_default();
            if let Some((other, other_is_operator)) = others.first() {
                if *other_is_operator == self.is_operator {
                    let what = format!("{proof} already belongs to {other}: give each its own");
                    item.error(findings, what);
                } else if !self.dev {
                    let what = format!(
                        "{proof} already belongs to {other}: whoever asks must not govern: give each its own"
                    );
                    item.error(findings, what);
                }
            }
            others.push((fields.subject.clone(), self.is_operator));
        }
        found
    }
}
