use std::collections::BTreeSet;
use std::time::Duration;

use pursekeeper_journal::Reader;
use serde_json::json;

use crate::cli::{ConfigArg, Exit};
use crate::config::{Config, SinkConfig, SinkFormat};
use crate::output::{Output, Tone};
use crate::sinks;

/// How far one sink is.
struct Row<'a> {
    name: &'a str,
    config: Option<&'a SinkConfig>,
    acked: u64,
    lag: u64,
    waits: Duration,
}

/// Lists every cursor, also those of sinks that are not configured any more.
pub(super) fn run(args: &ConfigArg, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config)?;
    let reader = Reader::open(&config.journal)?;
    let (last, cursors) = (reader.last_seq()?, reader.cursors()?);
    let configured = config.audit.sinks.iter().map(|sink| sink.name.as_str());
    let names: BTreeSet<&str> = configured.chain(cursors.keys().map(String::as_str)).collect();
    let row = |name| -> anyhow::Result<Row<'_>> {
        let acked = cursors.get(name).copied().unwrap_or_default();
        let waits = sinks::oldest_waits(&config.journal, acked)?.unwrap_or_default();
        let config = config.audit.sinks.iter().find(|sink| sink.name == name);
        Ok(Row { name, config, acked, lag: last.saturating_sub(acked), waits })
    };
    let rows = names.into_iter().map(row).collect::<anyhow::Result<Vec<_>>>()?;
    if output.is_json() {
        let rows: Vec<_> = rows.iter().map(as_json).collect();
        output.json(&json!({ "last_seq": last, "sinks": rows }))?;
    } else {
        let rows: Vec<_> = rows.iter().map(|row| cells(row, output)).collect();
        output.table(&["SINK", "GETS", "REQUIRED", "ACKNOWLEDGED", "BEHIND", "OLDEST WAITS"], &rows)?;
        output.line(&format!("the journal ends at record {last}"))?;
    }
    Ok(Exit::Done)
}

fn as_json(row: &Row<'_>) -> serde_json::Value {
    let Row { name, config, acked, lag, waits } = row;
    json!({
        "name": name, "configured": config.is_some(), "acked": acked, "lag_records": lag, "lag_secs": waits.as_secs(),
        "required": config.is_some_and(|config| config.required), "gets": config.map(gets),
    })
}

fn cells(row: &Row<'_>, output: Output) -> Vec<String> {
    let Row { name, config, acked, lag, waits } = row;
    let tone = if *lag == 0 { Tone::Good } else { Tone::Bad };
    let waits = if *lag == 0 { String::new() } else { format!("{} s", waits.as_secs()) };
    let gone = || output.paint(Tone::Faint, "not configured any more");
    vec![
        (*name).to_owned(),
        config.map_or_else(gone, gets),
        if config.is_some_and(|config| config.required) { "yes".to_owned() } else { String::new() },
        acked.to_string(),
        output.paint(tone, &lag.to_string()),
        waits,
    ]
}

/// What it gets, and where.
fn gets(config: &SinkConfig) -> String {
    let format = match config.format {
        SinkFormat::Json => "json",
        SinkFormat::Ocsf => "ocsf",
        SinkFormat::Otlp => "otlp",
    };
    let file = config.file.as_ref().map(|file| file.path.display().to_string());
    let place = file.or_else(|| config.endpoint.clone()).unwrap_or_else(|| "standard output".to_owned());
    format!("{format} to {place}")
}
