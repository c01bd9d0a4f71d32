use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pursekeeper_journal::RECORDS_PER_READ_MAX;
use serde::Deserialize;

/// Longest name of a sink, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Most rotated files that are kept.
const FILES_MAX: u32 = 1_000;
/// How long a required sink may be behind unless it says, in seconds.
const LAG_SECS_MAX: u64 = 60;
/// What says which record it is: never masked.
const UNMASKABLE: [&str; 6] = ["journal", "kind", "seq", "time", "v", "verdict"];

/// Somebody else who gets every record: a file, standard output, or a receiver of OTLP logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Names its cursor in the journal: what it has acknowledged. Another name begins at the first record.
    pub name: String,
    /// In which form it gets them.
    pub format: SinkFormat,
    /// To standard output, one record a line.
    #[serde(default)]
    pub stdout: bool,
    /// To a file, one record a line.
    #[serde(default)]
    pub file: Option<FileConfig>,
    /// To a receiver of OTLP logs over gRPC, such as `http://127.0.0.1:4317`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What is sent along to the receiver, one `name: value` a line; readable by its owner only.
    #[serde(default)]
    pub headers_file: Option<PathBuf>,
    /// Who signs the receiver's certificate (PEM), for `https://`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Nothing is signed while it is behind for too long, and nothing is pruned that it has not acknowledged.
    #[serde(default)]
    pub required: bool,
    /// For how long a required sink may be behind, in seconds.
    #[serde(default)]
    pub lag_secs_max: Option<u64>,
    /// What it must not see.
    #[serde(default)]
    pub mask: Option<MaskConfig>,
    /// Most records it gets at once.
    #[serde(default = "batch_of")]
    pub batch_records_max: usize,
    /// Wait after the first failure, in milliseconds; it doubles.
    #[serde(default = "first_wait")]
    pub retry_ms_min: u64,
    /// Longest wait between two tries, in milliseconds.
    #[serde(default = "longest_wait")]
    pub retry_ms_max: u64,
    /// Longest wait for the receiver to acknowledge a batch, in milliseconds.
    #[serde(default = "patience")]
    pub timeout_ms_max: u64,
}

/// The form of an exported record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkFormat {
    /// The record as it stands in the journal, with its hashes.
    Json,
    /// OCSF API Activity.
    Ocsf,
    /// OpenTelemetry logs.
    Otlp,
}

/// A file that is rotated by size: the full one becomes `.1`, that `.2`, and so on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Its path. The directory must be there.
    pub path: PathBuf,
    /// Size after which it is rotated, in bytes.
    #[serde(default = "hundred_mebibytes")]
    pub rotate_bytes_max: u64,
    /// Most rotated files; the oldest is deleted.
    #[serde(default = "ten")]
    pub files_max: u32,
}

/// What is replaced by keyed hashes, so that equal values are still equal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// At least 32 bytes; readable by its owner only.
    pub key_file: PathBuf,
    /// JSON pointers into the record (RFC 6901); `*` is every element.
    pub fields: Vec<String>,
}

const fn batch_of() -> usize {
    256
}

const fn first_wait() -> u64 {
    250
}

const fn longest_wait() -> u64 {
    30_000
}

const fn patience() -> u64 {
    10_000
}

const fn hundred_mebibytes() -> u64 {
    100 << 20
}

const fn ten() -> u32 {
    10
}

impl SinkConfig {
    /// For how many seconds it may be behind before nothing is signed; none if it is not required.
    #[must_use]
    pub fn lag_limit_secs(&self) -> Option<u64> {
        self.required.then(|| self.lag_secs_max.unwrap_or(LAG_SECS_MAX))
    }

    /// The names of those that are required.
    pub(super) fn required(sinks: &[Self]) -> Vec<String> {
        sinks.iter().filter(|sink| sink.required).map(|sink| sink.name.clone()).collect()
    }

    pub(super) fn problems(sinks: &[Self]) -> Vec<String> {
        let mut problems: Vec<String> = sinks.iter().flat_map(Self::own_problems).collect();
        let (mut names, mut paths, mut stdouts) = (BTreeSet::new(), BTreeSet::new(), 0_usize);
        for sink in sinks {
            let name = &sink.name;
            if !names.insert(name) {
                problems.push(format!(
                    "`audit.sinks`: two are called `{name}`: each needs a name of its own for its cursor"
                ));
            }
            if let Some(file) = &sink.file
                && !paths.insert(&file.path)
            {
                let path = file.path.display();
                problems.push(format!("`audit.sinks`: two write `{path}`: give each a file of its own"));
            }
            stdouts = stdouts.saturating_add(usize::from(sink.stdout));
        }
        if stdouts > 1 {
            problems
                .push("`audit.sinks`: there is one standard output: leave `stdout` to one sink".to_owned());
        }
        problems
    }

