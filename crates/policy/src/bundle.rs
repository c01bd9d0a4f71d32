use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{Act, Digest, Facts, Intent, SignInIntent, UnixSeconds};
use sha2::{Digest as _, Sha256};

use crate::acts::Acts;
use crate::draft::Draft;
use crate::embedded::{GUARDRAILS, Guardrails, SCHEMA};
use crate::error::{BundleError, BundleErrors, BundleWarning};
use crate::index::Index;
use crate::payments::Payments;
#[cfg(test)]
use crate::rule::Asking;
use crate::sign_ins::SignIns;
use crate::vocabulary::Vocabulary;
use crate::{REGISTRY_FILE, files, registry, source};

/// How a bundle is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleOptions {
    /// One user id may belong to an agent and an operator: for trying things out on one machine, never for production.
    pub dev: bool,
}

/// How much of everything a bundle declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleSummary {
    /// Groups of operators.
    pub teams: usize,
    /// People.
    pub operators: usize,
    /// Workloads.
    pub agents: usize,
    /// Tasks.
    pub workflows: usize,
    /// Keys.
    pub wallets: usize,
    /// Sets of endpoints.
    pub services: usize,
    /// Assets.
    pub assets: usize,
    /// Policies of the teams.
    pub policies: usize,
    /// Guardrails of this build.
    pub guardrails: usize,
}

/// A governance bundle that can judge: the registry, the teams' policies, and the guardrails of this build.
pub struct Bundle {
    registry: Registry,
    digest: Digest,
    summary: BundleSummary,
    warnings: Vec<BundleWarning>,
    words: Vocabulary,
    payments: Payments,
    sign_ins: SignIns,
    acts: Acts,
}

impl Bundle {
    /// Reads a directory: `registry.yaml` and every `*.cedar`.
    ///
    /// A directory that Kubernetes swaps by renaming `..data` is read through one resolved path, so that no two files
    /// come from different revisions.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(dir: &Path, options: BundleOptions) -> Result<Self, BundleErrors> {
        Self::from_draft(&Draft::read(dir)?, options)
    }

    /// The same from files that were read already.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_draft(draft: &Draft, options: BundleOptions) -> Result<Self, BundleErrors> {
        let mut bundle = Self::from_parts(draft.registry(), &draft.policies(), options)?;
        bundle.warnings.extend(draft.warnings().iter().cloned());
        Ok(bundle)
    }

    /// The same from memory. `policies` are file names ending in `.cedar`, and texts.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_parts(
        registry_yaml: &str,
        policies: &[(&str, &str)],
        options: BundleOptions,
    ) -> Result<Self, BundleErrors> {
        let guardrails = Guardrails::get().map_err(|what| BundleError::Embedded(what.to_owned()))?;
        let words = Vocabulary::new().map_err(BundleError::Embedded)?;
        let mut policies = policies.to_vec();
        policies.sort_unstable();
        let mut errors = files::check_names(&policies);
        let read = registry::read(registry_yaml, options.dev);
        let (declaration, mut registry_errors) = match read {
            Ok(declaration) => (Some(declaration), Vec::new()),
            Err(errors) => (None, errors),
        };
        errors.append(&mut registry_errors);
        let team = source::read(&policies, declaration.as_ref(), guardrails);
        errors.extend(team.errors);
        let Some(declaration) = declaration.filter(|_| errors.is_empty()) else {
            return Err(BundleErrors(errors));
        };
        let registry::Declaration { registry, asset_names, mut warnings } = declaration;
        warnings.extend(team.warnings);
        let summary = summary(&registry, team.rules.len(), guardrails);
        let acts = Acts::new(&team.rules, guardrails);
        let acts = acts.map_err(|code| BundleError::Embedded(format!("operators' acts: {code}")))?;
        let index = Arc::new(Index::new(team.rules));
        let sign_ins = SignIns::new(index.clone(), guardrails);
        let payments = Payments::new(index, asset_names, guardrails);
        let digest = digest(registry_yaml, &policies);
        Ok(Self { registry, digest, summary, warnings, words, payments, sign_ins, acts })
    }

    /// What a security team should look at.
    #[must_use]
    pub fn warnings(&self) -> &[BundleWarning] {
        &self.warnings
    }

    /// How much of everything there is.
    #[must_use]
    pub fn summary(&self) -> BundleSummary {
        self.summary
    }
}

