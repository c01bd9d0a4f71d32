//! Which paths belong to a service.

/// Which paths belong to a service: `*` stands for one segment, a final `**` for any number, including none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

/// Why a text is not a [`PathPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// Does not begin with `/`.
    #[error("a path pattern begins with `/`")]
    Relative,
    /// `*` next to other characters, or `**` before the end.
    #[error("`*` stands for one whole segment and `**` for the rest: write `/v1/*/data` or `/v1/**`")]
    Wildcard,
    /// Query, fragment, white space or dot segments.
    #[error("a path pattern holds a path only: no `?`, `#`, white space, `.` or `..` segments")]
    NotPath,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PathPatternError`] when it is not one.
    pub fn parse(text: &str) -> Result<Self, PathPatternError> {
        let body = text.strip_prefix('/').ok_or(PathPatternError::Relative)?;
        let segments: Vec<&str> = body.split('/').collect();
        let last = segments.len().saturating_sub(1);
        for (at, segment) in segments.iter().enumerate() {
            let wild = *segment == "*" || *segment == "**" && at == last;
            if segment.contains('*') && !wild {
                return Err(PathPatternError::Wildcard);
            }
            let foreign = |c: char| c == '?' || c == '#' || c == '\\' || c.is_whitespace() || c.is_control();
            if matches!(*segment, "." | "..") || segment.contains(foreign) {
                return Err(PathPatternError::NotPath);
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a normalised path belongs.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        for wanted in self.0.split('/') {
            match (wanted, segments.next()) {
                ("**", _) => return true,
                ("*", Some(segment)) if !segment.is_empty() => {}
                (literal, Some(segment)) if literal == segment => {}
                (_, Some(_) | None) => return false,
            }
        }
        segments.next().is_none()
    }

    /// Whether every path that `other` matches belongs.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut segments = other.0.split('/');
        for wanted in self.0.split('/') {
            match (wanted, segments.next()) {
                ("**", _) => return true,
                ("*", Some(segment)) if !matches!(segment, "" | "**") => {}
                (literal, Some(segment)) if literal == segment => {}
                (_, Some(_) | None) => return false,
            }
        }
        segments.next().is_none()
    }

    /// How much of the pattern is literal: of two that match, the longer literal is the more specific.
    pub(super) fn literal_len(&self) -> usize {
        self.0.bytes().filter(|byte| *byte != b'*').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_could_surprise_are_refused() {
        let table = [
            ("v1", PathPatternError::Relative),
            ("", PathPatternError::Relative),
            ("/v*", PathPatternError::Wildcard),
            ("/**/x", PathPatternError::Wildcard),
            ("/***", PathPatternError::Wildcard),
            ("/a?b", PathPatternError::NotPath),
            ("/a/../b", PathPatternError::NotPath),
            ("/a b", PathPatternError::NotPath),
        ];
        for (text, expected) in table {
            assert_eq!(PathPattern::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_covers_another_when_it_matches_all_of_it() {
        let table = [
            ("/v1/**", "/v1/top-up", true),
            ("/v1/**", "/v1", true),
            ("/v1/**", "/v1/**", true),
            ("/v1/**", "/v1/*/x", true),
            ("/v1/**", "/**", false),
            ("/v1/*", "/v1/top-up", true),
            ("/v1/*", "/v1/*", true),
            ("/v1/*", "/v1/", false),
            ("/v1/*", "/v1/**", false),
            ("/v1/*", "/v1/a/b", false),
            ("/v1/top-up", "/v1/top-up", true),
            ("/v1/top-up", "/v1/*", false),
            ("/v1/top-up", "/v1", false),
        ];
        for (wide, narrow, expected) in table {
            let [wide, narrow] = [wide, narrow].map(|text| PathPattern::parse(text).unwrap());
            assert_eq!(wide.covers(&narrow), expected, "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn one_star_is_one_segment_and_two_are_the_rest() {
        let table = [
            ("/", "/", true),
            ("/", "/a", false),
            ("/v1/data", "/v1/data", true),
            ("/v1/data", "/v1/data/", false),
            ("/v1/data", "/V1/data", false),
            ("/v1/*/data", "/v1/x/data", true),
            ("/v1/*/data", "/v1//data", false),
            ("/v1/*/data", "/v1/x/y/data", false),
            ("/v1/**", "/v1", true),
            ("/v1/**", "/v1/a/b", true),
            ("/v1/**", "/v1x", false),
            ("/**", "/anything/at/all", true),
            ("/v1/*", "/v1/a%2Fb", true),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(PathPattern::parse(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
    }
}