    fn own_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Self { name, .. } = self;
        let mut wrong = |what: String| problems.push(format!("`audit.sinks.{name}`: {what}"));
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(named) {
            wrong(format!(
                "a `name` is up to {NAME_BYTES_MAX} lower-case letters, digits and hyphens, such as `siem`"
            ));
        }
        self.target_problems(&mut wrong);
        if !self.required && self.lag_secs_max.is_some() {
            wrong(
                "`lag_secs_max` says when signing stops, which only a sink with `required: true` can cause"
                    .to_owned(),
            );
        }
        if self.lag_secs_max == Some(0) {
            wrong("`lag_secs_max` is 0: nothing could ever be signed; write at least 1".to_owned());
        }
        if !(1..=RECORDS_PER_READ_MAX).contains(&self.batch_records_max) {
            wrong(format!("`batch_records_max` is between 1 and {RECORDS_PER_READ_MAX}"));
        }
        if self.retry_ms_min == 0 || self.retry_ms_min > self.retry_ms_max {
            wrong("`retry_ms_min` is at least 1 and not more than `retry_ms_max`".to_owned());
        }
        if self.timeout_ms_max == 0 {
            wrong("`timeout_ms_max` is 0: nothing could ever be acknowledged; write at least 1".to_owned());
        }
        if let Some(mask) = &self.mask {
            mask.problems().into_iter().for_each(wrong);
        }
        problems
    }

    fn target_problems(&self, wrong: &mut impl FnMut(String)) {
        let Self { stdout, file, endpoint, headers_file, ca_file, .. } = self;
        let lines = usize::from(*stdout).saturating_add(usize::from(file.is_some()));
        match self.format {
            SinkFormat::Json | SinkFormat::Ocsf => {
                if lines != 1 || endpoint.is_some() {
                    wrong("lines of `json` and `ocsf` go to one place: write either `stdout: true` or `file: {path: …}`".to_owned());
                }
                if headers_file.is_some() || ca_file.is_some() {
                    wrong("`headers_file` and `ca_file` are for `format: otlp`".to_owned());
                }
            }
            SinkFormat::Otlp => {
                if lines != 0 || endpoint.is_none() {
                    wrong(
                        "`otlp` goes to a receiver only: write `endpoint`, such as http://127.0.0.1:4317"
                            .to_owned(),
                    );
                }
            }
        }
        let url = endpoint.as_deref().map(|endpoint| url::Url::parse(endpoint).ok());
        let scheme = url.as_ref().map(|url| url.as_ref().map_or("", url::Url::scheme));
        if scheme.is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
            wrong("`endpoint` is a URL that begins with http:// or https://".to_owned());
        }
        if ca_file.is_some() && scheme == Some("http") {
            wrong("`ca_file` is for an `endpoint` that begins with https://".to_owned());
        }
        if let Some(file) = file
            && (file.rotate_bytes_max == 0 || !(1..=FILES_MAX).contains(&file.files_max))
        {
            wrong(format!("`rotate_bytes_max` is at least 1, and `files_max` is between 1 and {FILES_MAX}"));
        }
    }

    pub(super) fn rebase(&mut self, base: &Path) {
        let Self { file, headers_file, ca_file, mask, .. } = self;
        let paths = [
            file.as_mut().map(|file| &mut file.path),
            headers_file.as_mut(),
            ca_file.as_mut(),
            mask.as_mut().map(|mask| &mut mask.key_file),
        ];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
    }
}

impl MaskConfig {
    fn problems(&self) -> Vec<String> {
        let Self { key_file: _, fields } = self;
        let mut problems: Vec<String> = fields.iter().filter_map(|field| field_problem(field)).collect();
        if fields.is_empty() {
            problems
                .push("`mask.fields` is empty: name what to mask, such as `/asked/endpoint/url`".to_owned());
        }
        problems
    }
}

