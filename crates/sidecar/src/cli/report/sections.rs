//! The sections of a report, before anybody decides how they look.

use pursekeeper_api::v1;

use crate::cli::moment;

/// One question and its answer.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What the table means, if that needs a word.
    pub(super) note: Option<String>,
    pub(super) heading: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
    /// What is said when there are no rows.
    pub(super) empty: &'static str,
}

/// What stands in a table.
pub(super) enum Cell {
    /// Words.
    Words(String),
    /// What is copied as it stands: addresses, URLs, patterns.
    Code(String),
}

impl Cell {
    pub(super) fn plain(self) -> String {
        match self {
            Self::Words(text) | Self::Code(text) => text,
        }
    }
}

fn words(text: impl Into<String>) -> Cell {
    Cell::Words(text.into())
}

fn code(text: &str) -> Cell {
    Cell::Code(text.to_owned())
}

/// Every section, in the order in which they are read.
pub(super) fn of(report: &v1::ReportResponse) -> Vec<Section> {
    let v1::ReportResponse {
        time_unix_ms: _,
        bundle_digest: _,
        unused_days,
        wallets,
        volumes,
        unused_endpoints,
        ended_workflows,
        orphans,
        more,
    } = report;
    let cut = if *more { " The first 1000 rows: there are more." } else { "" };
    vec![
        Section {
            title: "Wallets",
            note: Some(format!("Unused is what signed nothing for {unused_days} days.")),
            heading: &[
                "Wallet",
                "Address",
                "Owner",
                "Recovery",
                "Revokers",
                "Status",
                "Backup",
                "Last used",
                "Unused",
            ],
            rows: wallets.iter().map(wallet).collect(),
            empty: "The registry declares no wallet.",
        },
        Section {
            title: "Shared wallets",
            note: Some(
                "Each of them serves several workflows: what one spends, the others cannot.".to_owned(),
            ),
            heading: &["Wallet", "Owner", "Workflows"],
            rows: wallets
                .iter()
                .filter_map(|of| of.wallet.as_ref())
                .filter(|of| of.shared && !of.replaced)
                .map(shared)
                .collect(),
            empty: "No wallet serves more than one workflow.",
        },
        Section {
            title: "Volumes",
            note: Some(format!("Settled and held together; what was released is left out.{cut}")),
            heading: &["Workflow", "Wallet", "Endpoint", "Payments", "Dollars"],
            rows: volumes.iter().map(volume).collect(),
            empty: "No payment was signed.",
        },
        Section {
            title: "Endpoints nobody called",
            note: Some(format!(
                "The registry permits them: whether they are needed is a question for their owners.{cut}"
            )),
            heading: &["Service", "Method", "Endpoint"],
            rows: unused_endpoints.iter().map(unused_endpoint).collect(),
            empty: "Every endpoint that the registry permits was called.",
        },
        Section {
            title: "Ended workflows",
            note: Some(
                "How long it took until the wallets that served nothing else were suspended.".to_owned(),
            ),
            heading: &["Workflow", "Status", "Ended", "Wallet", "Suspended after"],
            rows: ended_workflows.iter().map(ended_workflow).collect(),
            empty: "No workflow has ended.",
        },
        Section {
            title: "Orphans",
            note: Some("They serve nothing any more: retire them, or give them to somebody.".to_owned()),
            heading: &["Kind", "Name"],
            rows: orphans.iter().map(orphan).collect(),
            empty: "Everything that is declared serves something.",
        },
    ]
}

fn wallet(report: &v1::WalletReport) -> Vec<Cell> {
    let v1::WalletReport { wallet, last_used, unused } = report;
    let v1::GovernedWallet { name, address, status, owner, recovery, revokers, backup, replaced, .. } =
        wallet.clone().unwrap_or_default();
    let last_used = if *last_used == 0 { "never".to_owned() } else { moment::of_secs(*last_used) };
    let name = if replaced { format!("{name} (replaced)") } else { name };
    vec![
        words(name),
        code(&address),
        words(owner),
        words(recovery.join(", ")),
        words(revokers.join(", ")),
        words(status),
        words(backup),
        words(last_used),
        words(if *unused { "unused" } else { "" }),
    ]
}

fn shared(wallet: &v1::GovernedWallet) -> Vec<Cell> {
    let v1::GovernedWallet { name, owner, workflows, .. } = wallet;
    vec![words(name), words(owner), words(workflows.join(", "))]
}

fn volume(volume: &v1::Volume) -> Vec<Cell> {
    let v1::Volume { workflow, wallet, endpoint, payments, usd } = volume;
    vec![
        words(workflow),
        words(wallet),
        code(endpoint),
        words(payments.to_string()),
        words(format!("${usd}")),
    ]
}

fn unused_endpoint(endpoint: &v1::UnusedEndpoint) -> Vec<Cell> {
    let v1::UnusedEndpoint { service, method, pattern } = endpoint;
    vec![words(service), words(method), code(pattern)]
}

fn ended_workflow(ended: &v1::EndedWorkflow) -> Vec<Cell> {
    let v1::EndedWorkflow { workflow, status, ended_unix_ms, wallet, suspended_after_ms, suspended } = ended;
    let after = match (wallet.as_str(), suspended, ended_unix_ms) {
        ("", _, _) => "no wallet served it alone".to_owned(),
        (_, false, _) => "not suspended".to_owned(),
        // The registry says that it ended and not when.
        (_, true, 0) => "suspended".to_owned(),
        (_, true, _) => moment::span(*suspended_after_ms),
    };
    let ended = if *ended_unix_ms == 0 { "unknown".to_owned() } else { moment::of_millis(*ended_unix_ms) };
    vec![words(workflow), words(status), words(ended), words(wallet), words(after)]
}

fn orphan(subject: &v1::Subject) -> Vec<Cell> {
    let v1::Subject { kind, name } = subject;
    vec![words(kind), words(name)]
}
