//! Realistic entries and journals for tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ed25519_dalek::Signer as _;
use pursekeeper_core::ports::{Journal as _, Judged, Ledger, Recorded, Urgency};
use pursekeeper_core::siwx::{SignIn, SignInParts, SignInProfile};
use pursekeeper_core::x402::{Protocol, Scheme, Terms};
use pursekeeper_core::{
    Act, ActVerb, Address, AgentName, Amount, Asked, AssetId, Caller, ChainId, Checkpoint, Claim, Decision,
    Demand, Denial, DenyCode, Detail, Digest, Endpoint, Entry, Evidence, EvmAddress, HoldState,
    IdentitySource, Intent, JournalId, LifecycleDecision, Mode, Moment, Observation, OfferVerdict, Offered,
    OperatorName, OriginMatch, Outcome, PendingPayee, Permit, PolicyRef, Reissue, Report, RequestId, Said,
    ServiceName, SignInDecision, SignInIntent, SignInOutcome, SignInPermit, Signable, Subject,
    TransferMethod, Transition, UnixSeconds, Usd, Wait, WalletName, WorkflowName,
};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;

use crate::{AuditVerifier, Frontier, JournalError, Reader, SqliteJournal};

pub(crate) const ID: JournalId = JournalId([0xab; 16]);
/// 2026-11-22, a whole minute.
pub(crate) const NOW: u64 = 1_795_305_600;

pub(crate) fn moment(unix_secs: u64) -> Moment {
    Moment { unix_ms: unix_secs * 1000, boot_ms: 5_000, boot_id: [7; 16] }
}

pub(crate) fn evm(byte: u8) -> Address {
    Address::Evm(EvmAddress::from_bytes([byte; 20]))
}

pub(crate) fn policy(id: &str) -> PolicyRef {
    PolicyRef { id: id.into(), reason: format!("because of \"{id}\"").into(), digest: None }
}

/// One payment, with what tests vary.
#[derive(Clone, Debug)]
pub(crate) struct Pay {
    pub(crate) id: u64,
    pub(crate) at: u64,
    pub(crate) held_until: u64,
    pub(crate) usd: u128,
    pub(crate) agent: &'static str,
    pub(crate) workflow: &'static str,
    pub(crate) service: Option<&'static str>,
    pub(crate) wallet: u8,
    pub(crate) payee: u8,
    pub(crate) method: TransferMethod,
    pub(crate) url: String,
}

impl Pay {
    /// A payment of a tenth of a cent that is dead six minutes from `at`.
    pub(crate) fn new(id: u64, at: u64) -> Self {
        Self {
            id,
            at,
            held_until: at + 360,
            usd: 1_000_000_000,
            agent: "researcher",
            workflow: "literature-review",
            service: Some("papers"),
            wallet: 1,
            payee: 9,
            method: TransferMethod::Eip3009,
            url: format!("https://api.example.com/v1/data?page={id}"),
        }
    }

    pub(crate) fn request_id(&self) -> RequestId {
        RequestId::parse(&format!("01J9ZK.{}", self.id)).unwrap()
    }

