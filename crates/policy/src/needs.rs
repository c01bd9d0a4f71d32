//! Which parts of a request a policy reads, so that nothing else has to be built.
//!
//! INVARIANT: an attribute that a policy could read is in its needs. The analysis follows attribute accesses that begin
//! at `context` or `resource`; any other use of them counts as reading everything. Were it wrong, Cedar would report a
//! missing attribute, and that is a denial. What an operator's act is judged with is small and always built whole.

use std::sync::LazyLock;

use cedar_policy::Policy;
use pursekeeper_core::{ScopeKind, Window};
use serde_json::Value;

/// One attribute that is built only when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// One of the single ones.
    One(One),
    /// `context.after.<scope>.<window>`
    After(ScopeKind, Window),
    /// `context.count.<scope>.<window>`
    Count(ScopeKind, Window),
}

macro_rules! ones {
    ($($name:ident = [$($word:literal),+];)*) => {
        /// Attributes that stand alone, each with its path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum One { $(#[doc = concat!($("`.", $word, "`"),+)] $name,)* }

        impl One {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            const fn path(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($word),+],)* }
            }
        }
    };
}

ones! {
    Now = ["context", "now"];
    Source = ["context", "identity", "source"];
    Assurance = ["context", "identity", "assurance"];
    Workflow = ["context", "workflow"];
    Wallet = ["context", "wallet"];
    Service = ["context", "service"];
    Origin = ["context", "origin"];
    Outstanding = ["context", "outstanding"];
    Scheme = ["context", "payment", "scheme"];
    Method = ["context", "payment", "method"];
    Facilitator = ["context", "payment", "facilitator"];
    FacilitatorAccepted = ["context", "payment", "facilitator_accepted"];
    Protocol = ["context", "payment", "protocol"];
    Network = ["context", "payment", "network"];
    Asset = ["context", "payment", "asset"];
    Payee = ["context", "payment", "payee"];
    PayeeAccepted = ["context", "payment", "payee_accepted"];
    Usd = ["context", "payment", "usd"];
    ValidSecs = ["context", "payment", "valid_secs"];
    BalanceUsd = ["context", "balance", "usd"];
    BalanceAfter = ["context", "balance", "after"];
    BalanceAge = ["context", "balance", "age_secs"];
    TopUp = ["context", "payment", "top_up"];
    PrepaidToppedUp = ["context", "prepaid", "topped_up"];
    PrepaidClaimed = ["context", "prepaid", "claimed"];
    PrepaidClaimedAge = ["context", "prepaid", "claimed_age_secs"];
    PrepaidSignIns = ["context", "prepaid", "sign_ins"];
    SignInProfile = ["context", "sign_in", "profile"];
    SignInNetwork = ["context", "sign_in", "network"];
    SignInDomain = ["context", "sign_in", "domain"];
    SignInStatement = ["context", "sign_in", "statement"];
    SignInResources = ["context", "sign_in", "resources"];
    SignInExpires = ["context", "sign_in", "expires_secs"];
    EndpointScheme = ["resource", "scheme"];
    EndpointHost = ["resource", "host"];
    EndpointPort = ["resource", "port"];
    EndpointPath = ["resource", "path"];
    EndpointMethod = ["resource", "method"];
}

/// A set of [`Leaf`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Needs(u128);

const WINDOWS: u32 = 6;
const SCOPES: u32 = 5;

/// Where a scope and window stand in a table of them.
const fn cell(scope: ScopeKind, window: Window) -> u32 {
    (scope as u32).wrapping_mul(WINDOWS).wrapping_add(window as u32)
}

impl Leaf {
    const fn bit(self) -> u128 {
        let table = SCOPES.wrapping_mul(WINDOWS);
        let at = match self {
            Self::After(scope, window) => cell(scope, window),
            Self::Count(scope, window) => table.wrapping_add(cell(scope, window)),
            Self::One(one) => table.wrapping_mul(2).wrapping_add(one as u32),
        };
        1u128.wrapping_shl(at)
    }

    fn path(self) -> Vec<&'static str> {
        match self {
            Self::One(one) => one.path().to_vec(),
            Self::After(scope, window) => vec!["context", "after", scope.as_str(), window.as_str()],
            Self::Count(scope, window) => vec!["context", "count", scope.as_str(), window.as_str()],
        }
    }
}

/// Every leaf with its path.
static LEAVES: LazyLock<Vec<(Leaf, Vec<&'static str>)>> = LazyLock::new(|| {
    let ones = One::ALL.iter().map(|one| Leaf::One(*one));
    let after = ScopeKind::ALL.into_iter().flat_map(|scope| Window::ALL.map(|at| Leaf::After(scope, at)));
    let count =
        ScopeKind::ALL.into_iter().flat_map(|scope| Window::TOTALLED.map(|at| Leaf::Count(scope, at)));
    ones.chain(after).chain(count).map(|leaf| (leaf, leaf.path())).collect()
});

impl Needs {
    /// Everything.
    pub(crate) const ALL: Self = Self(u128::MAX);

