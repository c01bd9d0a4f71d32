//! What is known of the call that brought a request.

use std::fmt;

/// The trace a call belongs to (W3C Trace Context §3.2.2.3): 16 bytes, not all of them zero. A claim of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A text that is no trace id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a trace id: 32 hexadecimal digits in lower case, not all of them zero")]
pub struct TraceIdError;

impl TraceId {
    /// Reads 32 hexadecimal digits in lower case.
    ///
    /// # Errors
    /// [`TraceIdError`] for anything else, and for zero, which the specification forbids.
    pub fn parse(text: &str) -> Result<Self, TraceIdError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| TraceIdError)?;
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if lower && bytes != [0; 16] { Ok(Self(bytes)) } else { Err(TraceIdError) }
    }

    /// The trace id of a `traceparent` header (W3C Trace Context §3.2). A later version is read like version 00, as §4.3
    /// wants; nothing when there is none to be read: then the call has no trace.
    #[must_use]
    pub fn of_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str, len: usize| {
            text.len() == len
                && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let whole = digits(version, 2) && version != "ff" && digits(parent, 16) && digits(flags, 2);
        let no_more = version != "00" || parts.next().is_none();
        (whole && no_more && parent != "0000000000000000").then(|| Self::parse(trace).ok()).flatten()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How long a request waited to be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It has not been judged yet, and arrived then.
    Since {
        /// Microseconds of the boot clock.
        boot_us: u64,
    },
    /// It was judged after so long.
    For {
        /// Microseconds.
        micros: u64,
    },
}

impl Wait {
    /// What it is once the request is judged at `boot_us`, in microseconds of the boot clock.
    #[must_use]
    pub const fn until(self, boot_us: u64) -> Self {
        match self {
            Self::Since { boot_us: since } => Self::For { micros: boot_us.saturating_sub(since) },
            Self::Unknown | Self::For { .. } => self,
        }
    }

    /// Microseconds, once it is over.
    #[must_use]
    pub const fn micros(self) -> Option<u64> {
        match self {
            Self::For { micros } => Some(micros),
            Self::Unknown | Self::Since { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_is_read_as_the_specification_says() {
        let parent = "00f067aa0ba902b7";
        let table = [
            (format!("00-{TRACE}-{parent}-01"), true),
            (format!("00-{TRACE}-{parent}-00"), true),
            (format!("cc-{TRACE}-{parent}-01-what-the-future-brings"), true),
            (format!("00-{TRACE}-{parent}-01-more"), false),
            (format!("ff-{TRACE}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", "0".repeat(32)), false),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{parent}-01", TRACE.to_uppercase()), false),
            (format!("00-{TRACE}-{parent}"), false),
            (format!("00-{TRACE}0-{parent}-01"), false),
            (format!("0-{TRACE}-{parent}-01"), false),
            (String::new(), false),
        ];
        for (header, read) in table {
            let trace = TraceId::of_traceparent(&header).map(|trace| trace.to_string());
            assert_eq!(trace.as_deref(), read.then_some(TRACE), "{header}");
        }
    }

    #[test]
    fn a_wait_ends_once() {
        let since = Wait::Since { boot_us: 10 };
        assert_eq!(since.micros(), None);
        assert_eq!(since.until(25), Wait::For { micros: 15 });
        assert_eq!(since.until(25).until(99).micros(), Some(15));
        assert_eq!(since.until(3).micros(), Some(0));
        assert_eq!(Wait::Unknown.until(25), Wait::Unknown);
    }
}