impl Policy for Bundle {
    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn decide(&self, intent: &Intent, facts: &Facts) -> Verdict {
        let judged = self.payments.judge(self.slice(), intent, facts);
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }

    fn decide_allowance(&self, intent: &Intent, facts: &Facts) -> Verdict {
        let judged = self.payments.judge_allowance(self.slice(), intent, facts);
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }

    fn decide_sign_in(&self, intent: &SignInIntent, facts: &Facts) -> Verdict {
        let judged = self.sign_ins.judge(self.slice(), intent, facts);
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }

    fn decide_act(&self, act: &Act, now: UnixSeconds) -> Verdict {
        let judged = self.acts.judge(self.slice(), act, now);
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }
}

impl Bundle {
    fn slice(&self) -> crate::entities::Slice<'_> {
        crate::entities::Slice { words: &self.words, registry: &self.registry }
    }
}

#[cfg(test)]
impl Bundle {
    pub(crate) fn decide_sign_in_with_everything(&self, intent: &SignInIntent, facts: &Facts) -> Verdict {
        let judged = self.sign_ins.judge_with_everything(self.slice(), intent, facts);
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }

    pub(crate) fn decide_act_strictly(&self, act: &Act, now: UnixSeconds) -> Verdict {
        let judged = self.acts.judge_strictly(self.slice(), act, now);
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }

    pub(crate) fn decide_with_everything(&self, intent: &Intent, facts: &Facts) -> Verdict {
        self.judge_with_everything(Asking::Pay, intent, facts)
    }

    pub(crate) fn decide_allowance_with_everything(&self, intent: &Intent, facts: &Facts) -> Verdict {
        self.judge_with_everything(Asking::GrantAllowance, intent, facts)
    }

    fn judge_with_everything(&self, asking: Asking, intent: &Intent, facts: &Facts) -> Verdict {
        let judged = self.payments.judge_with_everything(self.slice(), asking, (intent, facts));
        judged.unwrap_or_else(|code| Verdict::Deny(code, Vec::new()))
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("digest", &self.digest)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

fn summary(registry: &Registry, policies: usize, guardrails: &Guardrails) -> BundleSummary {
    let Registry {
        revision: _,
        agents,
        workflows,
        wallets,
        services,
        assets,
        teams,
        operators,
        payees: _,
        sidecar_owners: _,
    } = registry;
    BundleSummary {
        teams: teams.len(),
        operators: operators.len(),
        agents: agents.len(),
        workflows: workflows.len(),
        wallets: wallets.len(),
        services: services.len(),
        assets: assets.len(),
        policies,
        guardrails: guardrails.all().count(),
    }
}

/// SHA-256 over everything that judges: version, then name and bytes of each file, each with its length, so that no
/// two bundles have one encoding. The guardrails are part of it: an upgrade that changes them changes the digest.
pub(crate) fn digest(registry_yaml: &str, policies: &[(&str, &str)]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"pursekeeper-bundle-v1\n");
    let embedded = [("schema.cedarschema", SCHEMA)].into_iter().chain(GUARDRAILS);
    let bundle = [(REGISTRY_FILE, registry_yaml)].into_iter().chain(policies.iter().copied());
    for (group, files) in [("embedded", embedded.collect::<Vec<_>>()), ("bundle", bundle.collect())] {
        hash.update(group.as_bytes());
        hash.update(length(files.len()));
        for (name, text) in files {
            for part in [name, text] {
                hash.update(length(part.len()));
                hash.update(part.as_bytes());
            }
        }
    }
    Digest(hash.finalize().into())
}

fn length(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes()
}
