//! Who is at the other end of a socket. Nothing a request says changes it.

use pursekeeper_core::registry::Registry;
use pursekeeper_core::{AgentName, Caller, IdentitySource, OperatorName};

/// Why a peer is nobody here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The socket gives no credentials.
    #[error("the socket gives no peer credentials: connect over the Unix socket")]
    NoCredentials,
    /// The registry knows nobody of that kind with the user id.
    #[error("no {role} has uid {uid}: add it to registry.yaml")]
    Unmapped {
        /// `agent` or `operator`: who may use this socket.
        role: &'static str,
        /// The peer's user id.
        uid: u32,
    },
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
        let agent: &AgentName =
            registry.agent_of_uid(uid).ok_or(IdentityError::Unmapped { role: "agent", uid })?;
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
        let operator =
            registry.operator_of_uid(uid).ok_or(IdentityError::Unmapped { role: "operator", uid })?;
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

#[cfg(test)]
mod tests {
    use pursekeeper_core::ports::Policy as _;
    use pursekeeper_policy::{Bundle, BundleOptions, STARTER_REGISTRY};

    use super::*;

    const SIDECAR: u32 = 65532;

    /// Who `uid` is on the agents' socket and on the operators', or why it is nobody.
    fn check(registry_yaml: &str, dev: bool, uid: Option<u32>) -> [Result<String, IdentityError>; 2] {
        let bundle = Bundle::from_parts(registry_yaml, &[], BundleOptions { dev: true }).unwrap();
        let identities = Identities::new(SIDECAR, dev);
        let agent = identities.agent(bundle.registry(), uid).map(|caller| caller.agent.to_string());
        let operator = identities.operator(bundle.registry(), uid).map(|(name, _)| name.to_string());
        [agent, operator]
    }

    #[test]
    fn only_the_sockets_own_kind_is_let_in() {
        let nobody = |role, uid| Err(IdentityError::Unmapped { role, uid });
        let table = [
            (None, [Err(IdentityError::NoCredentials), Err(IdentityError::NoCredentials)]),
            (Some(4242), [nobody("agent", 4242), nobody("operator", 4242)]),
            (Some(SIDECAR), [Err(IdentityError::OwnUid(SIDECAR)), Err(IdentityError::OwnUid(SIDECAR))]),
            (Some(1001), [Ok("crawler".to_owned()), nobody("operator", 1001)]),
            (Some(1000), [nobody("agent", 1000), Ok("alice".to_owned())]),
        ];
        for (uid, expected) in table {
            assert_eq!(check(STARTER_REGISTRY, false, uid), expected, "{uid:?}");
        }
    }

    #[test]
    fn who_is_both_is_let_in_only_for_trying_things_out() {
        let both = STARTER_REGISTRY.replace("uids: [1000]", "uids: [1001]");
        let refused = || Err(IdentityError::Both(1001));
        assert_eq!(check(&both, false, Some(1001)), [refused(), refused()]);
        assert_eq!(check(&both, true, Some(1001)), [Ok("crawler".to_owned()), Ok("alice".to_owned())]);
    }
}
