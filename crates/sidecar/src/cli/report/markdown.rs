//! A report as a document (GitHub Flavored Markdown).

use std::fmt::Write as _;

use pursekeeper_api::v1;

use super::sections::{self, Cell, Section};
use crate::cli::moment;

/// The whole document, without a line break at its end.
pub(super) fn document(report: &v1::ReportResponse) -> String {
    let v1::ReportResponse { time_unix_ms, bundle_digest, .. } = report;
    let mut text = format!(
        "# Wallet governance report, {}\n\nMade at {} under the governance bundle {}.\n",
        moment::day_of_millis(*time_unix_ms),
        moment::of_millis(*time_unix_ms),
        span(bundle_digest),
    );
    for Section { title, note, heading, rows, empty } in sections::of(report) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {title}\n\n");
        if rows.is_empty() {
            let _ = writeln!(text, "{}", escape(empty));
            continue;
        }
        if let Some(note) = note {
            let _ = write!(text, "{}\n\n", escape(&note));
        }
        text.push_str(&table(heading, rows));
    }
    text.trim_end().to_owned()
}

fn table(heading: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let title = line(heading.iter().map(|title| escape(title)).collect());
    let rule = line(heading.iter().map(|_| "---".to_owned()).collect());
    let rows = rows.into_iter().map(|row| line(row.into_iter().map(cell).collect()));
    [title, rule].into_iter().chain(rows).collect()
}

fn cell(cell: Cell) -> String {
    match cell {
        Cell::Words(text) => escape(&text),
        Cell::Code(text) => span(&text),
    }
}

/// Text that means nothing but itself: on one line, with everything escaped that Markdown or HTML would read.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '~' | '&' | '#' => {
                escaped.extend(['\\', c])
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A code span (CommonMark, section 6.1): what is inside stands as it is, except for a pipe, which would end the cell of a
/// table.
fn span(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().is_empty() {
        return String::new();
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.saturating_add(1));
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_means_nothing_but_itself() {
        let table = [
            ("treasury", "treasury"),
            ("a|b", "a\\|b"),
            ("a\\|b", "a\\\\\\|b"),
            ("one\ntwo\r\x1b[31m", "one two  \\[31m"),
            ("<script>*_~`&#", "\\<script\\>\\*\\_\\~\\`\\&\\#"),
        ];
        for (text, escaped) in table {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn code_stands_as_it_is_and_stays_in_its_cell() {
        let table = [
            ("", ""),
            ("GET https://a.example/v1/**", "`GET https://a.example/v1/**`"),
            ("a|b", "`a\\|b`"),
            ("a`b", "`` a`b ``"),
            ("``", "``` `` ```"),
            ("a\nb", "`a b`"),
        ];
        for (text, code) in table {
            assert_eq!(span(text), code);
        }
    }

    fn report() -> v1::ReportResponse {
        let wallet = v1::GovernedWallet {
            name: "treasury".to_owned(),
            address: "0xAA".to_owned(),
            status: "active".to_owned(),
            owner: "finance".to_owned(),
            recovery: vec!["finance".to_owned(), "security".to_owned()],
            revokers: vec!["security".to_owned()],
            workflows: vec!["research".to_owned(), "sales".to_owned()],
            shared: true,
            backup: "done".to_owned(),
            ..v1::GovernedWallet::default()
        };
        let ended = |wallet: &str, suspended| v1::EndedWorkflow {
            workflow: "old".to_owned(),
            status: "revoked".to_owned(),
            ended_unix_ms: 1_795_000_000_000,
            wallet: wallet.to_owned(),
            suspended_after_ms: 840,
            suspended,
        };
        let volume = v1::Volume {
            workflow: "research".to_owned(),
            wallet: "treasury".to_owned(),
            endpoint: "GET https://a.example/x|y".to_owned(),
            payments: 3,
            usd: "0.30".to_owned(),
        };
        v1::ReportResponse {
            time_unix_ms: 1_795_000_000_007,
            bundle_digest: "abcd".to_owned(),
            unused_days: 30,
            wallets: vec![v1::WalletReport { wallet: Some(wallet), last_used: 0, unused: true }],
            volumes: vec![volume],
            ended_workflows: vec![ended("spare", true), ended("other", false), ended("", false)],
            ..v1::ReportResponse::default()
        }
    }

    #[test]
    fn a_report_is_a_document() {
        let text = document(&report());
        let expected = "\
# Wallet governance report, 2026-11-18

Made at 2026-11-18T11:06:40.007Z under the governance bundle `abcd`.

## Wallets

Unused is what signed nothing for 30 days.

| Wallet | Address | Owner | Recovery | Revokers | Status | Backup | Last used | Unused |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| treasury | `0xAA` | finance | finance, security | security | active | done | never | unused |

## Shared wallets

Each of them serves several workflows: what one spends, the others cannot.

| Wallet | Owner | Workflows |
| --- | --- | --- |
| treasury | finance | research, sales |

## Volumes

Settled and held together; what was released is left out.

| Workflow | Wallet | Endpoint | Payments | Dollars |
| --- | --- | --- | --- | --- |
| research | treasury | `GET https://a.example/x\\|y` | 3 | $0.30 |

## Endpoints nobody called

Every endpoint that the registry permits was called.

## Ended workflows

How long it took until the wallets that served nothing else were suspended.

| Workflow | Status | Ended | Wallet | Suspended after |
| --- | --- | --- | --- | --- |
| old | revoked | 2026-11-18T11:06:40.000Z | spare | 840 ms |
| old | revoked | 2026-11-18T11:06:40.000Z | other | not suspended |
| old | revoked | 2026-11-18T11:06:40.000Z |  | no wallet served it alone |

## Orphans

Everything that is declared serves something.";
        assert_eq!(text, expected);
    }

    #[test]
    fn every_section_of_an_empty_report_is_a_sentence() {
        let text = document(&v1::ReportResponse::default());
        assert!(!text.contains('|'), "{text}");
        assert_eq!(text.matches("\n## ").count(), 6);
        assert_eq!(text.lines().filter(|line| line.ends_with('.')).count(), 7, "{text}");
    }
}
