use crate::{Measure, ScopeKind, Window};

/// A ceiling, as a payment or sign-in met it: the arithmetic behind the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingUse {
    /// Whose.
    pub scope: ScopeKind,
    /// Over which time.
    pub window: Window,
    /// Of what.
    pub measure: Measure,
    /// The ceiling, as a decimal in its unit.
    pub limit: String,
    /// What counted before.
    pub before: String,
    /// What would count with it.
    pub after: String,
}
