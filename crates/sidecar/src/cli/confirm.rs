//! Asking a person before what cannot be taken back.

use std::io::{self, BufRead, IsTerminal as _, Write};

use clap::Args;

/// Nobody confirmed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unconfirmed(pub(super) String);

#[derive(Debug, Args)]
pub(super) struct YesArg {
    /// Do not ask: for scripts.
    #[arg(short, long)]
    yes: bool,
}

impl YesArg {
    /// Whether a person is to be asked.
    ///
    /// # Errors
    /// [`Unconfirmed`] when there is nobody to ask and `--yes` was not given.
    pub(super) fn is_to_ask(&self) -> anyhow::Result<bool> {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        Ok(is_to_ask(self.yes, is_terminal)?)
    }
}

fn is_to_ask(yes: bool, is_terminal: bool) -> Result<bool, Unconfirmed> {
    if yes || is_terminal {
        return Ok(!yes);
    }
    Err(Unconfirmed(
        "this asks for confirmation, and there is no terminal to ask on: pass --yes if it is meant"
            .to_owned(),
    ))
}

/// Says what an act means and waits until a person types `word`.
///
/// # Errors
/// [`Unconfirmed`] when something else is typed.
pub(super) fn ask(meaning: &[String], word: &str) -> anyhow::Result<()> {
    converse(meaning, word, &mut io::stdin().lock(), &mut io::stderr().lock())
}

fn converse(
    meaning: &[String],
    word: &str,
    answers: &mut impl BufRead,
    questions: &mut impl Write,
) -> anyhow::Result<()> {
    for line in meaning {
        writeln!(questions, "{line}")?;
    }
    write!(questions, "Type {word} to go on: ")?;
    questions.flush()?;
    let mut typed = String::new();
    answers.read_line(&mut typed)?;
    if typed.trim() == word && !word.is_empty() {
        return Ok(());
    }
    Err(Unconfirmed(format!("nothing was done: that was not {word}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_only_yes_confirms() {
        let error = is_to_ask(false, false).unwrap_err();
        assert!(error.to_string().contains("--yes"), "{error}");
        assert!(is_to_ask(false, true).unwrap());
        assert!(!is_to_ask(true, true).unwrap());
        assert!(!is_to_ask(true, false).unwrap());
    }

    #[test]
    fn only_the_name_confirms() {
        let asked = |typed: &str| {
            let mut prompt = Vec::new();
            let meaning = ["wallet treasury is revoked for ever".to_owned()];
            let answer = converse(&meaning, "treasury", &mut typed.as_bytes(), &mut prompt);
            let prompt = String::from_utf8(prompt).unwrap();
            assert_eq!(prompt, "wallet treasury is revoked for ever\nType treasury to go on: ");
            answer
        };
        for typed in ["", "\n", "y\n", "yes\n", "Treasury\n", "treasury-2\n", "treasury treasury\n"] {
            assert!(asked(typed).unwrap_err().downcast_ref::<Unconfirmed>().is_some(), "{typed:?}");
        }
        for typed in ["treasury\n", "treasury", "  treasury \r\n"] {
            assert!(asked(typed).is_ok(), "{typed:?}");
        }
    }
}
