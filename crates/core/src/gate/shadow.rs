//! What the shadow bundle would have answered, over what the bundle in force has let happen.

use crate::ports::{Judged, LedgerError, Policy};
use crate::{Entry, Mode};

use super::Ask;
use super::judge::Court;

impl<P: Policy> Court<'_, P> {
    /// Writes beside a judgement how this court would have judged. Nothing else of it counts: it binds no money, leaves no
    /// payee to anybody, and is not what is answered. What was signed before and is handed out again is judged by neither,
    /// and previews are not judged twice.
    pub(super) fn shadowed(&self, ask: &Ask, judged: Judged) -> Result<Judged, LedgerError> {
        let other = match ask {
            Ask::Payment(ask) if ask.mode == Mode::Enforce => self.payment(ask)?,
            Ask::TypedData(ask) => self.typed_data(ask)?,
            Ask::SignIn(ask) => self.sign_in(ask)?,
            Ask::Payment(_)
            | Ask::Lifecycle(_)
            | Ask::Report(_)
            | Ask::Evidence(_)
            | Ask::Transition
            | Ask::Signatures(_)
            | Ask::Unauthenticated(_)
            | Ask::Repeats(_)
            | Ask::Reload(_)
            | Ask::Void(_) => return Ok(judged),
        };
        Ok(match (judged, other) {
            (Judged::Entry(Entry::Payment(mut decision)), Entry::Payment(other)) => {
                decision.shadow = Some(Box::new(other.into_shadow()));
                Judged::Entry(Entry::Payment(decision))
            }
            (Judged::Entry(Entry::SignIn(mut decision)), Entry::SignIn(other)) => {
                decision.shadow = Some(Box::new(other.into_shadow()));
                Judged::Entry(Entry::SignIn(decision))
            }
            (judged, _) => judged,
        })
    }
}
