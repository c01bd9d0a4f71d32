//! Tells the demo's story: lines for a person, one JSON object per step for a program.

use std::io;

use pursekeeper_api::v1;
use serde_json::{Value, json};

use crate::output::{Output, Tone};

/// The code of what is not refused, as offers use it.
pub(super) const OK: &str = "OK";

/// Something somebody tries.
pub(super) struct Step {
    /// Who, by the name in the registry.
    pub(super) who: &'static str,
    /// What they try, as words that follow the name.
    pub(super) what: String,
    /// [`OK`], or the code of the refusal that must come.
    pub(super) expected: &'static str,
}

/// How a step ended.
#[derive(Default)]
pub(super) struct Ending {
    /// [`OK`], or the code of the refusal.
    pub(super) code: String,
    /// The policies that determined it.
    pub(super) policies: Vec<v1::PolicyRef>,
    /// Its record.
    pub(super) decision_id: String,
    /// What else was seen.
    pub(super) notes: Vec<String>,
    /// What should have been seen and was not.
    pub(super) missing: Vec<String>,
}

/// Counts the steps and those that came out differently.
pub(super) struct Teller {
    output: Output,
    steps: u32,
    differing: u32,
}

impl Teller {
    pub(super) fn new(output: Output) -> Self {
        Self { output, steps: 0, differing: 0 }
    }

    /// Whether every step came out as it must.
    pub(super) fn all_as_expected(&self) -> bool {
        self.differing == 0
    }

    /// Who is who.
    pub(super) fn introduce(&self, title: &str, cast: &[(&str, String)]) -> io::Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        self.output.line(&self.output.paint(Tone::Strong, title))?;
        for (name, description) in cast {
            self.output.line(&format!("  {name:<9} {description}"))?;
        }
        Ok(())
    }

    /// What was tried and what came of it.
    pub(super) fn tell(&mut self, step: &Step, ending: &Ending) -> io::Result<()> {
        self.steps = self.steps.saturating_add(1);
        let as_expected = ending.code == step.expected && ending.missing.is_empty();
        if !as_expected {
            self.differing = self.differing.saturating_add(1);
        }
        if self.output.is_json() {
            self.tell_program(step, ending, as_expected)
        } else {
            self.tell_person(step, ending)
        }
    }

    /// A line of the last part.
    pub(super) fn line(&self, text: &str) -> io::Result<()> {
        if self.output.is_json() { Ok(()) } else { self.output.line(text) }
    }

    /// The result of verifying the audit trail.
    pub(super) fn verified(&mut self, records: u64, chain: &str, problem: Option<&str>) -> io::Result<()> {
        self.steps = self.steps.saturating_add(1);
        if problem.is_some() {
            self.differing = self.differing.saturating_add(1);
        }
        if self.output.is_json() {
            return self.output.json(&json!({
                "step": self.steps,
                "what": "verify the audit trail",
                "records": records,
                "chain": chain,
                "problem": problem,
                "as_expected": problem.is_none(),
            }));
        }
        match problem {
            None => {
                let verified = self.output.paint(Tone::Good, "VERIFIED");
                self.output.line(&format!("  {verified} {records} records, chain {chain}"))
            }
            Some(problem) => {
                self.output.line(&format!("  {} {problem}", self.output.paint(Tone::Bad, "BROKEN")))
            }
        }
    }

    /// How it all came out.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        let (steps, differing) = (self.steps, self.differing);
        let text = match differing {
            0 => self.output.paint(Tone::Good, &format!("All {steps} steps came out as they must.")),
            _ => self.output.paint(Tone::Bad, &format!("{differing} of {steps} steps came out differently.")),
        };
        self.output.line(&format!("\n{text}"))
    }

    fn tell_person(&self, step: &Step, ending: &Ending) -> io::Result<()> {
        let Step { who, what, expected } = step;
        let Ending { code, policies, decision_id, notes, missing } = ending;
        let output = self.output;
        output
            .line(&format!("\n{}", output.paint(Tone::Strong, &format!("{}. {who} {what}", self.steps))))?;
        let (tone, word) = match code.as_str() {
            OK => (Tone::Good, "ALLOWED".to_owned()),
            code => (Tone::Bad, format!("REFUSED {code}")),
        };
        output.line(&format!("   {}", output.paint(tone, &word)))?;
        for v1::PolicyRef { id, reason, .. } in policies {
            output.line(&format!("   by {id}: {reason}"))?;
        }
        for note in notes {
            output.line(&format!("   {note}"))?;
        }
        if !decision_id.is_empty() {
            output.line(&output.paint(Tone::Faint, &format!("   decision {decision_id}")))?;
        }
        if code != expected {
            output.line(&output.paint(Tone::Bad, &format!("   THIS IS WRONG: it must be {expected}")))?;
        }
        for missing in missing {
            output.line(&output.paint(Tone::Bad, &format!("   THIS IS WRONG: {missing}")))?;
        }
        Ok(())
    }

    fn tell_program(&self, step: &Step, ending: &Ending, as_expected: bool) -> io::Result<()> {
        let Step { who, what, expected } = step;
        let Ending { code, policies, decision_id, notes, missing } = ending;
        let policies: Vec<Value> =
            policies.iter().map(|policy| json!({ "id": policy.id, "reason": policy.reason })).collect();
        self.output.json(&json!({
            "step": self.steps,
            "who": who,
            "what": what,
            "verdict": if code == OK { "allowed" } else { "refused" },
            "code": code,
            "policies": policies,
            "decision_id": decision_id,
            "notes": notes,
            "expected": expected,
            "missing": missing,
            "as_expected": as_expected,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn one_step_that_differs_is_remembered() {
        let step = || Step { who: "crawler", what: "buys".to_owned(), expected: OK };
        let ending = |code: &str, missing: &[&str]| Ending {
            code: code.to_owned(),
            missing: missing.iter().map(ToString::to_string).collect(),
            ..Ending::default()
        };
        for (ending, as_expected) in
            [(ending("NOT_ACTIVE", &[]), false), (ending(OK, &["the page"]), false), (ending(OK, &[]), true)]
        {
            for format in [Format::Text, Format::Json] {
                let mut teller = Teller::new(Output::new(format));
                teller.tell(&step(), &ending).unwrap();
                assert_eq!(teller.all_as_expected(), as_expected);
            }
        }
        let mut teller = Teller::new(Output::new(Format::Text));
        teller.verified(1, "", Some("broken")).unwrap();
        assert!(!teller.all_as_expected());
    }
}
