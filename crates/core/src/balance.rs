//! What wallets hold, as nodes of their networks said last.

use std::collections::HashMap;

use crate::{Address, Amount, AssetId, UnixSeconds, Usd};

/// What a wallet held of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Atomic units.
    pub amount: Amount,
    /// The time of the block in which it was read.
    pub observed_at: UnixSeconds,
}

/// Every balance that is known, by wallet and asset.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Balances(HashMap<(Address, AssetId), Balance>);

/// What is known of the paying wallet's balance when a payment is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceFacts {
    /// The worth of what it held, rounded down.
    pub usd: Usd,
    /// What would be left of it after every signature that may still take from it, and after this payment.
    pub after: Usd,
    /// How long ago it was read, in seconds.
    pub age_secs: u64,
}

impl Balances {
    /// What `wallet` held of `asset`, if that was ever read.
    #[must_use]
    pub fn of(&self, wallet: Address, asset: &AssetId) -> Option<Balance> {
        self.0.get(&(wallet, asset.clone())).copied()
    }

    /// Takes note of a newer reading. An older one is not taken.
    pub fn note(&mut self, wallet: Address, asset: AssetId, balance: Balance) {
        let known = self.0.entry((wallet, asset)).or_insert(balance);
        if known.observed_at <= balance.observed_at {
            *known = balance;
        }
    }
}