    pub(crate) fn intent(&self) -> Intent {
        let accepted = r#"{"scheme":"exact", "network":"eip155:84532","amount":"1000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"0x6bE854D8F38Acab8844843C07447E4E0F528c054","maxTimeoutSeconds":300,"extra":{"name":"USDC","version":"2"}}"#;
        let mut nonce = [0x5a; 32];
        nonce[..8].copy_from_slice(&self.id.to_be_bytes());
        Intent {
            request_id: self.request_id(),
            agent: AgentName::parse(self.agent).unwrap(),
            workflow: WorkflowName::parse(self.workflow).unwrap(),
            wallet: WalletName::parse("research").unwrap(),
            wallet_address: evm(self.wallet),
            service: self.service.map(|name| ServiceName::parse(name).unwrap()),
            endpoint: Endpoint::parse("GET", &self.url).unwrap(),
            origin: OriginMatch::Match,
            demand: Demand::Offer(Offered {
                protocol: Protocol::V2,
                index: 1,
                accepted: accepted.into(),
                resource: Some(
                    r#"{"url":"https://api.example.com/v1/data","description":"d\u00e9j\u00e0 vu"}"#.into(),
                ),
                extensions: Some(r#"{ "bazaar" : {} }"#.into()),
            }),
            terms: Terms {
                scheme: Scheme::Exact,
                method: self.method,
                asset: AssetId { network: ChainId::Eip155(84532), address: evm(3) },
                payee: evm(self.payee),
                amount: Amount::parse("1000").unwrap(),
            },
            domain: Digest([0xd0; 32]),
            usd: Usd::from_units(self.usd),
            valid_after: UnixSeconds(self.at - 60),
            valid_before: UnixSeconds(self.held_until.saturating_sub(60)),
            nonce,
            allowance: None,
        }
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked {
            caller: Caller::new(AgentName::parse(self.agent).unwrap(), IdentitySource::unix_peer(1000)),
            request_id: self.request_id(),
            endpoint: Endpoint::parse("GET", &self.url).unwrap(),
            workflow: Some(WorkflowName::parse(self.workflow).unwrap()),
            wallet: None,
            labels: BTreeMap::from([("model".to_owned(), "orca-5".to_owned())]),
            trace: None,
            wait: Wait::Unknown,
        }
    }

    fn decision(&self, mode: Mode, outcome: Outcome) -> Entry {
        let refused = Denial::rule(DenyCode::NetworkUnsupported, "the network `solana` is not supported");
        Entry::Payment(Box::new(Decision {
            at: moment(self.at),
            mode,
            asked: self.asked(),
            fingerprint: Digest([self.id.to_be_bytes()[7]; 32]),
            offers: vec![
                OfferVerdict { index: 0, denial: Some(refused) },
                OfferVerdict { index: 1, denial: None },
            ],
            outcome,
            ceilings: Vec::new(),
            pending: None,
            bundle: Digest([0xbb; 32]).into(),
            shadow: None,
        }))
    }

    pub(crate) fn permitted(&self, mode: Mode) -> Entry {
        let (intent, policies) = (self.intent(), vec![policy("base")]);
        let permit =
            Permit { intent, policies, held_until: UnixSeconds(self.held_until), warnings: Vec::new() };
        self.decision(mode, Outcome::Permit(Box::new(permit)))
    }

    /// A permit that binds money.
    pub(crate) fn permit(&self) -> Entry {
        self.permitted(Mode::Enforce)
    }

    pub(crate) fn denied(&self) -> Entry {
        let denial = Denial::by_policies(DenyCode::CeilingExceeded, vec![policy("ceilings")]);
        self.decision(Mode::Enforce, Outcome::Deny { denial, intent: Some(Box::new(self.intent())) })
    }

    /// A refusal that leaves the payee to the operators.
    pub(crate) fn pending(&self) -> Entry {
        let denial = Denial {
            message: "nobody accepted it".to_owned(),
            ..Denial::by_policies(DenyCode::PayeeUnaccepted, vec![policy("scope.payee")])
        };
        let intent = self.intent();
        let (service, payee) = (intent.service.clone().unwrap(), intent.terms.payee);
        let mut entry =
            self.decision(Mode::Enforce, Outcome::Deny { denial, intent: Some(Box::new(intent)) });
        if let Entry::Payment(decision) = &mut entry {
            decision.pending = Some(PendingPayee { service, payee });
        }
        entry
    }

    pub(crate) fn reissued(&self, original_seq: u64, at: u64) -> Entry {
        Entry::Reissue(Box::new(Reissue {
            at: moment(at),
            asked: self.asked(),
            original_seq,
            what: Signable::Payment(self.intent()),
            policies: Vec::new(),
            bundle: Digest([0xbb; 32]).into(),
        }))
    }
}

pub(crate) fn act(verb: ActVerb, subject: Subject, at: u64) -> Entry {
    Entry::Lifecycle(Box::new(LifecycleDecision {
        at: moment(at),
        act: Act {
            operator: OperatorName::parse("olivia").unwrap(),
            source: IdentitySource::unix_peer(501),
            verb,
            subject,
            detail: Detail::None,
            reason: "incident 42 – \u{1f9ef}".to_owned(),
        },
        denial: None,
        cancellation: None,
        cascade: Default::default(),
        wallet: None,
        policies: vec![policy("revokers")],
        bundle: Digest([0xbb; 32]).into(),
    }))
}

/// An operator accepts a payee.
pub(crate) fn accepted(service: &str, payee: Address, at: u64) -> Entry {
    let service = Subject::Service(ServiceName::parse(service).unwrap());
    about(act(ActVerb::AcceptPayee, service, at), Detail::Payee(payee))
}

/// An act that is about more than its subject. What waits for the registry is about the wallet `research`.
pub(crate) fn about(mut entry: Entry, detail: Detail) -> Entry {
    if let Entry::Lifecycle(lifecycle) = &mut entry {
        lifecycle.wallet = matches!(lifecycle.act.verb, ActVerb::Rotate | ActVerb::Reassign)
            .then(|| WalletName::parse("research").unwrap());
        lifecycle.act.detail = detail;
    }
    entry
}

/// The same act, refused.
pub(crate) fn refused(mut entry: Entry) -> Entry {
    if let Entry::Lifecycle(lifecycle) = &mut entry {
        lifecycle.denial = Some(Denial::by_policies(DenyCode::OperatorNotAllowed, Vec::new()));
        (lifecycle.wallet, lifecycle.policies) = (None, Vec::new());
    }
    entry
}

/// Some acts are complete, and nothing else changed.
pub(crate) fn completed(seqs: &[u64], at: u64) -> Transition {
    Transition {
        at: moment(at),
        bundle: Digest([0xbb; 32]).into(),
        reviewed: None,
        completed: seqs.iter().copied().collect(),
        statuses: Vec::new(),
    }
}

/// A transition as it is recorded.
pub(crate) fn changed(transition: Transition) -> Entry {
    Entry::Transition(Box::new(transition))
}

/// Evidence that resolves the hold of record `original_seq`.
pub(crate) fn resolved(original_seq: u64, state: HoldState, at: u64) -> Entry {
    Entry::Evidence(Box::new(Evidence {
        at: moment(at),
        original_seq,
        observation: Observation {
            network: ChainId::Eip155(84532),
            block: 1_234,
            block_hash: [0xcc; 32],
            transaction: (state != HoldState::Released).then_some([0xdd; 32]),
            nodes: 2,
        },
        state,
    }))
}

/// Settled for `usd`.
pub(crate) fn settled_for(usd: Usd) -> HoldState {
    HoldState::Settled { amount: Amount::parse("500").unwrap(), usd }
}

/// What an agent claims about the payment of record `original_seq`.
pub(crate) fn claimed(original_seq: u64, claim: Claim, at: u64) -> Entry {
    said(original_seq, Said::Outcome(claim), at)
}

/// What an agent says after the payment or sign-in of record `original_seq`.
pub(crate) fn said(original_seq: u64, said: Said, at: u64) -> Entry {
    let caller = Pay::new(0, at).asked().caller;
    Entry::Report(Box::new(Report { at: moment(at), caller, original_seq, said }))
}

impl Pay {
    /// A sign-in for the same call by the same agent and wallet.
    pub(crate) fn signed_in(&self) -> Entry {
        let Intent { request_id, agent, workflow, wallet, wallet_address, service, endpoint, .. } =
            self.intent();
        let message = SignIn::from_parts(SignInParts {
            profile: SignInProfile::Venice,
            domain: "api.example.com".to_owned(),
            address: wallet_address,
            statement: None,
            uri: "https://api.example.com/v1/data".to_owned(),
            chain: ChainId::Eip155(8453),
            nonce: "abcdefgh12345678".to_owned(),
            issued_at: "2026-11-22T12:00:00Z".to_owned(),
            expiration_time: None,
            not_before: None,
            request_id: None,
            resources: Vec::new(),
            signature_scheme: None,
        });
        let message = message.unwrap();
        let intent =
            SignInIntent { request_id, agent, workflow, wallet, wallet_address, service, endpoint, message };
        let counted_until = UnixSeconds(self.held_until);
        let permit = SignInPermit { intent, policies: vec![policy("base")], counted_until };
        Entry::SignIn(Box::new(SignInDecision {
            at: moment(self.at),
            asked: self.asked(),
            fingerprint: Digest([2; 32]),
            outcome: SignInOutcome::Permit(Box::new(permit)),
            ceilings: Vec::new(),
            bundle: Digest([0xbb; 32]).into(),
            shadow: None,
        }))
    }
}

/// A pen that signs what it is given, as the audit key does, for the journal [`ID`].
pub(crate) struct AuditPen(ed25519_dalek::SigningKey);

impl AuditPen {
    pub(crate) fn new(seed: u8) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&[seed; 32]))
    }

    fn verifier_key(&self) -> String {
        signed_note::new_ed25519_verifier_key(&Checkpoint::origin(ID), &self.0.verifying_key())
    }

    pub(crate) fn verifier(&self) -> AuditVerifier {
        AuditVerifier::parse(&self.verifier_key()).unwrap()
    }

    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> String {
        let (text, name) = (checkpoint.to_string(), Checkpoint::origin(checkpoint.journal));
        let public = [&[1], self.0.verifying_key().as_bytes().as_slice()].concat();
        let signature = self.0.sign(text.as_bytes()).to_bytes().to_vec();
        let id = signed_note::key_id(&name, &public);
        let signature = signed_note::Signature::new(name, id, signature).unwrap();
        let note = signed_note::Note::new(text.as_bytes(), &[signature]).unwrap();
        String::from_utf8(note.to_bytes()).unwrap()
    }
}

