//! The schema's words as Cedar values.

use std::collections::HashSet;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use pursekeeper_core::DenyCode;
use pursekeeper_core::registry::Ceilings;

use crate::numbers::dollars;
use crate::rule::Asking;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// The entity types of the schema.
        #[derive(Clone, Debug)]
        pub(crate) struct Vocabulary { $($name: EntityTypeName,)* }

        impl Vocabulary {
            /// Parses the type names once.
            pub(crate) fn new() -> Result<Self, String> {
                Ok(Self { $($name: type_name($word)?,)* })
            }

            $($(#[$doc])* pub(crate) fn $name(&self, id: impl AsRef<str>) -> EntityUid {
                EntityUid::from_type_name_and_id(self.$name.clone(), EntityId::new(id))
            })*
        }
    };
}

kinds! {
    /// An action or a group of actions.
    action = "Action";
    /// An agent, by name.
    agent = "Agent";
    /// An asset, by its name in the registry.
    asset = "Asset";
    /// An endpoint, by method and URL.
    endpoint = "Endpoint";
    /// An operator, by name.
    operator = "Operator";
    /// A payee, by checksummed address.
    payee = "Payee";
    /// A service, by name.
    service = "Service";
    /// The sidecar.
    sidecar = "Sidecar";
    /// A team, by name.
    team = "Team";
    /// A wallet, by name.
    wallet = "Wallet";
    /// A workflow, by name.
    workflow = "Workflow";
}

fn type_name(word: &str) -> Result<EntityTypeName, String> {
    format!("Pursekeeper::{word}").parse().map_err(|error| format!("{word}: {error}"))
}

/// Attributes of an entity or record.
pub(crate) type Pairs = Vec<(String, RestrictedExpression)>;

/// What cannot be put into Cedar's terms cannot be judged, and is denied.
pub(crate) fn unjudgeable<E>(_: E) -> DenyCode {
    DenyCode::PolicyError
}

/// The action and the group it is in.
pub(crate) fn action(words: &Vocabulary, asking: Asking) -> Entity {
    let group = words.action(asking.group());
    Entity::new_no_attrs(words.action(asking.action()), HashSet::from([group]))
}

/// One attribute.
pub(crate) fn pair(name: &str, value: RestrictedExpression) -> (String, RestrictedExpression) {
    (name.to_owned(), value)
}

pub(crate) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

pub(crate) fn flag(value: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(value)
}

pub(crate) fn uid(value: EntityUid) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(value)
}

pub(crate) fn uids(values: impl IntoIterator<Item = EntityUid>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(uid))
}

/// A number of payments; above Cedar's largest it stays there, which no ceiling reaches.
pub(crate) fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(crate) fn record(pairs: Pairs) -> Result<RestrictedExpression, DenyCode> {
    RestrictedExpression::new_record(pairs).map_err(unjudgeable)
}

/// The limits of a subject.
pub(crate) fn ceilings(ceilings: &Ceilings) -> Result<RestrictedExpression, DenyCode> {
    let usd: Result<Pairs, DenyCode> =
        ceilings.usd.iter().map(|(window, limit)| Ok(pair(window.as_str(), dollars(*limit)?))).collect();
    let payments = ceilings.payments.iter().map(|(window, limit)| pair(window.as_str(), long(*limit)));
    let sign_ins = ceilings.sign_ins.iter().map(|(window, limit)| pair(window.as_str(), long(*limit)));
    record(vec![
        pair("usd", record(usd?)?),
        pair("payments", record(payments.collect())?),
        pair("sign_ins", record(sign_ins.collect())?),
    ])
}
