//! The bundles that judge: the one in force, and its shadow.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use pursekeeper_core::gate::Rules;
use pursekeeper_core::ports::Policy;

use super::{Turnstile, Upkeep};

pub(super) struct Bundles<P> {
    enforced: ArcSwap<P>,
    shadow: ArcSwapOption<P>,
}

/// The bundles as they are while one batch is judged.
pub(super) struct Held<P> {
    enforced: Arc<P>,
    shadow: Option<Arc<P>>,
}

impl<P> Bundles<P> {
    pub(super) fn new(enforced: Arc<P>) -> Self {
        Self { enforced: ArcSwap::new(enforced), shadow: ArcSwapOption::empty() }
    }

    pub(super) fn hold(&self) -> Held<P> {
        Held { enforced: self.enforced.load_full(), shadow: self.shadow.load_full() }
    }
}

impl<P> Held<P> {
    pub(super) fn rules(&self) -> Rules<'_, P> {
        Rules { enforced: &self.enforced, shadow: self.shadow.as_deref() }
    }
}

impl<J: Upkeep, P: Policy> Turnstile<J, P> {
    /// The bundle in force.
    #[must_use]
    pub fn policy(&self) -> Arc<P> {
        self.bundles.enforced.load_full()
    }

    /// Puts another bundle in force. What follows from it is recorded before anything is judged under it.
    pub fn set_policy(&self, policy: Arc<P>) {
        self.bundles.enforced.store(policy);
    }

    /// The bundle whose answers are recorded and never given, if there is one.
    #[must_use]
    pub fn shadow(&self) -> Option<Arc<P>> {
        self.bundles.shadow.load_full()
    }

    /// Records from the next batch on what this bundle would have answered.
    pub fn set_shadow(&self, shadow: Arc<P>) {
        self.bundles.shadow.store(Some(shadow));
    }
}
