//! Clients that call as fast as they are answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pursekeeper_api::Signer;
use pursekeeper_core::gate::{Ask, Gate, PaymentAsk, Rules, Settings, Surroundings};
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::x402::Challenge;
use pursekeeper_core::{
    AgentName, Asked, Balances, Caller, ClockMark, Endpoint, IdentitySource, Mode, Moment, RequestId, Wait,
};
use pursekeeper_policy::{Bundle, BundleOptions, STARTER_REGISTRY};
use pursekeeper_tests::{MemoryJournal, Offer, PAYEE, Sidecar, URL, challenge_v2, request, signed};
use std::sync::Arc;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// When everything is judged.
const NOW: Moment = Moment { unix_ms: 1_795_000_000_000, boot_ms: 1, boot_id: [0; 16] };

/// What a number of calls took.
pub(crate) struct Load {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    pub(crate) rate: f64,
    pub(crate) fsyncs: Option<f64>,
}

impl Load {
    fn of(mut times: Vec<Duration>, took: Duration) -> Self {
        times.sort();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        let (p50, p99, max) = (at(50), at(99), at(100));
        Self { p50, p99, max, rate: times.len() as f64 / took.as_secs_f64(), fsyncs: None }
    }
}

/// The smallest call the server answers: what the transport alone costs.
pub(crate) async fn echo(sidecar: &Sidecar, clients: usize, calls: usize) -> Load {
    run(clients, calls, async || {
        let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
        let client = HealthClient::new(channel);
        move |_| {
            let mut client = client.clone();
            async move { drop(client.check(HealthCheckRequest::default()).await.unwrap()) }
        }
    })
    .await
}

/// Payments, each a new request id, each checked to be signed.
pub(crate) async fn pay(sidecar: &Sidecar, clients: usize, calls: usize) -> Load {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run_number = RUN.fetch_add(1, Ordering::Relaxed);
    run(clients, calls, async || {
        // In the runtime that the echoes are asked from.
        let signer = Signer::new(pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap());
        let template = request("template", "1000");
        move |call| {
            let mut signer = signer.clone();
            let mut request = template.clone();
            request.request_id = format!("bench-{run_number}-{call}");
            async move { drop(signed(signer.sign_payment(request).await)) }
        }
    })
    .await
}

async fn run<C, F, Fut>(clients: usize, calls: usize, connect: C) -> Load
where
    C: AsyncFn() -> F,
    F: Fn(usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(connect().await);
    }
    let start = Instant::now();
    let tasks: Vec<_> = connected
        .into_iter()
        .map(|call| {
            let next = next.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return times;
                    }
                    let start = Instant::now();
                    call(number).await;
                    times.push(start.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    Load::of(times, start.elapsed())
}

/// The gate over a journal in memory: what judging alone costs.
pub(crate) struct Judge {
    gate: Gate<MemoryJournal>,
    bundle: Bundle,
    challenge: Challenge,
    calls: u64,
}

impl Judge {
    /// With `count` policies of other workflows.
    pub(crate) fn new(count: usize, mut journal: MemoryJournal) -> Self {
        journal.clock_before = ClockMark::default().after(NOW, false);
        let mut registry = STARTER_REGISTRY.replace("0x1111111111111111111111111111111111111111", PAYEE);
        let mut policies = String::new();
        let mut workflows = String::from("workflows:\n");
        for number in 0..count {
            workflows.push_str(&format!("  other-{number}: {{ owner: research, services: [weather] }}\n"));
            policies.push_str(&format!(
                "@id(\"other.{number}\") @reason(\"not here\") forbid (principal in Pursekeeper::Workflow::\"other-{number}\", \
                 action == Pursekeeper::Action::\"Pay\", resource) when {{ context.payment.usd.greaterThan(decimal(\"0.01\")) }};\n"
            ));
        }
        registry = registry.replacen("workflows:\n", &workflows, 1);
        let options = BundleOptions { dev: true };
        let bundle = Bundle::from_parts(&registry, &[("others.cedar", &policies)], options).unwrap();
        let challenge = Challenge::from_header(&challenge_v2(Some(URL), &[Offer::of("1000")])).unwrap();
        Self { gate: Gate::new(journal, Settings::default()), bundle, challenge, calls: 0 }
    }

    /// One preview: judged like a payment, and leaves no total behind.
    pub(crate) fn decide(&mut self) {
        self.calls += 1;
        let caller = Caller::new(AgentName::parse("crawler").unwrap(), IdentitySource::unix_peer(1001));
        let asked = Asked {
            caller,
            request_id: RequestId::parse(&format!("judge-{}", self.calls)).unwrap(),
            endpoint: Endpoint::parse("GET", URL).unwrap(),
            workflow: None,
            wallet: None,
            labels: Default::default(),
            trace: None,
            wait: Wait::Unknown,
        };
        let ask = PaymentAsk {
            mode: Mode::Preview,
            asked,
            challenge: self.challenge.clone(),
            nonce: [7; 32],
            allowance: None,
        };
        let at = NOW;
        // The journal in memory looks at everything it holds: it is not what is measured here.
        self.gate.journal_mut().entries.clear();
        let keys = self.bundle.registry().wallets.values().map(|wallet| wallet.address).collect();
        let around =
            Surroundings { at, boot_us: 0, balances: &Balances::default(), keys: &keys, witness: &() };
        let answers =
            self.gate.pass(Rules::of(&self.bundle), around, vec![Ask::Payment(Arc::new(ask))]).unwrap();
        std::hint::black_box(answers);
    }
}
