//! The wallets and who answers for them.

use std::collections::BTreeSet;

use pursekeeper_api::v1;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::{BackupRule, Registry, Wallet};
use pursekeeper_core::{Address, BackupRecipient, Status as Standing, Subject, WalletName};
use tonic::{Code, Status};

use super::super::convert::fault;
use super::GovernanceService;
use super::exposure::total;

impl GovernanceService {
    /// Every wallet, and every address a rotation replaced that has not ended.
    pub(super) async fn wallets(&self) -> Result<Vec<v1::GovernedWallet>, Status> {
        let policy = self.gatehouse.policy();
        let registry = policy.registry();
        let mut listed = Vec::new();
        for (name, wallet) in &registry.wallets {
            listed.push(self.governed(registry, (name, wallet), wallet.address));
            let ended = |address: &Address| self.decided(&Subject::Wallet(*address)) == Standing::Revoked;
            let was = wallet.was.iter().filter(|address| !ended(address));
            listed.extend(was.map(|address| self.governed(registry, (name, wallet), *address)));
        }
        self.with_exposure(listed).await
    }

    /// One of them, by its name or an address.
    pub(super) async fn get(&self, called: &str) -> Result<v1::GetWalletResponse, Status> {
        let policy = self.gatehouse.policy();
        let registry = policy.registry();
        let by_name = WalletName::parse(called).ok().and_then(|name| registry.wallets.get_key_value(&name));
        let by_address = pursekeeper_core::EvmAddress::parse(called).ok().map(Address::from);
        let (found, address) = match (by_name, by_address) {
            (Some(found), _) => (Some(found), Some(found.1.address)),
            (None, Some(address)) => (registry.wallet_of(address), Some(address)),
            (None, None) => (None, None),
        };
        let Some((found, address)) = found.zip(address) else {
            return Err(fault(
                Code::NotFound,
                "SUBJECT_UNKNOWN",
                format!("no wallet `{called}` in registry.yaml"),
            ));
        };
        let wallet = self.with_exposure(vec![self.governed(registry, found, address)]).await?.pop();
        let name = found.0.to_string();
        let pending = self.pending_acts().await?.into_iter().filter(|act| act.wallet == name).collect();
        Ok(v1::GetWalletResponse { wallet, pending })
    }

    fn governed(
        &self,
        registry: &Registry,
        (name, wallet): (&WalletName, &Wallet),
        address: Address,
    ) -> v1::GovernedWallet {
        let subject = Subject::Wallet(address);
        let now = self.gatehouse.now().unix_seconds();
        let declared = registry.declared(&subject, now).unwrap_or(Standing::Suspended);
        let decided = self.decided(&subject);
        let texts =
            |names: &BTreeSet<pursekeeper_core::TeamName>| names.iter().map(ToString::to_string).collect();
        v1::GovernedWallet {
            name: name.to_string(),
            address: address.to_string(),
            status: declared.strictest(decided).to_string(),
            declared: declared.to_string(),
            journal: decided.to_string(),
            owner: wallet.owner.to_string(),
            recovery: texts(&wallet.recovery),
            revokers: texts(&wallet.revokers),
            workflows: wallet.workflows.iter().map(ToString::to_string).collect(),
            networks: wallet.networks.iter().map(ToString::to_string).collect(),
            shared: wallet.workflows.len() > 1,
            key: if self.custody.holds(address) { "present" } else { "absent" }.to_owned(),
            backup: self.backup_of(registry, wallet, address).to_owned(),
            replaced: wallet.address != address,
            expires: wallet.expires.map_or(0, |expires| expires.0),
            exposure: None,
        }
    }

    fn backup_of(&self, registry: &Registry, wallet: &Wallet, address: Address) -> &'static str {
        let wanted: BTreeSet<BackupRecipient> = registry.backup_recipients(wallet);
        let made = self.gatehouse.with_journal(|journal| journal.backup(address).cloned());
        match (made, wallet.backup) {
            (Some(made), _) if made.recipients == wanted => "done",
            (Some(_), _) => "outdated",
            (None, BackupRule::None) => "none",
            (None, BackupRule::Required) => "missing",
        }
    }

    async fn with_exposure(
        &self,
        mut listed: Vec<v1::GovernedWallet>,
    ) -> Result<Vec<v1::GovernedWallet>, Status> {
        let now = self.gatehouse.now().unix_seconds();
        let address = |wallet: &v1::GovernedWallet| pursekeeper_core::EvmAddress::parse(&wallet.address);
        let of: Vec<Option<Subject>> =
            listed.iter().map(|wallet| address(wallet).ok().map(|evm| Subject::Wallet(evm.into()))).collect();
        let read = self.holds.read(move |reader| {
            let sum = |subject: Option<Subject>| {
                subject.map(|subject| reader.exposure(&[subject], now)).transpose()
            };
            of.into_iter().map(sum).collect::<Result<Vec<_>, pursekeeper_journal::JournalError>>()
        });
        for (wallet, sum) in listed.iter_mut().zip(read.await?) {
            wallet.exposure = sum.map(total);
        }
        Ok(listed)
    }
}