    /// What `policy` may read.
    pub(crate) fn of(policy: &Policy) -> Self {
        let Ok(json) = policy.to_json() else { return Self::ALL };
        let mut needs = Self::default();
        match json.get("conditions") {
            Some(conditions) => needs.walk(conditions),
            None => return Self::ALL,
        }
        needs
    }

    /// What requests of one shape have in common; see [`crate::payments`].
    pub(crate) fn of_a_shape() -> Self {
        let shared = [One::Workflow, One::Wallet, One::Service, One::Network, One::Asset];
        Self(shared.into_iter().fold(0, |bits, one| bits | Leaf::One(one).bit()))
    }

    /// Whether nothing else than `other` is read.
    pub(crate) const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a leaf is read.
    pub(crate) const fn reads(self, leaf: Leaf) -> bool {
        self.0 & leaf.bit() != 0
    }

    /// Whether one of the single attributes is read.
    pub(crate) const fn one(self, one: One) -> bool {
        self.reads(Leaf::One(one))
    }

    /// Notes that a policy reads `path` and everything below it.
    fn add(&mut self, path: &[&str]) {
        for (leaf, leaf_path) in LEAVES.iter() {
            if leaf_path.iter().zip(path).all(|(ours, theirs)| ours == theirs) {
                self.0 |= leaf.bit();
            }
        }
    }

    /// Looks for uses of `context` and `resource` in a policy's JSON form.
    fn walk(&mut self, node: &Value) {
        if let Some(path) = access(node) {
            self.add(&path);
            return;
        }
        match node {
            Value::Object(fields) => {
                for (key, child) in fields {
                    let compares = matches!(key.as_str(), "==" | "!=" | "in" | "is");
                    if compares && let Value::Object(sides) = child {
                        // Comparing the endpoint itself reads none of its attributes.
                        sides.values().filter(|side| !is_resource(side)).for_each(|side| self.walk(side));
                    } else {
                        self.walk(child);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn is_resource(node: &Value) -> bool {
    access(node).is_some_and(|path| path == ["resource"])
}

/// The path of `context.a.b` or `context.a has b`; nothing for any other expression.
fn access(node: &Value) -> Option<Vec<&str>> {
    let fields = node.as_object()?;
    let (key, child) = fields.iter().next()?;
    if fields.len() != 1 {
        return None;
    }
    match key.as_str() {
        "Var" => child.as_str().filter(|var| matches!(*var, "context" | "resource")).map(|var| vec![var]),
        "." | "has" => {
            let mut path = access(child.get("left")?)?;
            path.push(child.get("attr")?.as_str()?);
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn paths(needs: Needs) -> BTreeSet<String> {
        let read = LEAVES.iter().filter(|(leaf, _)| needs.reads(*leaf));
        read.map(|(_, path)| path.join(".")).collect()
    }

    #[test]
    fn every_leaf_has_its_own_bit() {
        let bits: BTreeSet<u128> = LEAVES.iter().map(|(leaf, _)| leaf.bit()).collect();
        assert_eq!(bits.len(), LEAVES.len());
        assert!(!bits.contains(&0));
    }

    #[test]
    fn needs_are_what_is_read_and_never_less() {
        let all = paths(Needs::ALL);
        let below = |prefix: &str| -> BTreeSet<String> {
            all.iter().filter(|path| path.starts_with(prefix)).cloned().collect()
        };
        let set = |paths: &[&str]| -> BTreeSet<String> { paths.iter().map(|path| (*path).into()).collect() };
        let table = [
            ("true", set(&[])),
            ("principal in context.workflow", set(&["context.workflow"])),
            ("context.workflow.owner == context.wallet.owner", set(&["context.workflow", "context.wallet"])),
            ("resource in context.workflow.services", set(&["context.workflow"])),
            ("resource == resource", set(&[])),
            ("resource.path like \"/v1/*\"", set(&["resource.path"])),
            ("resource has path && resource.path == \"/\"", set(&["resource.path"])),
            ("(if true then resource else resource).path == \"/\"", below("resource.")),
            ("[resource].contains(resource)", below("resource.")),
            (
                "context.after.agent.day > context.count.wallet.hour",
                set(&["context.after.agent.day", "context.count.wallet.hour"]),
            ),
            ("context.after.agent has day", set(&["context.after.agent.day"])),
            ("context.after has agent", below("context.after.agent.")),
            ("context has service.origin", below("context.")),
            ("context.after == context.after", below("context.after.")),
            ("context[\"count\"][\"agent\"][\"hour\"] > 1", set(&["context.count.agent.hour"])),
            (
                "(if true then context.after.agent else context.after.wallet).day == 1",
                &below("context.after.agent.") | &below("context.after.wallet."),
            ),
            ("[context].isEmpty()", below("context.")),
            ("{a: context.now}.a < context.now", set(&["context.now"])),
            ("{\"Var\": \"context\", \".\": context.now}.Var == \"context\"", set(&["context.now"])),
            ("context.payment.usd.greaterThan(decimal(\"1.0\"))", set(&["context.payment.usd"])),
        ];
        for (condition, expected) in table {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            let policy: Policy = text.parse().expect(condition);
            let found = paths(Needs::of(&policy));
            assert_eq!(found, expected, "{condition}");
        }
    }
}
