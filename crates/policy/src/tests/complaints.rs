//! How a complaint about a bundle is shown: whoever wrote the bundle chose the text it quotes.

use super::errors::errors;
use super::fixture::REGISTRY;

/// Whoever reviews a bundle reads the complaints in a terminal.
#[test]
fn a_complaint_cannot_leave_its_line() {
    let registry = errors("version: 1\n\"a\\nregistry.yaml: valid\\e[2K\\u202e\": 1\n", &[]);
    let policy =
        errors(REGISTRY, &[("t.cedar", "@id(\"a\\nb\\u{1b}[2K\") permit (principal, action, resource);")]);
    let named = errors(REGISTRY, &[("t\n.cedar", "permit")]);
    for errors in [registry, policy, named] {
        for error in &errors.0 {
            let shown = error.to_string();
            assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        }
    }
}

#[test]
fn a_complaint_ends_and_still_says_what_to_do() {
    // A simple key of YAML has at most 1,024 characters.
    for text in ["x", "é", "\u{1}"] {
        let errors = errors(&format!("version: 1\nteams{}: 1\n", text.repeat(1_000)), &[]);
        let shown =
            errors.0.iter().map(ToString::to_string).find(|shown| shown.contains("unknown key")).unwrap();
        assert!(shown.len() <= 1024, "{} bytes: {shown}", shown.len());
        assert!(shown.contains("unknown key `teams") && shown.contains('…'), "{shown}");
        assert!(shown.ends_with("`wallets` or `payees`"), "{shown}");
    }
}
