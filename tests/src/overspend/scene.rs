//! A purse under attack.

use std::time::{Duration, Instant};

use super::books::overspent;
use super::{Books, Client, Hold, Outcome, PRICE, Rules, Tally, Witness};
use crate::{Purse, Sidecar};

/// How long a sidecar may take to make its first checkpoint.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// A purse, the rules it was given one after the other, and what it handed out.
#[derive(Debug)]
pub struct Scene {
    /// The files.
    pub purse: Purse,
    /// What reached clients.
    pub witness: Witness,
    eras: Vec<(u64, Rules)>,
}

impl Scene {
    /// A fresh purse under these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let purse = Purse::init();
        rules.write(&purse);
        Self { purse, witness: Witness::default(), eras: vec![(0, rules)] }
    }

    /// A copy of the purse, which nobody was given anything by yet.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { purse: self.purse.copy(), witness: Witness::default(), eras: self.eras.clone() }
    }

    /// Changes the rules, for the payments from here on. No sidecar is running.
    pub fn change(&mut self, rules: Rules) {
        let (_, before) = self.eras.last().unwrap();
        before.replace(&self.purse, &rules);
        self.eras.push((self.books().decisions.saturating_add(2), rules));
    }

    /// Starts the sidecar.
    #[must_use]
    pub fn serve(&self, tally: &mut Tally) -> Sidecar {
        let sidecar = self.purse.serve();
        tally.ready_worst = tally.ready_worst.max(sidecar.ready());
        sidecar
    }

    /// The same, and waits until it has written everything that it writes on its own after starting: a checkpoint.
    ///
    /// # Panics
    /// When it makes none.
    #[must_use]
    pub fn serve_settled(&self, tally: &mut Tally) -> Sidecar {
        let sidecar = self.serve(tally);
        let asked = Instant::now();
        while !self.books().is_checkpointed {
            assert!(asked.elapsed() < SETTLED_MAX, "no checkpoint within {SETTLED_MAX:?} of the start");
            std::thread::sleep(Duration::from_millis(1));
        }
        sidecar
    }

    /// Asks for a payment of [`PRICE`].
    pub fn pay(&self, client: &mut Client, id: &str) -> Outcome {
        client.pay(&self.witness, id, PRICE)
    }

    /// Asks for payments under new ids until one is refused, at most `most`, and returns how many were signed.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn pay_out(&self, client: &mut Client, prefix: &str, most: u64) -> u64 {
        for at in 0..most {
            match self.pay(client, &format!("{prefix}-{at}")) {
                Outcome::Signed => {}
                Outcome::Denied(_) => return at,
                other @ (Outcome::Done | Outcome::Failed(_)) => panic!("{other:?}"),
            }
        }
        most
    }

    /// What is in the journal.
    #[must_use]
    pub fn books(&self) -> Books {
        Books::read(&self.purse.file("journal/pursekeeper.db"))
    }

    /// Looks for anything that must not be: a payload without its durable record, two holds of one request, a journal
    /// that does not verify, money above a ceiling. `after` says what happened before.
    pub fn examine(&self, after: &str, tally: &mut Tally) {
        let verified = self.purse.run(&["audit", "verify"]);
        tally.expect(verified.status.success(), || {
            format!("{after}: audit verify: {}", String::from_utf8_lossy(&verified.stderr))
        });
        self.compare(&self.books(), after, tally);
    }

    /// The same without `audit verify`, for books that were read some other way.
    pub fn compare(&self, books: &Books, after: &str, tally: &mut Tally) {
        for fault in self.witness.take_faults() {
            tally.fault(format!("{after}: {fault}"));
        }
        let mut released: Vec<Hold> = Vec::new();
        for (request_id, payment) in self.witness.released() {
            match books.of(&request_id).find(|hold| hold.nonce == payment.nonce) {
                Some(hold) => released.push(Hold { atomic: payment.atomic, ..hold.clone() }),
                None => {
                    tally.overspend = tally.overspend.max(payment.atomic);
                    tally.fault(format!("{after}: `{request_id}` was signed and is not in the journal"));
                }
            }
        }
        released.sort_by_key(|hold| hold.seq);
        for hold in &books.holds {
            let twice = books.of(&hold.request_id).count() > 1;
            tally.expect(!twice, || format!("{after}: `{}` has more than one hold", hold.request_id));
        }
        for (what, holds) in [("signed", &released), ("held", &books.holds)] {
            let over = overspent(holds, |seq| self.rules_at(seq));
            tally.overspend = tally.overspend.max(over);
            tally.expect(over == 0, || format!("{after}: {over} atomic units too many were {what}"));
        }
    }

    /// Counts what was decided and released here, at the end.
    pub fn close(&self, tally: &mut Tally) {
        self.count(&self.books(), tally);
    }

    /// The same for books that were read some other way.
    pub fn count(&self, books: &Books, tally: &mut Tally) {
        tally.decisions += books.decisions;
        tally.released += self.witness.count();
    }

    fn rules_at(&self, seq: u64) -> &Rules {
        let (_, rules) = self.eras.iter().rev().find(|(from, _)| *from <= seq).unwrap();
        rules
    }
}
