use super::{SignIn, SignInChallenge, SignInField, SignInParts, SignInProfile, SignInRefusal, fields};
use crate::{Address, ChainId, Endpoint, UnixSeconds};

/// How long ago a sign-in may have been asked for, in seconds.
pub const AGE_SECS_MAX: u64 = 300;
/// How far ahead its end may be, in seconds.
pub const EXPIRY_SECS_MAX: u64 = 900;
/// How long a sign-in without an end lives after it was asked for, in seconds: the specification's default, which servers
/// enforce as the greatest age they accept.
pub const LIFETIME_SECS_DEFAULT: u64 = 300;
/// How far ahead of Venice's clock a sign-in may be issued, in seconds.
pub const VENICE_AHEAD_SECS_MAX: u64 = 30;
const SIGNATURE_TYPE: &str = "eip191";

/// What a sign-in is held against.
#[derive(Clone, Copy, Debug)]
pub struct SignInContext<'a> {
    /// The call the sign-in is for.
    pub endpoint: &'a Endpoint,
    /// The wallet's address.
    pub address: Address,
    /// The networks the wallet may sign in on.
    pub chains: &'a [ChainId],
    /// The time.
    pub now: UnixSeconds,
    /// How far clocks may differ, in seconds.
    pub skew_secs: u64,
}

impl SignInChallenge {
    /// Holds the challenge against the rules and fixes the network: the first of the server's that the wallet may use.
    ///
    /// Nothing is added to what the server asked for, not even an end where it set none: it builds the message again, from
    /// what it sent or from what we echo, and the specification lets a client echo, not extend.
    ///
    /// # Errors
    /// [`SignInRefusal`] when it is nothing we sign.
    pub fn validate(self, context: &SignInContext<'_>) -> Result<SignIn, SignInRefusal> {
        let SignInContext { endpoint, address, chains, now: _, skew_secs: _ } = *context;
        if self.version != "1" {
            return Err(SignInRefusal::Field(SignInField::Version));
        }
        fields::domain(&self.domain)?;
        let expected = fields::authority(endpoint.origin());
        if self.domain != expected {
            return Err(SignInRefusal::Domain { asked: self.domain, expected });
        }
        let (chain, signature_scheme) = self.choose_chain(chains)?;
        let Self {
            profile,
            domain,
            uri,
            version: _,
            nonce,
            issued_at,
            statement,
            expiration_time,
            not_before,
            request_id,
            resources,
            supported_chains: _,
        } = self;
        let sign_in = SignIn::from_parts(SignInParts {
            profile,
            domain,
            address,
            statement,
            uri,
            chain,
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
            signature_scheme,
        })?;
        // The domain has no scheme, so the same name over http would still fit it.
        if !fields::is_on(&sign_in.parts().uri, endpoint.origin()) {
            let origin = endpoint.origin().to_string();
            return Err(SignInRefusal::Origin { field: SignInField::Uri, origin });
        }
        check_times(&sign_in, context)?;
        Ok(sign_in)
    }

    fn choose_chain(&self, allowed: &[ChainId]) -> Result<(ChainId, Option<String>), SignInRefusal> {
        let mut other_type = None;
        for entry in self.supported_chains.iter().filter(|entry| allowed.contains(&entry.chain)) {
            let scheme = entry.signature_scheme.as_deref();
            let plain =
                entry.signature_type == SIGNATURE_TYPE && scheme.is_none_or(|it| it == SIGNATURE_TYPE);
            match &entry.chain {
                ChainId::Eip155(_) if plain => {
                    return Ok((entry.chain.clone(), entry.signature_scheme.clone()));
                }
                ChainId::Eip155(_) => other_type = other_type.or(Some(entry.chain.clone())),
                ChainId::Other(_) => {}
            }
        }
        Err(other_type.map_or(SignInRefusal::Chain, |chain| SignInRefusal::SignatureType { chain }))
    }
}

/// Whole seconds: fractions are cut off on both sides.
fn check_times(sign_in: &SignIn, context: &SignInContext<'_>) -> Result<(), SignInRefusal> {
    let SignInContext { now, skew_secs, .. } = *context;
    let ahead = |time: UnixSeconds| time.0.saturating_sub(now.0);
    let issued_at = sign_in.issued_at();
    let skew_secs = match sign_in.parts().profile {
        SignInProfile::Standard => skew_secs,
        SignInProfile::Venice => skew_secs.min(VENICE_AHEAD_SECS_MAX),
    };
    if ahead(issued_at) > skew_secs {
        return Err(SignInRefusal::IssuedAhead { ahead_secs: ahead(issued_at), secs_max: skew_secs });
    }
    if sign_in.expires_at() <= now && sign_in.parts().expiration_time.is_some() {
        return Err(SignInRefusal::Expired { ago_secs: now.0.saturating_sub(sign_in.expires_at().0) });
    }
    let age_secs = now.0.saturating_sub(issued_at.0);
    if age_secs >= AGE_SECS_MAX {
        return Err(SignInRefusal::Stale { age_secs, secs_max: AGE_SECS_MAX });
    }
    if ahead(sign_in.expires_at()) > EXPIRY_SECS_MAX {
        let ahead_secs = ahead(sign_in.expires_at());
        return Err(SignInRefusal::ExpiresLate { ahead_secs, secs_max: EXPIRY_SECS_MAX });
    }
    match sign_in.not_before().map(ahead) {
        Some(ahead_secs) if ahead_secs > skew_secs => Err(SignInRefusal::NotYetValid { ahead_secs }),
        Some(_) | None => Ok(()),
    }
}
