//! Independent runs, two at a time.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

use indicatif::ProgressBar;

use super::Finding;
use crate::overspend::Tally;

/// Runs at the same time. More would make each sidecar start later than it does.
const WORKERS: usize = 2;

/// Does every task, and adds up what they found. A task that panics is a fault.
///
/// # Panics
/// When there are more tasks than a number holds.
pub fn each<T: Send>(tasks: Vec<T>, bar: &ProgressBar, run: impl Fn(T) -> Tally + Sync) -> Tally {
    bar.set_length(u64::try_from(tasks.len()).unwrap());
    bar.set_position(0);
    let (tasks, total) = (Mutex::new(VecDeque::from(tasks)), Mutex::new(Tally::default()));
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(task) = next() {
                    let tally = caught(|| run(task));
                    total.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
                    bar.inc(1);
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What a run found, also when it panicked.
pub fn caught<F: Finding>(run: impl FnOnce() -> F) -> F {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let mut tally = Tally::default();
        tally.fault(format!("stopped: {}", message(&*panic)));
        F::from(tally)
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
