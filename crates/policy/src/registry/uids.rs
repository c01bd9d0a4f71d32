//! User ids: one belongs to one agent or one operator, or nobody could tell who asks.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Fields, Findings};

/// Who has which user id so far.
pub(super) struct Uids {
    taken: BTreeMap<u32, Vec<(String, bool)>>,
    dev: bool,
}

impl Uids {
    /// `dev` lets one person be an agent and an operator, for trying things out on one machine.
    pub(super) fn new(dev: bool) -> Self {
        Self { taken: BTreeMap::new(), dev }
    }

    /// Reads `uids` of an agent or operator.
    pub(super) fn read(
        &mut self,
        fields: &Fields<'_>,
        is_operator: bool,
        findings: &mut Findings,
    ) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let why = "name the user id(s) it connects as, `uids: [1001]`";
        let Some(field) = fields.require("uids", why, findings) else { return found };
        for node in field.some_items(why, findings).unwrap_or_default() {
            let item = field.item(node);
            let number = item.whole(u64::from(u32::MAX), findings);
            let Some(uid) = number.and_then(|number| u32::try_from(number).ok()) else { continue };
            if !found.insert(uid) {
                item.error(findings, format!("{uid} stands here twice: keep one"));
                continue;
            }
            let others = self.taken.entry(uid).or_default();
            if let Some((other, other_is_operator)) = others.first() {
                if *other_is_operator == is_operator {
                    let what = format!("{uid} already belongs to {other}: give each its own user id");
                    item.error(findings, what);
                } else if !self.dev {
                    let what = format!(
                        "{uid} already belongs to {other}: whoever asks must not govern: give each its own user id"
                    );
                    item.error(findings, what);
                }
            }
            others.push((fields.subject.clone(), is_operator));
        }
        found
    }
}