/// A directory with one journal in it.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("journal.db")
    }

    pub(crate) fn create(&self) -> SqliteJournal {
        SqliteJournal::create(&self.path(), moment(NOW), ID).unwrap()
    }

    pub(crate) fn open(&self) -> SqliteJournal {
        SqliteJournal::open(&self.path(), ID).unwrap()
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.path()).unwrap()
    }

    /// Changes the file behind the journal's back.
    pub(crate) fn tamper(&self, sql: &str) {
        self.stranger().execute_batch(sql).unwrap();
    }

    /// A connection of somebody else's, which leaves the write-ahead log where it is.
    pub(crate) fn stranger(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        connection
    }
}

impl Home {
    /// A checkpoint over the first `size` records, signed.
    pub(crate) fn checkpoint(&self, size: u64) {
        let reader = self.reader();
        let root = tree(&reader, size).root().unwrap();
        let note = AuditPen::new(1).sign(&Checkpoint { journal: reader.id(), size, root });
        let sql = "INSERT INTO checkpoint (size, note) VALUES (?1, ?2)";
        let size = i64::try_from(size).unwrap();
        self.stranger().execute(sql, rusqlite::params![size, note]).unwrap();
    }

    /// The directory of the segments.
    pub(crate) fn archive(&self) -> PathBuf {
        let dir = self.0.path().join("archive");
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
}

/// The tree over the first `size` records, or over what is archived and those after it.
fn tree(reader: &Reader, size: u64) -> Frontier {
    let mut tree = reader.last_segment().unwrap().map_or_else(Frontier::default, |segment| segment.frontier);
    while tree.size() < size {
        for record in reader.records(tree.size() + 1, usize::try_from(size - tree.size()).unwrap()).unwrap() {
            tree = tree.with(record.leaf).unwrap();
        }
    }
    tree
}

/// Records entries as they are, in one batch, at the time of the last one.
pub(crate) fn record(journal: &mut SqliteJournal, entries: &[Entry]) -> Result<Vec<Recorded>, JournalError> {
    let at = entries.last().map_or(moment(NOW), Entry::at);
    journal.commit(at, Urgency::Payment, entries, |entry, _| Ok(Judged::Entry(entry.clone())))
}

/// Looks at the ledger without recording anything.
pub(crate) fn look<T>(journal: &mut SqliteJournal, at: u64, look: impl Fn(&dyn Ledger) -> T) -> T {
    let mut seen = None;
    let stop = || pursekeeper_core::ports::LedgerError("only looking".into());
    let result = journal.commit(moment(at), Urgency::Payment, &[()], |(), ledger| {
        seen = Some(look(ledger));
        Err(stop())
    });
    assert!(matches!(result, Err(JournalError::Judge(_))), "{result:?}");
    seen.unwrap()
}
