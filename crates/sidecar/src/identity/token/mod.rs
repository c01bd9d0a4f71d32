//! Bearer tokens: JWTs of issuers we trust, verified here and, if wanted, confirmed by a Kubernetes API server.

mod error;
mod fetch;
mod jws;
mod keys;
mod review;
mod ring;

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};
use pursekeeper_core::{TokenIssuer, TokenSubject, UnixSeconds};
use serde::de::IgnoredAny;
use tokio::task::JoinSet;

use super::{Kept, KeptError, OnDisk};
use crate::config::{IssuerConfig, Limits};
pub use error::TokenError;
use fetch::Fetched;
use jws::{Claims, Unproved};
use keys::KeySet;
use review::Review;

/// What bounds every token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Longest token, in bytes.
    pub bytes_max: usize,
    /// Longest life, in seconds.
    pub life_secs_max: u64,
    /// How far other clocks may be ahead, in seconds.
    pub skew_secs: u64,
}

/// Everybody whose tokens are taken.
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    limits: TokenLimits,
}

/// Somebody whose tokens are taken.
pub(super) struct Issuer {
    name: TokenIssuer,
    /// What its tokens call it.
    iss: String,
    audiences: Vec<String>,
    keys: Keys,
    review: Option<Review>,
}

/// Where an issuer's keys come from.
enum Keys {
    File(Arc<Kept<KeySet>>),
    Url(Box<Fetched>),
}

/// Why tokens cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum IssuersError {
    /// A file is not there, or not what it is for.
    #[error("`identity.tokens`: {0}")]
    File(#[from] KeptError),
    /// Its name or address cannot be used.
    #[error("`identity.tokens`: issuer `{name}`: {what}")]
    Unusable {
        /// Which.
        name: String,
        /// Why.
        what: String,
    },
}

impl TokenLimits {
    /// Those of the configuration.
    #[must_use]
    pub const fn of(limits: &Limits) -> Self {
        Self {
            bytes_max: limits.token_bytes_max,
            life_secs_max: limits.token_life_secs_max,
            skew_secs: limits.skew_secs,
        }
    }
}

impl Issuers {
    /// Reads what is in files; what is fetched comes later.
    ///
    /// # Errors
    /// [`IssuersError`] when a file cannot be used.
    pub fn open(configs: &[IssuerConfig], limits: TokenLimits) -> Result<Self, IssuersError> {
        ring::install();
        let all = configs.iter().map(|config| Issuer::open(config).map(Arc::new));
        Ok(Self { all: all.collect::<Result<_, _>>()?, limits })
    }

    /// Whether tokens of an issuer are taken.
    #[must_use]
    pub fn has(&self, name: &TokenIssuer) -> bool {
        self.all.iter().any(|issuer| issuer.name == *name)
    }

    /// Whom the value of an `authorization` is about.
    ///
    /// # Errors
    /// [`TokenError`] when it proves nothing.
    pub async fn prove(&self, authorization: &str, now: UnixSeconds) -> Result<TokenSubject, TokenError> {
        let token = bearer(authorization)?;
        let (issuer, subject, claims) = self.verify(token, now)?;
        if let Some(review) = &issuer.review {
            review.confirm(token, subject.subject(), UnixSeconds(claims.exp), now).await?;
        }
        Ok(subject)
    }

    /// Everything that can be said without asking anybody.
    fn verify(&self, token: &str, now: UnixSeconds) -> Result<(&Issuer, TokenSubject, Claims), TokenError> {
        let TokenLimits { bytes_max, life_secs_max, skew_secs } = self.limits;
        if token.len() > bytes_max {
            return Err(TokenError::TooLong(bytes_max));
        }
        let unproved = jws::read(token)?;
        // The word of the token picks whose keys are tried, and nothing else.
        let issuer = self.all.iter().find(|issuer| issuer.iss == unproved.claims.iss);
        let issuer = issuer.ok_or(TokenError::Issuer)?;
        issuer.prove(token, &unproved)?;
        let Unproved { claims, algorithm: _, key_id: _ } = unproved;
        let latest = now.plus(skew_secs);
        let Claims { iss: _, sub, exp, nbf, iat } = &claims;
        if now.0 >= *exp {
            return Err(TokenError::Expired);
        }
        for (name, moment) in [("nbf", nbf), ("iat", iat)] {
            if moment.is_some_and(|moment| moment > latest.0) {
                return Err(TokenError::NotYet(name));
            }
        }
        let born = iat.or(*nbf).unwrap_or(now.0);
        if exp.saturating_sub(born) > life_secs_max {
            return Err(TokenError::TooLongLived(life_secs_max));
        }
        let subject = TokenSubject::new(issuer.name.clone(), sub).map_err(|_| TokenError::Subject)?;
        Ok((issuer, subject, claims))
    }

