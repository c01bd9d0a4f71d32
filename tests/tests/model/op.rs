//! What can happen, drawn at random. Numbers that pick something are taken modulo what is there when it happens, so that
//! a shorter history of the same things still means something.

use proptest::prelude::*;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// One batch through the gate.
    Batch(Vec<AskOp>),
    /// A batch that ends with something the journal cannot record.
    BatchThatFails(Vec<AskOp>, u8),
    /// Time passes on both clocks.
    Pass(u64),
    /// Time passes until about the moment at which a hold leaves a window, dies or can no longer be handed out. Then,
    /// maybe, comes what this moment means most to.
    PassToEdge { hold: u16, edge: u8, off_ms: i64, meet: bool },
    /// The wall clock jumps ahead.
    Jump(u64),
    /// The wall clock goes back.
    Back(u64),
    /// Somebody sets the wall clock right.
    SetRight,
    /// The machine was off for so long.
    Reboot(u64),
    /// The process ends and starts.
    Reopen,
    /// The process is killed: what is on disk at that moment is what the next one finds.
    Kill,
    /// A balance of a wallet is read, so many seconds before or after now.
    Balance { wallet: u8, asset: u8, amount: u8, off_secs: i64 },
    /// The registry is edited and loaded.
    Edit(Edit),
}

/// One edit of the registry.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Usd {
        kind: u8,
        at: u8,
        window: u8,
        limit: Option<u64>,
    },
    Payments {
        kind: u8,
        at: u8,
        window: u8,
        limit: Option<u64>,
    },
    Rename {
        kind: u8,
        at: u8,
        how: Rename,
    },
    Declare {
        kind: u8,
        at: u8,
        suspended: bool,
    },
    Floor(Option<u64>),
    /// In so many seconds from now.
    Expires(Option<u64>),
}

/// How a name changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rename {
    /// `was:` says what it was.
    Fresh,
    /// Back to an earlier name.
    Back,
    /// `was:` is dropped.
    Forget,
    /// `was:` is put back.
    Remember,
}

/// One ask of a batch.
#[derive(Clone, Debug)]
pub(crate) enum AskOp {
    Pay(Pay),
    /// A request made before, by its request id.
    Again {
        pick: u16,
        twist: Twist,
    },
    Report {
        hold: u16,
        agent: Option<u8>,
        settled: bool,
    },
    Evidence {
        hold: u16,
        fate: Fate,
    },
    Release {
        hold: u16,
        operator: u8,
        named: Named,
    },
    Stop {
        kind: u8,
        at: u8,
        operator: u8,
        resume: bool,
        former: bool,
    },
    AcceptClock {
        operator: u8,
    },
}

/// A new request.
#[derive(Clone, Debug)]
pub(crate) struct Pay {
    pub(crate) agent: u8,
    /// Workflow, wallet, service and payees are picked among those that fit.
    pub(crate) fitting: bool,
    /// The caller is still known under an earlier name.
    pub(crate) former: bool,
    pub(crate) workflow: Option<u8>,
    pub(crate) wallet: Option<u8>,
    pub(crate) service: u8,
    pub(crate) offers: Vec<OfferOp>,
    pub(crate) preview: bool,
}

/// One entry of `accepts`.
#[derive(Clone, Debug)]
pub(crate) struct OfferOp {
    pub(crate) asset: u8,
    pub(crate) payee: u8,
    pub(crate) amount: u8,
    pub(crate) timeout_secs: u64,
}

/// How a repeated request differs from the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Twist {
    Same,
    /// Not part of what makes it the same request.
    OtherTimeout,
    OtherAmount,
    OtherEndpoint,
    OtherAgent,
    Preview,
}

/// What a chain says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Settled for this many 256ths, or for one atomic unit less or more.
    Part(u8),
    All,
    OneLess,
    OneMore,
    Dead,
    /// All of it, on another network.
    Elsewhere,
}

/// How a hold is named by an operator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    Rightly,
    /// As another wallet's.
    AsAnothers,
    NotAtAll,
    /// By a number no record has.
    Wrongly,
}

/// Atomic units of the first asset; the second has twelve more digits.
pub(crate) const AMOUNTS: [&str; 17] = [
    "1",
    "3",
    "7",
    "33",
    "99",
    "100",
    "101",
    "250",
    "1000",
    "2500",
    "10000",
    "333333",
    "1000000",
    "1000000000000",
    "900000000000000000000",
    "0",
    "10000000000000000000000",
];

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// One step.
pub(crate) fn op() -> impl Strategy<Value = Op> {
    let batch = || prop::collection::vec(ask(), 1..=4);
    prop_oneof![
        120 => batch().prop_map(Op::Batch),
        3 => (batch(), any::<u8>()).prop_map(|(asks, by)| Op::BatchThatFails(asks, by)),
        16 => (0..2 * MINUTE).prop_map(Op::Pass),
        4 => (0..4 * HOUR).prop_map(Op::Pass),
        3 => (0..40 * DAY).prop_map(Op::Pass),
        14 => edge(),
        1 => prop::sample::select(vec![500, 59_999, 60_000, 60_001, 3 * HOUR, DAY, 45 * DAY]).prop_map(Op::Jump),
        1 => prop::sample::select(vec![1, 1_000, 1_999, 2_000, 2_001, HOUR, 5 * DAY]).prop_map(Op::Back),
        10 => Just(Op::SetRight),
        1 => prop::sample::select(vec![0, 5_000, HOUR, DAY, DAY + 1, 9 * DAY]).prop_map(Op::Reboot),
        1 => Just(Op::Reopen),
        1 => Just(Op::Kill),
        8 => balance(),
        18 => edit().prop_map(Op::Edit),
    ]
}

