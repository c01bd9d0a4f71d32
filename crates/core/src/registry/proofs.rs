use std::collections::BTreeSet;

use crate::{SpiffeId, TokenSubject, UnixPeer};

/// What an agent or operator is known by: at least one of all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// The user ids it may connect as.
    pub uids: BTreeSet<u32>,
    /// The group ids it may connect as, whatever its user id.
    pub gids: BTreeSet<u32>,
    /// What its certificates say it is.
    pub spiffe: BTreeSet<SpiffeId>,
    /// Whom its bearer tokens are about.
    pub tokens: BTreeSet<TokenSubject>,
}

impl Proofs {
    /// One user id, and nothing else.
    #[must_use]
    pub fn of_uid(uid: u32) -> Self {
        Self { uids: BTreeSet::from([uid]), ..Self::default() }
    }

    /// Whether the other end of a Unix socket is this one.
    #[must_use]
    pub fn know_peer(&self, peer: UnixPeer) -> bool {
        self.uids.contains(&peer.uid) || peer.gid.is_some_and(|gid| self.gids.contains(&gid))
    }

    /// All of them, for people and for noticing that one changed.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { uids, gids, spiffe, tokens } = self;
        let uids = uids.iter().map(|uid| format!("uid {uid}"));
        let gids = gids.iter().map(|gid| format!("gid {gid}"));
        let spiffe = spiffe.iter().map(ToString::to_string);
        let tokens = tokens.iter().map(|token| format!("token {token}"));
        uids.chain(gids).chain(spiffe).chain(tokens).collect::<Vec<_>>().join(", ")
    }
}
