//! What one value of the registry means.

use std::collections::BTreeSet;
use std::fmt::Display;

use pursekeeper_core::{ChainId, EvmAddress, NameError, Status, UnixSeconds, Usd};

use super::fields::{Field, Fields, Findings, words};
use crate::yaml::Value;

/// Longest free text of the registry, in bytes.
const TEXT_LEN_MAX: usize = 256;

impl<'n> Field<'n> {
    /// Text, quoted or not.
    pub(super) fn text(&self, findings: &mut Findings) -> Option<&'n str> {
        match &self.node.value {
            Value::Plain(text) | Value::Quoted(text) if text.len() <= TEXT_LEN_MAX => Some(text),
            Value::Plain(_) | Value::Quoted(_) => {
                self.error(findings, format!("longer than {TEXT_LEN_MAX} bytes"));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.error(findings, "write one word or a text in quotes");
                None
            }
        }
    }

    /// Text that `parse` accepts.
    pub(super) fn parsed<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
        findings: &mut Findings,
    ) -> Option<T> {
        let text = self.text(findings)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(findings, format!("`{text}`: {error}"));
                None
            }
        }
    }

    /// Dollars. Unquoted they would be a number, and numbers in YAML are not exact everywhere.
    pub(super) fn money(&self, findings: &mut Findings) -> Option<Usd> {
        match &self.node.value {
            Value::Quoted(text) => match Usd::parse(text) {
                Ok(usd) => Some(usd),
                Err(error) => {
                    self.error(findings, format!("`{text}`: {error}"));
                    None
                }
            },
            Value::Plain(text) => {
                self.error(findings, format!("money goes in quotes: write `\"{text}\"`"));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.error(findings, "write dollars in quotes, such as `\"0.05\"`");
                None
            }
        }
    }

    /// A whole number up to `max`.
    pub(super) fn whole(&self, max: u64, findings: &mut Findings) -> Option<u64> {
        let plain = match &self.node.value {
            Value::Plain(text) => {
                let canonical =
                    text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
                canonical.then(|| text.parse::<u64>().ok()).flatten()
            }
            Value::Null | Value::Quoted(_) | Value::List(_) | Value::Map(_) => None,
        };
        let fits = plain.filter(|number| *number <= max);
        if fits.is_none() {
            self.error(findings, format!("write a whole number from 0 to {max}, without quotes"));
        }
        fits
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, findings: &mut Findings) -> Option<bool> {
        match &self.node.value {
            Value::Plain(text) if text == "true" => Some(true),
            Value::Plain(text) if text == "false" => Some(false),
            Value::Null | Value::Plain(_) | Value::Quoted(_) | Value::List(_) | Value::Map(_) => {
                self.error(findings, "write `true` or `false`");
                None
            }
        }
    }

    /// An EVM address that somebody can have.
    pub(super) fn address(&self, findings: &mut Findings) -> Option<EvmAddress> {
        let address = self.parsed(EvmAddress::parse, findings)?;
        if address == EvmAddress::ZERO {
            self.error(findings, "the zero address belongs to nobody: replace it");
            return None;
        }
        Some(address)
    }

    /// A network that can be signed for.
    pub(super) fn network(&self, findings: &mut Findings) -> Option<ChainId> {
        match self.parsed(ChainId::parse, findings)? {
            chain @ ChainId::Eip155(_) => Some(chain),
            ChainId::Other(text) => {
                self.error(
                    findings,
                    format!("`{text}`: only EVM networks (`eip155:…`) can be signed for: remove it"),
                );
                None
            }
        }
    }

    /// A moment, as RFC 3339.
    pub(super) fn moment(&self, findings: &mut Findings) -> Option<UnixSeconds> {
        let text = self.text(findings)?;
        let seconds = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_second()).ok());
        if seconds.is_none() {
            self.error(
                findings,
                format!("`{text}` is not a moment: write RFC 3339 with a time zone, `2027-01-01T00:00:00Z`"),
            );
        }
        seconds.map(UnixSeconds)
    }

    /// A length of time: `90s`, `15m`, `24h` or `7d`.
    pub(super) fn duration_secs(&self, findings: &mut Findings) -> Option<u64> {
        let text = self.text(findings)?;
        let seconds = duration_secs(text);
        if seconds.is_none() {
            self.error(
                findings,
                format!("`{text}` is not a length of time: write `90s`, `15m`, `24h` or `7d`"),
            );
        }
        seconds
    }

    /// A set of declared names. Every item must be in `declared`; `noun` says what they name.
    pub(super) fn references<T: Ord + Clone>(
        &self,
        noun: &str,
        parse: fn(&str) -> Result<T, NameError>,
        declared: &BTreeSet<T>,
        findings: &mut Findings,
    ) -> BTreeSet<T> {
        let mut found = BTreeSet::new();
        for node in self.items(findings).unwrap_or_default() {
            let Some(name) = self.item(node).reference(noun, parse, declared, findings) else { continue };
            if !found.insert(name) {
                self.error_at(node.at, findings, "this one stands here twice: keep one");
            }
        }
        found
    }

    /// One declared name.
    pub(super) fn reference<T: Ord>(
        &self,
        noun: &str,
        parse: fn(&str) -> Result<T, NameError>,
        declared: &BTreeSet<T>,
        findings: &mut Findings,
    ) -> Option<T> {
        let text = self.text(findings)?;
        match parse(text).ok().filter(|name| declared.contains(name)) {
            Some(name) => Some(name),
            None => {
                self.error(findings, format!("no {noun} `{text}`: declare it, or correct the name"));
                None
            }
        }
    }
}

impl Fields<'_> {
    /// `status`, active when it is not given.
    pub(super) fn status(&self, findings: &mut Findings) -> Status {
        let Some(field) = self.get("status") else { return Status::Active };
        let Some(text) = field.text(findings) else { return Status::Suspended };
        match Status::parse(text) {
            Some(Status::Expired) => field.error(
                findings,
                format!("`{text}` follows from the time: write `expires` with the moment its rights end"),
            ),
            Some(status) => return status,
            None => {
                let known = Status::ALL.iter().filter(|status| **status != Status::Expired);
                let known: Vec<&str> = known.map(|status| status.as_str()).collect();
                field.error(findings, format!("`{text}` is no status: write {}", words(&known)));
            }
        }
        Status::Suspended
    }

    /// When its rights end, if that is said. What cannot be read must not become "never": it is over already.
    pub(super) fn expires(&self, findings: &mut Findings) -> Option<UnixSeconds> {
        let field = self.get("expires")?;
        Some(field.moment(findings).unwrap_or(UnixSeconds(0)))
    }
}

fn duration_secs(text: &str) -> Option<u64> {
    let units = [("s", 1u64), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let (digits, unit) =
        units.iter().find_map(|(suffix, secs)| text.strip_suffix(suffix).map(|digits| (digits, secs)))?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse::<u64>().ok()?.checked_mul(*unit)).flatten()
}

#[cfg(test)]
mod tests {
    use super::duration_secs;

    #[test]
    fn a_length_of_time_has_one_unit() {
        for text in ["", "h", "24", "1h30m", "-1h", "0h", "1.5h", "1 h", "1w", "99999999999999999999d"] {
            assert_eq!(duration_secs(text), None, "{text}");
        }
        assert_eq!(duration_secs("24h"), Some(86_400));
        assert_eq!(duration_secs("90s"), Some(90));
    }
}
