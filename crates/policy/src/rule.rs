use cedar_policy::{ActionConstraint, Policy};
use pursekeeper_core::{ActVerb, DenyCode, Digest, PolicyRef};
use sha2::{Digest as _, Sha256};

use crate::needs::Needs;

/// A policy that can be selected for a request.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Its `@id` and `@reason`.
    pub(crate) reference: PolicyRef,
    /// A guardrail's `@code`; none for permits and for policies of a team.
    pub(crate) code: Option<DenyCode>,
    /// What it reads.
    pub(crate) needs: Needs,
    /// The policy, with its `@id` as Cedar's id.
    pub(crate) policy: Policy,
}

/// SHA-256 of a policy's text: what a record refers to, also when the policy says something else later.
pub(crate) fn text_digest(policy: &Policy) -> Digest {
    Digest(Sha256::digest(policy.to_string()).into())
}

/// What is asked for, as an action of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// A payment.
    Pay,
    /// The allowance granted together with a payment.
    GrantAllowance,
    /// A sign-in.
    SignIn,
    /// An operator's act.
    Act(ActVerb),
}

impl Asking {
    /// The action's name in the schema.
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Pay => "Pay",
            Self::GrantAllowance => "GrantAllowance",
            Self::SignIn => "SignIn",
            Self::Act(verb) => act(verb),
        }
    }

    /// The group the action is in.
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Pay | Self::GrantAllowance | Self::SignIn => "Sign",
            Self::Act(_) => "Govern",
        }
    }
}

/// An act's name in the schema.
const fn act(verb: ActVerb) -> &'static str {
    match verb {
        ActVerb::Suspend => "Suspend",
        ActVerb::Resume => "Resume",
        ActVerb::Revoke => "Revoke",
        ActVerb::Retire => "Retire",
        ActVerb::SuspendAll => "SuspendAll",
        ActVerb::ResumeAll => "ResumeAll",
        ActVerb::Create => "Create",
        ActVerb::Import => "Import",
        ActVerb::Rotate => "Rotate",
        ActVerb::Reassign => "Reassign",
        ActVerb::Backup => "Backup",
        ActVerb::Recover => "Recover",
        ActVerb::CancelOutstanding => "CancelOutstanding",
        ActVerb::Cancel => "CancelPayment",
        ActVerb::Release => "Release",
        ActVerb::AcceptPayee => "AcceptPayee",
        ActVerb::AcceptClock => "AcceptClock",
        ActVerb::Reload => "ReloadPolicies",
    }
}

impl Rule {
    /// Whether the policy's head lets it say anything about this action.
    pub(crate) fn is_about(&self, asking: Asking) -> bool {
        let named = |uid: &cedar_policy::EntityUid| uid.id().unescaped().to_owned();
        match self.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => named(&uid) == asking.action(),
            ActionConstraint::In(uids) => {
                uids.iter().map(named).any(|name| name == asking.action() || name == asking.group())
            }
        }
    }
}
