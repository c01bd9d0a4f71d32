use std::fmt;

macro_rules! deny_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $fix:literal;)*) => {
        /// Why a request is refused: a closed set, in the order in which a request gets past them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DenyCode {
            $($(#[doc = $doc])* $name,)*
        }

        impl DenyCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is answered and recorded.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a few words.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                let doc = match self { $(Self::$name => concat!($($doc),*),)* };
                doc.trim().trim_end_matches('.')
            }

            /// What a person can do about it.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }

            /// Reads a code.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

deny_codes! {
    /// The wall clock is behind what the journal has already seen.
    ClockRegressed = "CLOCK_REGRESSED", "set the clock of this machine right";
    /// The wall clock is far ahead of what the machine's own clock allows.
    ClockJumped = "CLOCK_JUMPED", "set the clock of this machine right, or have an operator confirm it with `pursekeeper clock accept`";
    /// The request id was used for another request.
    RequestIdReused = "REQUEST_ID_REUSED", "use a new request id for a new request";
    /// The payment signed for this id is past its window.
    RequestExpired = "REQUEST_EXPIRED", "use a new request id";
    /// The caller is not in the registry any more.
    AgentUnknown = "AGENT_UNKNOWN", "declare the agent in registry.yaml";
    /// No such workflow.
    WorkflowUnknown = "WORKFLOW_UNKNOWN", "name a workflow of registry.yaml";
    /// The agent has several workflows and named none.
    WorkflowRequired = "WORKFLOW_REQUIRED", "name the workflow this payment is for";
    /// The listener the agent asks over is not for this workflow.
    WorkflowNotOnListener = "WORKFLOW_NOT_ON_LISTENER", "ask over a listener whose `workflows` in pursekeeper.yaml name it";
    /// No such wallet.
    WalletUnknown = "WALLET_UNKNOWN", "name a wallet of registry.yaml";
    /// Not exactly one wallet fits and none was named.
    WalletRequired = "WALLET_REQUIRED", "name the wallet, or give the workflow one wallet on this network";
    /// No such wallet, workflow, agent or service to act on.
    SubjectUnknown = "SUBJECT_UNKNOWN", "name a subject of registry.yaml";
    /// It was revoked, and that is for ever.
    Revoked = "REVOKED", "declare another wallet, workflow, agent or service: what was revoked does not come back";
    /// The address was replaced by a rotation.
    WalletReplaced = "WALLET_REPLACED", "act on the wallet by its name, or let the old address drain";
    /// Another key waits for the registry under this name.
    ActPending = "ACT_PENDING", "put the key that waits into registry.yaml and reload, or use another name";
    /// The wallet is in the registry already.
    WalletDeclared = "WALLET_DECLARED", "use another name; replace a key with `pursekeeper wallet rotate`, bring one back with `pursekeeper wallet recover`";
    /// Nobody could open the backup.
    NoRecipients = "NO_RECIPIENTS", "give the recovery team(s) `backup_recipients` in registry.yaml";
    /// The subject still signs.
    SubjectActive = "SUBJECT_ACTIVE", "suspend, retire or revoke it first: what is active goes on signing";
    /// No such hold, or it is resolved already.
    HoldUnknown = "HOLD_UNKNOWN", "list the holds with `pursekeeper hold list`";
    /// The signature can still be settled.
    HoldAlive = "HOLD_ALIVE", "wait until the signature is dead: only then can its money be free";
    /// A signature that only a transaction of the wallet itself could void.
    HoldNotCancellable = "HOLD_NOT_CANCELLABLE", "wait until the signature is dead: a payment through Permit2 lives at most `permit2_validity_secs_max`";
    /// No such payee waits for an operator at this service.
    PayeeUnknown = "PAYEE_UNKNOWN", "list those that do with `pursekeeper payee list`; any other belongs into the service's `payees` in registry.yaml";
    /// The policies do not let this operator do this.
    OperatorNotAllowed = "OPERATOR_NOT_ALLOWED", "ask a member of a team named in the subject's `owner`, `revokers` or `recovery`";
    /// A payment scheme we do not sign.
    SchemeUnsupported = "SCHEME_UNSUPPORTED", "ask the seller for an `exact` or `upto` offer";
    /// The scheme `batch-settlement`: payee, fees and deadlines hide inside a nonce.
    BatchSettlement = "BATCH_SETTLEMENT", "ask the seller for an `exact` offer";
    /// The scheme `auth-capture`: payee, fees and deadlines hide inside a nonce.
    AuthCapture = "AUTH_CAPTURE", "ask the seller for an `exact` offer";
    /// The transfer method `erc7710`: the seller would hold a delegation.
    Erc7710 = "ERC7710", "ask the seller for an EIP-3009 offer";
    /// Typed data of another kind than the payments we sign.
    TypedDataUnsupported = "TYPED_DATA_UNSUPPORTED", "sign payments of x402 only: there is no signature over anything else";
    /// A network we do not sign for.
    NetworkUnsupported = "NETWORK_UNSUPPORTED", "ask the seller for an offer on an EVM network";
    /// A way of transfer we do not sign, or that the asset does not have.
    MethodUnsupported = "METHOD_UNSUPPORTED", "ask the seller for an EIP-3009 offer, or list the way in the asset's `methods` in registry.yaml";
    /// The seller requires an extension that we do not know.
    ExtensionUnsupported = "EXTENSION_UNSUPPORTED", "ask the seller for an offer without it";
    /// An approval without limit.
    ApprovalUnlimited = "APPROVAL_UNLIMITED", "ask the seller for an EIP-3009 offer, or one with `eip2612GasSponsoring`";
    /// An allowance was asked for, and nobody would take a permit for it.
    AllowanceUnsponsored = "ALLOWANCE_UNSPONSORED", "ask the seller for an EIP-3009 offer, or ask again without `eip2612` once the wallet's owner has approved Permit2";
    /// An asset that is not in the registry.
    AssetUnknown = "ASSET_UNKNOWN", "declare the asset in registry.yaml, or ask for an offer in a declared one";
    /// The seller's EIP-712 name or version is not the asset's.
    AssetMismatch = "ASSET_MISMATCH", "do not trust this seller: it describes the asset wrongly";
    /// A payee that can only be a mistake or a trick.
    PayeeForbidden = "PAYEE_FORBIDDEN", "do not trust this seller: the payee is the zero address, the token, the payer or a contract of the protocol";
    /// The signature would live too long, begin later, or be dead already.
    ValidityRefused = "VALIDITY_REFUSED", "let it begin now and end within `limits.validity_secs_max`, or `permit2_validity_secs_max`, of pursekeeper.yaml";
    /// The wallet has signed with this nonce before.
    NonceReused = "NONCE_REUSED", "draw a new random nonce for every payment";
    /// No payment of this wallet needs this allowance.
    AllowanceUnpaid = "ALLOWANCE_UNPAID", "sign the payment through Permit2 first, then the permit for exactly its amount and deadline";
    /// Nothing to pay.
    AmountZero = "AMOUNT_ZERO", "do not pay for what is free";
    /// The amount, its value or a sum with it does not fit.
    AmountTooLarge = "AMOUNT_TOO_LARGE", "do not trust this seller: no such amount exists";
    /// The asset's rate is too old.
    UsdStale = "USD_STALE", "renew `usd.as_of` of the asset in registry.yaml";
    /// The policies contain no permit for this.
    NoPermit = "NO_PERMIT", "check the bundle with `pursekeeper policy check`";
    /// A policy could not be evaluated; Cedar would have skipped it.
    PolicyError = "POLICY_ERROR", "mend the policy that failed and check it with `pursekeeper policy check`";
    /// A policy of a team forbids it.
    PolicyDenied = "POLICY_DENIED", "see the named policy";
    /// A ceiling would be exceeded.
    CeilingExceeded = "CEILING_EXCEEDED", "wait until the window frees money, or raise the ceiling in registry.yaml";
    /// A field of the sign-in is not what EIP-4361 allows.
    SignInField = "SIGN_IN_FIELD", "do not trust this server: it writes what is not one line of a message";
    /// The server takes no EVM network, or no signature of the kind we make.
    SignInChain = "SIGN_IN_CHAIN", "ask the server to take an EVM network, signed with `eip191`";
    /// The message is for another site than the call.
    SignInDomain = "SIGN_IN_DOMAIN", "do not trust this server: it wants a sign-in for another site";
    /// The message is from another time, or can be used for too long.
    SignInTime = "SIGN_IN_TIME", "ask the server for a fresh challenge, and check the clock of this machine";
    /// The wallet has a floor, and how much it holds is not known well enough.
    BalanceUnknown = "BALANCE_UNKNOWN", "make sure that `chains` in pursekeeper.yaml names nodes of this network that answer";
    /// The wallet would hold less than its floor.
    BalanceBelowFloor = "BALANCE_BELOW_FLOOR", "fund the wallet, or lower its `floor` in registry.yaml";
    /// The wallet may not spend on this network.
    NetworkNotAllowed = "NETWORK_NOT_ALLOWED", "add the network to the wallet in registry.yaml";
    /// Nobody accepted this payee for this service.
    PayeeUnaccepted = "PAYEE_UNACCEPTED", "check the payee with the seller, then add it to the service's `payees` in registry.yaml, or, where these say `first_use: pending`, accept it with `pursekeeper payee accept`";
    /// Nobody accepted this facilitator for this service.
    FacilitatorUnaccepted = "FACILITATOR_UNACCEPTED", "check the facilitator with the seller, then add it to the service's `facilitators` in registry.yaml";
    /// The seller's resource is on another origin than the call.
    OriginDiffers = "ORIGIN_DIFFERS", "do not trust this seller: it asks to be paid for another site";
    /// The seller names no resource and the service does not allow that.
    OriginAbsent = "ORIGIN_ABSENT", "set `resource_optional: true` on the service if its 402 really names no resource";
    /// A payment to a prepaid service at a path that takes none.
    NotATopUp = "NOT_A_TOP_UP", "sign in for this call; pay at one of the service's `top_up` paths";
    /// The endpoint is in no service of the workflow.
    EndpointOutOfScope = "ENDPOINT_OUT_OF_SCOPE", "add the endpoint to a service of the workflow in registry.yaml";
    /// The wallet does not serve the workflow.
    WalletNotInWorkflow = "WALLET_NOT_IN_WORKFLOW", "use a wallet that names the workflow in registry.yaml";
    /// The agent does not work for the workflow.
    AgentNotInWorkflow = "AGENT_NOT_IN_WORKFLOW", "name a workflow the agent belongs to";
    /// The wallet has no backup.
    BackupMissing = "BACKUP_MISSING", "make one with `pursekeeper wallet backup`, or accept the loss of its key with `backup: none` in registry.yaml";
    /// The agent, workflow, wallet or service is not active.
    NotActive = "NOT_ACTIVE", "ask an operator to resume it";
    /// The workflow's time is over.
    WorkflowExpired = "WORKFLOW_EXPIRED", "renew `expires` of the workflow in registry.yaml";
}

impl fmt::Display for DenyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
