/// Most characters of a stranger's text that are shown.
const SHOWN_CHARS_MAX: usize = 64;

/// A stranger's text in backticks, for a sentence that people read in a terminal and programs in a gRPC trailer: on one
/// line, plain ASCII, so that nothing hides, moves the cursor or looks like something else, and not without end.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    let mut chars = text.chars();
    for c in chars.by_ref().take(SHOWN_CHARS_MAX) {
        match c {
            '\'' | '"' => shown.push(c),
            '`' => shown.extend(c.escape_unicode()),
            _ => shown.extend(c.escape_default()),
        }
    }
    shown.push_str(if chars.next().is_some() { "…`" } else { "`" });
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_cannot_leave_its_quotes() {
        let table = [
            ("", "``"),
            ("batch-settlement", "`batch-settlement`"),
            ("it's \"new\"", "`it's \"new\"`"),
            ("a` is fine: `b", "`a\\u{60} is fine: \\u{60}b`"),
            ("a\n  7  permit", "`a\\n  7  permit`"),
            ("\u{1b}[2K\u{202e}", "`\\u{1b}[2K\\u{202e}`"),
            ("US\u{421}C", "`US\\u{421}C`"),
            ("a\\n", "`a\\\\n`"),
        ];
        for (text, expected) in table {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(quoted(&"x".repeat(SHOWN_CHARS_MAX)).len(), SHOWN_CHARS_MAX + 2);
        let long = quoted(&"x".repeat(60_000));
        assert!(long.ends_with("x…`") && long.chars().count() == SHOWN_CHARS_MAX + 3, "{long}");
    }
}