    /// The keys that are in files.
    #[must_use]
    pub fn on_disk(&self) -> Vec<Arc<dyn OnDisk>> {
        let files = self.all.iter().filter_map(|issuer| match &issuer.keys {
            Keys::File(kept) => Some(kept.clone() as Arc<dyn OnDisk>),
            Keys::Url(_) => None,
        });
        files.collect()
    }

    /// Keeps fetching the keys that have an address, each in a task of its own.
    pub fn fetch(&self, tasks: &mut JoinSet<()>) {
        for issuer in self.all.iter().filter(|issuer| matches!(issuer.keys, Keys::Url(_))) {
            let issuer = issuer.clone();
            tasks.spawn(async move {
                if let Keys::Url(fetched) = &issuer.keys {
                    fetched.run().await;
                }
            });
        }
    }
}

impl Issuer {
    fn open(config: &IssuerConfig) -> Result<Self, IssuersError> {
        let unusable = |what: String| IssuersError::Unusable { name: config.name.clone(), what };
        let name = TokenIssuer::parse(&config.name).map_err(|error| unusable(error.to_string()))?;
        let parse = |files: &[Vec<u8>]| KeySet::parse(files.first().map_or(&[], Vec::as_slice));
        let keys = match (&config.jwks, &config.jwks_url) {
            (Some(path), _) => Keys::File(Arc::new(Kept::read(vec![path.clone()], parse)?)),
            (None, Some(url)) => Keys::Url(Box::new(Fetched::new(config, url).map_err(unusable)?)),
            (None, None) => return Err(unusable("it has neither `jwks` nor `jwks_url`".to_owned())),
        };
        let review = config.review.as_ref().map(|review| Review::new(review, &config.audiences));
        Ok(Self {
            name,
            iss: config.issuer.clone(),
            audiences: config.audiences.clone(),
            keys,
            review: review.transpose().map_err(unusable)?,
        })
    }

    /// Whether the token is signed by this issuer, for us.
    fn prove(&self, token: &str, unproved: &Unproved) -> Result<(), TokenError> {
        let keys = match &self.keys {
            Keys::File(kept) => kept.get(),
            Keys::Url(fetched) => fetched.get().ok_or_else(|| TokenError::NoKeys(self.name.to_string()))?,
        };
        let algorithm = unproved.algorithm;
        let key = keys.get(&unproved.key_id).ok_or_else(|| TokenError::KeyUnknown(self.name.to_string()))?;
        let key = key.for_algorithm(algorithm);
        let key = key.ok_or_else(|| TokenError::KeyMismatch(format!("{algorithm:?}")))?;
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.iss]);
        validation.set_audience(&self.audiences);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        // The library would ask the machine what time it is.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        decode::<IgnoredAny>(token, key, &validation).map(drop).map_err(|error| refusal(error.kind()))
    }
}

/// What the library says, in our words. What it is not known to say is a refusal too.
fn refusal(kind: &ErrorKind) -> TokenError {
    if let ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) = kind {
        return TokenError::Claim(jws::quoted(name));
    }
    if matches!(kind, ErrorKind::InvalidAudience) {
        return TokenError::Audience;
    }
    if matches!(kind, ErrorKind::InvalidIssuer) {
        return TokenError::Issuer;
    }
    if matches!(kind, ErrorKind::Json(_)) {
        return TokenError::Claim("aud".to_owned());
    }
    TokenError::Signature
}

/// The token of an `authorization`.
fn bearer(authorization: &str) -> Result<&str, TokenError> {
    let (scheme, token) = authorization.split_once(' ').ok_or(TokenError::Bearer)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(TokenError::Bearer)
    }
}

#[cfg(test)]
mod tests;
