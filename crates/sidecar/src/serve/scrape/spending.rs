//! How much of what may be spent is spent, and how much of that is outside.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use pursekeeper_core::Subject;
use pursekeeper_journal::{JournalError, Reader};
use tracing::debug;

use super::Gatehouse;
use crate::budget::{self, Used};

/// Most ceilings that are told, the fullest first: a registry may declare any number.
const CEILINGS_PER_SCRAPE_MAX: usize = 1_000;
/// A millionth of a dollar, in the units of [`pursekeeper_core::Usd`].
const UNITS_PER_MICRO: u128 = 1_000_000;

type Ratio = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ceiling {
    scope: String,
    name: String,
    window: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// Looks, and puts what is found under its names.
pub(super) fn register(registry: &mut Registry, gatehouse: &Gatehouse, journal: &Path) {
    let ratios = Family::<Ceiling, Ratio>::default();
    let mut used = budget::used(gatehouse);
    used.sort_unstable_by_key(|used| std::cmp::Reverse(used.millionths));
    for Used { scope, name, window, millionths } in used.into_iter().take(CEILINGS_PER_SCRAPE_MAX) {
        ratios.get_or_create(&Ceiling { scope, name, window }).set(in_millions(millionths));
    }
    let help =
        "How much of a declared ceiling is used, 1 for all of it; dollars or numbers, whichever is fuller";
    registry.register("ceiling_used_ratio", help, ratios);
    match outside(gatehouse, journal) {
        Ok((held, exposed, micros)) => {
            let holds = Family::<State, Gauge>::default();
            for (state, count) in [("held", held), ("exposed", exposed)] {
                holds.get_or_create(&State { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            let help = "Signatures whose fate nobody knows (`held`), and those of them that can still be settled (`exposed`)";
            registry.register("holds", help, holds);
            let exposure = Ratio::default();
            exposure.set(in_millions(micros));
            registry.register("exposure_usd", "Dollars that signatures outside can still take", exposure);
        }
        // A journal that cannot be read is told of elsewhere.
        Err(error) => debug!(%error, "what is outside is not known"),
    }
}

/// Signatures that are held, those that can still be settled, and millionths of dollars these can take.
fn outside(gatehouse: &Gatehouse, journal: &Path) -> Result<(u64, u64, u64), JournalError> {
    let now = gatehouse.now().unix_seconds();
    let reader = Reader::open(journal)?;
    let exposed = reader.exposure(&[Subject::Sidecar], now)?;
    let micros = exposed.usd.units().div_euclid(UNITS_PER_MICRO);
    Ok((reader.held_len()?, exposed.signatures, u64::try_from(micros).unwrap_or(u64::MAX)))
}

#[expect(clippy::float_arithmetic, reason = "a number for dashboards: nothing is decided by it")]
fn in_millions(millionths: u64) -> f64 {
    // Dashboards need no more than the 52 bits that are exact.
    millionths as f64 / 1_000_000.0
}
