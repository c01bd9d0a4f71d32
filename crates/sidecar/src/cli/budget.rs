use clap::Subcommand;
use pursekeeper_api::{Governance, v1};
use serde_json::json;

use super::{ConfigArg, Exit, block_on, client};
use crate::output::{Output, Tone};

/// Width of a bar, in characters.
const BAR_LEN: u64 = 20;

#[derive(Debug, Subcommand)]
pub(super) enum BudgetCommand {
    /// Show every ceiling: its limit, what is settled, held and free, and when it next frees money. Below, the credit of
    /// wallets at prepaid services.
    #[command(
        after_help = "Examples:\n  pursekeeper budget show\n  pursekeeper budget show --output json | jq '.[] | select(.scope == \"wallet\")'"
    )]
    Show(ConfigArg),
}

pub(super) fn run(command: BudgetCommand, output: Output) -> anyhow::Result<Exit> {
    let BudgetCommand::Show(args) = command;
    let v1::ListBudgetsResponse { budgets, prepaid } = block_on(async {
        let mut governance = Governance::new(client::operators(&args.config).await?);
        client::answer(governance.list_budgets(v1::ListBudgetsRequest {}).await)
    })?;
    if output.is_json() {
        output.json(&budgets.iter().map(as_json).chain(prepaid.iter().map(credit_as_json)).collect())?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = budgets.iter().map(row).collect();
    output.table(
        &["SCOPE", "NAME", "WINDOW", "LIMIT", "SETTLED", "HELD", "FREE", "USED", "FREES MONEY"],
        &rows,
    )?;
    if !prepaid.is_empty() {
        let now = jiff::Timestamp::now().as_second();
        let rows: Vec<Vec<String>> = prepaid.iter().map(|credit| credit_row(credit, now)).collect();
        output.line("")?;
        output
            .line(&output.paint(Tone::Faint, "Prepaid credit; what is left is what an agent last said."))?;
        output.table(&["WALLET", "SERVICE", "TOPPED UP", "LEFT", "SAID", "SIGN-INS SINCE"], &rows)?;
    }
    Ok(Exit::Done)
}

/// In the list of budgets, what is prepaid is told apart by its scope.
fn credit_as_json(credit: &v1::PrepaidCredit) -> serde_json::Value {
    let v1::PrepaidCredit { wallet, service, topped_up, claimed, sign_ins } = credit;
    let claimed = claimed.as_ref().map(|v1::ClaimedCredit { usd, at, decision_id }| {
        json!({ "usd": usd, "at": at, "decision_id": decision_id })
    });
    json!({
        "scope": "prepaid", "wallet": wallet, "service": service, "topped_up": topped_up, "claimed": claimed,
        "sign_ins": sign_ins,
    })
}

fn credit_row(credit: &v1::PrepaidCredit, now: i64) -> Vec<String> {
    let v1::PrepaidCredit { wallet, service, topped_up, claimed, sign_ins } = credit;
    let (left, said) = match claimed {
        Some(v1::ClaimedCredit { usd, at, decision_id: _ }) => {
            let at = i64::try_from(*at).unwrap_or(i64::MAX);
            (format!("${usd}"), age(u64::try_from(now.saturating_sub(at)).unwrap_or(0)))
        }
        None => ("unknown".to_owned(), "never".to_owned()),
    };
    vec![wallet.clone(), service.clone(), format!("${topped_up}"), left, said, sign_ins.to_string()]
}

/// How long ago, in the largest unit that is full: `3 min ago`.
fn age(secs: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60)];
    let full = units.into_iter().find_map(|(unit, length)| {
        secs.checked_div(length).filter(|count| *count > 0).map(|count| format!("{count} {unit} ago"))
    });
    full.unwrap_or_else(|| format!("{secs} s ago"))
}

fn as_json(budget: &v1::Budget) -> serde_json::Value {
    let v1::Budget { scope, name, window, unit, limit, settled, held, free, frees_at } = budget;
    json!({
        "scope": scope, "name": name, "window": window, "unit": unit, "limit": limit,
        "settled": settled, "held": held, "free": free, "frees_at": frees_at,
    })
}

fn row(budget: &v1::Budget) -> Vec<String> {
    let v1::Budget { scope, name, window, unit, limit, settled, held, free, frees_at } = budget;
    let money = |amount: &String| if unit == "usd" { format!("${amount}") } else { amount.clone() };
    let frees = match frees_at {
        0 => String::new(),
        at => i64::try_from(*at)
            .ok()
            .and_then(|at| jiff::Timestamp::from_second(at).ok())
            .map(|at| at.to_string())
            .unwrap_or_default(),
    };
    let limit_text = if unit == "usd" { money(limit) } else { format!("{limit} {unit}") };
    vec![
        scope.clone(),
        name.clone(),
        window.clone(),
        limit_text,
        money(settled),
        money(held),
        money(free),
        bar(limit, free),
        frees,
    ]
}

/// How much of a limit is used, as a bar: `####----------------  20%`.
fn bar(limit: &str, free: &str) -> String {
    let parse = |text: &str| pursekeeper_core::Usd::parse(text).ok().map(pursekeeper_core::Usd::units);
    let (Some(limit), Some(free)) = (parse(limit), parse(free)) else { return String::new() };
    let used = limit.saturating_sub(free);
    let of = |parts: u64| used.checked_mul(parts.into()).and_then(|scaled| scaled.checked_div(limit));
    let (Some(filled), Some(percent)) = (of(BAR_LEN), of(100)) else { return String::new() };
    let filled = usize::try_from(filled).unwrap_or(0);
    let empty = (BAR_LEN as usize).saturating_sub(filled);
    format!("{}{} {percent:>3}%", "#".repeat(filled), "-".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let table =
            [(0, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (7_199, "1 h ago"), (172_800, "2 d ago")];
        for (secs, text) in table {
            assert_eq!(age(secs), text);
        }
    }

    #[test]
    fn a_bar_shows_what_is_used() {
        assert_eq!(bar("5.00", "5.00"), "--------------------   0%");
        assert_eq!(bar("5.00", "2.50"), "##########----------  50%");
        assert_eq!(bar("5.00", "0.00"), "#################### 100%");
        assert_eq!(bar("0.00", "0.00"), "");
        assert_eq!(bar("", ""), "");
    }
}