fn edge() -> impl Strategy<Value = Op> {
    let off_ms = prop::sample::select(vec![-1_000, -1, 0, 1, 999, 1_000]);
    (any::<u16>(), any::<u8>(), off_ms, any::<bool>()).prop_map(|(hold, edge, off_ms, meet)| Op::PassToEdge {
        hold,
        edge,
        off_ms,
        meet,
    })
}

fn balance() -> impl Strategy<Value = Op> {
    let off_secs = prop::sample::select(vec![0, 0, 0, -30, -119, -120, -121, 60, 61]);
    (prop_oneof![1 => any::<u8>(), 4 => Just(1)], any::<u8>(), 8..15u8, off_secs)
        .prop_map(|(wallet, asset, amount, off_secs)| Op::Balance { wallet, asset, amount, off_secs })
}

fn edit() -> impl Strategy<Value = Edit> {
    let usd = prop::sample::select(vec![1, 2, 10, 11, 25, 100, 101, 500, 10_000, 20_000, 100_000_000]);
    let usd = prop::option::weighted(0.55, usd);
    let payments = prop::option::weighted(0.4, 0..12u64);
    let how = prop_oneof![
        4 => Just(Rename::Fresh),
        2 => Just(Rename::Back),
        1 => Just(Rename::Forget),
        1 => Just(Rename::Remember),
    ];
    prop_oneof![
        12 => (any::<u8>(), any::<u8>(), any::<u8>(), usd)
            .prop_map(|(kind, at, window, limit)| Edit::Usd { kind, at, window, limit }),
        6 => (any::<u8>(), any::<u8>(), any::<u8>(), payments)
            .prop_map(|(kind, at, window, limit)| Edit::Payments { kind, at, window, limit }),
        5 => (any::<u8>(), any::<u8>(), how).prop_map(|(kind, at, how)| Edit::Rename { kind, at, how }),
        2 => (any::<u8>(), any::<u8>(), prop::bool::weighted(0.15))
            .prop_map(|(kind, at, suspended)| Edit::Declare { kind, at, suspended }),
        2 => prop::option::weighted(0.35, prop::sample::select(vec![1, 500, 10_000])).prop_map(Edit::Floor),
        1 => prop::option::weighted(0.2, 0..100_000u64).prop_map(Edit::Expires),
    ]
}

fn ask() -> impl Strategy<Value = AskOp> {
    let fate = prop_oneof![
        4 => any::<u8>().prop_map(Fate::Part),
        3 => Just(Fate::All),
        1 => Just(Fate::OneLess),
        1 => Just(Fate::OneMore),
        3 => Just(Fate::Dead),
        1 => Just(Fate::Elsewhere),
    ];
    let named = prop_oneof![
        7 => Just(Named::Rightly),
        1 => Just(Named::AsAnothers),
        1 => Just(Named::NotAtAll),
        1 => Just(Named::Wrongly),
    ];
    let foreign = prop::option::weighted(0.3, any::<u8>());
    prop_oneof![
        50 => pay().prop_map(AskOp::Pay),
        14 => (any::<u16>(), twist()).prop_map(|(pick, twist)| AskOp::Again { pick, twist }),
        4 => (any::<u16>(), foreign, any::<bool>())
            .prop_map(|(hold, agent, settled)| AskOp::Report { hold, agent, settled }),
        9 => (any::<u16>(), fate).prop_map(|(hold, fate)| AskOp::Evidence { hold, fate }),
        5 => (any::<u16>(), 0..6u8, named)
            .prop_map(|(hold, operator, named)| AskOp::Release { hold, operator, named }),
        3 => stop(),
        4 => (0..6u8).prop_map(|operator| AskOp::AcceptClock { operator }),
    ]
}

fn stop() -> impl Strategy<Value = AskOp> {
    (any::<u8>(), any::<u8>(), 0..6u8, prop::bool::weighted(0.85), prop::bool::weighted(0.05))
        .prop_map(|(kind, at, operator, resume, former)| AskOp::Stop { kind, at, operator, resume, former })
}

fn pay() -> impl Strategy<Value = Pay> {
    let wallet = prop::option::weighted(0.92, prop_oneof![40 => 0..3u8, 1 => Just(3)]);
    let workflow = prop::option::weighted(0.8, prop_oneof![40 => 0..2u8, 1 => Just(2)]);
    let service = prop_oneof![20 => 0..2u8, 1 => Just(2)];
    let offers = prop::collection::vec(offer(), 1..=2);
    let rarely = || prop::bool::weighted(0.02);
    let drawn = (any::<u8>(), prop::bool::weighted(0.9), rarely(), prop::bool::weighted(0.08));
    (drawn, workflow, wallet, service, offers).prop_map(
        |((agent, fitting, former, preview), workflow, wallet, service, offers)| Pay {
            agent,
            fitting,
            former,
            workflow,
            wallet,
            service,
            offers,
            preview,
        },
    )
}

fn offer() -> impl Strategy<Value = OfferOp> {
    let payee = prop_oneof![30 => 0..3u8, 1 => Just(3)];
    let amount = prop_oneof![60 => 0..13u8, 1 => 13..17u8];
    let timeout_secs = prop::sample::select(vec![1, 30, 60, 300, 301, u64::from(u32::MAX)]);
    (any::<u8>(), payee, amount, timeout_secs).prop_map(|(asset, payee, amount, timeout_secs)| OfferOp {
        asset,
        payee,
        amount,
        timeout_secs,
    })
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        6 => Just(Twist::Same),
        2 => Just(Twist::OtherTimeout),
        1 => Just(Twist::OtherAmount),
        1 => Just(Twist::OtherEndpoint),
        1 => Just(Twist::OtherAgent),
        1 => Just(Twist::Preview),
    ]
}
