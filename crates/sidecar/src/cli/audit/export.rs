use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pursekeeper_journal::{RECORDS_PER_READ_MAX, Reader};

use crate::cli::{ConfigArg, Exit};
use crate::config::{Config, SinkFormat, field_problem};
use crate::sinks::Lines;

/// Most bytes of records in memory at once.
const READ_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The first record.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// The last record; without it, the last there is now.
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// The form of the lines.
    #[arg(long, value_enum, default_value_t = Form::Json)]
    format: Form,
    /// Replace what stands at a JSON pointer by a keyed hash; `*` is every element.
    #[arg(long, value_name = "POINTER", requires = "mask_key_file")]
    mask: Vec<String>,
    /// The key of the hashes: at least 32 bytes, readable by its owner only.
    #[arg(long, value_name = "FILE", requires = "mask")]
    mask_key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// The record as it stands in the journal, with its hashes.
    Json,
    /// OCSF API Activity.
    Ocsf,
}

/// Writes records to standard output, one a line.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    let ExportArgs { config, from, to, format, mask, mask_key_file } = args;
    let problems: Vec<String> = mask.iter().filter_map(|field| field_problem(field)).collect();
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
    let reader = Reader::open(&Config::load(&config.config)?.journal)?;
    let format = match format {
        Form::Json => SinkFormat::Json,
        Form::Ocsf => SinkFormat::Ocsf,
    };
    let lines = Lines::new(reader.id(), format, mask_key_file.as_ref().map(|file| (file, mask.as_slice())))?;
    let last = reader.last_seq()?;
    let last = to.map_or(last, |to| last.min(to));
    let bar = if std::io::stderr().is_terminal() {
        indicatif::ProgressBar::new(last.saturating_add(1).saturating_sub(*from))
    } else {
        indicatif::ProgressBar::hidden()
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut next = (*from).max(1);
    while next <= last {
        let records = reader.records_within(next, RECORDS_PER_READ_MAX, READ_BYTES_MAX)?;
        let Some(first) = records.first() else { break };
        if first.seq > next {
            let before = first.seq.saturating_sub(1).min(last);
            bar.suspend(|| {
                eprintln!(
                    "records {next} to {before} are not in the journal any more: import them from the archive"
                )
            });
        }
        for record in records.iter().take_while(|record| record.seq <= last) {
            writeln!(out, "{}", lines.line(record)?)?;
        }
        next = records.last().map_or(last, |record| record.seq).saturating_add(1);
        bar.set_position(next.saturating_sub(*from));
    }
    out.flush()?;
    bar.finish_and_clear();
    Ok(Exit::Done)
}
