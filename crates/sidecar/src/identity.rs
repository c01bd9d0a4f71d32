//! Who is at the other end of a socket. Nothing a request says changes it.

use pursekeeper_core::registry::Registry;
use pursekeeper_core::{AgentName, Caller, IdentitySource, OperatorName};

/// Why a peer is nobody here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The socket gives no credentials.
    #[error("the socket gives no peer credentials: connect over the Unix socket")]
    NoCredentials,
    /// The registry does not know the user id.
    #[error("no agent or operator has uid {0}: add it to registry.yaml")]
    Unmapped(u32),
    /// The sidecar's own user id: whoever runs as it can read the keys.
    #[error(
        "uid {0} runs the sidecar itself and could read its keys: run the caller as another user, or set `dev: true` to try things out"
    )]
    OwnUid(u32),
    /// One user id is an agent and an operator.
    #[error(
        "uid {0} is both an agent and an operator: give them different users, or set `dev: true` to try things out"
    )]
    Both(u32),
}

/// Maps user ids to the subjects of a registry.
#[derive(Clone, Copy, Debug)]
pub struct Identities {
    own_uid: u32,
    dev: bool,
}

impl Identities {
    /// For a sidecar that runs as `own_uid`; with `dev`, one user may be everything.
    #[must_use]
    pub const fn new(own_uid: u32, dev: bool) -> Self {
        Self { own_uid, dev }
    }

    /// The agent that `uid` is.
    ///
    /// # Errors
    /// [`IdentityError`] when it is none, or more than an agent.
    pub fn agent(&self, registry: &Registry, uid: Option<u32>) -> Result<Caller, IdentityError> {
        let uid = self.plausible(registry, uid)?;
        let agent: &AgentName = registry.agent_of_uid(uid).ok_or(IdentityError::Unmapped(uid))?;
        Ok(Caller { agent: agent.clone(), source: IdentitySource::UnixPeer { uid } })
    }

    /// The operator that `uid` is.
    ///
    /// # Errors
    /// [`IdentityError`] when it is none, or more than an operator.
    pub fn operator(
        &self,
        registry: &Registry,
        uid: Option<u32>,
    ) -> Result<(OperatorName, IdentitySource), IdentityError> {
        let uid = self.plausible(registry, uid)?;
        let operator = registry.operator_of_uid(uid).ok_or(IdentityError::Unmapped(uid))?;
        Ok((operator.clone(), IdentitySource::UnixPeer { uid }))
    }

    fn plausible(&self, registry: &Registry, uid: Option<u32>) -> Result<u32, IdentityError> {
        let uid = uid.ok_or(IdentityError::NoCredentials)?;
        if self.dev {
            return Ok(uid);
        }
        if uid == self.own_uid {
            return Err(IdentityError::OwnUid(uid));
        }
        if registry.agent_of_uid(uid).is_some() && registry.operator_of_uid(uid).is_some() {
            return Err(IdentityError::Both(uid));
        }
        Ok(uid)
    }
}