/// What is wrong with a JSON pointer, if anything is.
pub(crate) fn field_problem(field: &str) -> Option<String> {
    let escapes = field.split('~').skip(1);
    if !field.starts_with('/') || !escapes.into_iter().all(|rest| rest.starts_with(['0', '1'])) {
        return Some(format!(
            "`mask.fields`: `{field}` is no JSON pointer: write one such as `/asked/endpoint/url` (`~0` is ~, `~1` is /)"
        ));
    }
    let first = field.split('/').nth(1).unwrap_or_default();
    (UNMASKABLE.contains(&first) || first == "*").then(|| {
        format!(
            "`mask.fields`: `{field}` cannot be masked: it says which record this is, and what kind of one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "name: siem\nformat: json\nfile: {path: audit.jsonl}";
    const OTLP: &str = "name: siem\nformat: otlp\nendpoint: http://127.0.0.1:4317";

    fn sink(text: &str) -> SinkConfig {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_fix() {
        let table = [
            ("name: SIEM\nformat: json\nstdout: true", "lower-case"),
            ("name: siem\nformat: json", "either `stdout: true`"),
            ("name: siem\nformat: ocsf\nstdout: true\nfile: {path: a}", "either `stdout: true`"),
            ("name: siem\nformat: ocsf\nendpoint: http://a", "either `stdout: true`"),
            ("name: siem\nformat: json\nstdout: true\nheaders_file: h", "for `format: otlp`"),
            ("name: siem\nformat: otlp", "write `endpoint`"),
            ("name: siem\nformat: otlp\nendpoint: http://a\nstdout: true", "receiver only"),
            ("name: siem\nformat: otlp\nendpoint: 127.0.0.1:4317", "http://"),
            ("name: siem\nformat: otlp\nendpoint: grpc://a", "http://"),
            ("name: siem\nformat: otlp\nendpoint: http://a\nca_file: c", "https://"),
            ("name: siem\nformat: json\nfile: {path: a, rotate_bytes_max: 0}", "rotate_bytes_max"),
            ("name: siem\nformat: json\nfile: {path: a, files_max: 0}", "files_max"),
        ];
        let extra = [
            ("lag_secs_max: 5", "required: true"),
            ("required: true\nlag_secs_max: 0", "at least 1"),
            ("batch_records_max: 0", "between 1 and 1000"),
            ("batch_records_max: 1001", "between 1 and 1000"),
            ("retry_ms_min: 0", "retry_ms_max"),
            ("retry_ms_min: 9\nretry_ms_max: 8", "retry_ms_max"),
            ("timeout_ms_max: 0", "timeout_ms_max"),
            ("mask: {key_file: k, fields: []}", "is empty"),
            ("mask: {key_file: k, fields: [asked/endpoint]}", "JSON pointer"),
            ("mask: {key_file: k, fields: [/a~2]}", "JSON pointer"),
            ("mask: {key_file: k, fields: [/seq]}", "cannot be masked"),
            ("mask: {key_file: k, fields: [/time/unix_ms]}", "cannot be masked"),
            ("mask: {key_file: k, fields: [/*]}", "cannot be masked"),
        ];
        let extra = extra.map(|(text, what)| (format!("{PLAIN}\n{text}"), what));
        let table = table.map(|(text, what)| (text.to_owned(), what));
        for (text, what) in table.into_iter().chain(extra) {
            let problems = SinkConfig::problems(&[sink(&text)]);
            assert!(problems.len() == 1 && problems[0].contains(what), "{text}: {problems:?}");
        }
        assert!(serde_yaml::from_str::<SinkConfig>(&format!("{PLAIN}\nsurprise: 1")).is_err());
    }

    #[test]
    fn sinks_share_neither_name_nor_file_nor_output() {
        let out = "format: json\nstdout: true";
        let pair = [sink(&format!("name: a\n{out}")), sink(&format!("name: b\n{out}"))];
        assert!(SinkConfig::problems(&pair).concat().contains("one standard output"));
        let problems = SinkConfig::problems(&[sink(PLAIN), sink(PLAIN)]).join("\n");
        assert!(problems.contains("two are called `siem`") && problems.contains("two write"), "{problems}");
    }

    #[test]
    fn only_a_required_sink_has_a_limit_to_its_lag() {
        let table = [
            (PLAIN.to_owned(), None),
            (format!("{PLAIN}\nrequired: true"), Some(60)),
            (format!("{PLAIN}\nrequired: true\nlag_secs_max: 7"), Some(7)),
        ];
        for (text, limit) in table {
            assert!(SinkConfig::problems(&[sink(&text)]).is_empty(), "{text}");
            assert_eq!(sink(&text).lag_limit_secs(), limit, "{text}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_configuration() {
        let mut file = sink(&format!("{PLAIN}\nmask: {{key_file: k, fields: [/denial]}}"));
        file.rebase(Path::new("/etc/purse"));
        assert_eq!(file.file.unwrap().path, Path::new("/etc/purse/audit.jsonl"));
        assert_eq!(file.mask.unwrap().key_file, Path::new("/etc/purse/k"));
        let mut otlp = sink(&format!("{OTLP}\nheaders_file: h\nca_file: /ca.pem"));
        otlp.rebase(Path::new("/etc/purse"));
        assert_eq!(otlp.headers_file.unwrap(), Path::new("/etc/purse/h"));
        assert_eq!(otlp.ca_file.unwrap(), Path::new("/ca.pem"));
    }
}
