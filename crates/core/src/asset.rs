use crate::{Address, Amount, ChainId, Digest, UnixSeconds, Usd, domain_separator};

/// Which asset: a contract on a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId {
    /// The network it lives on.
    pub network: ChainId,
    /// The token contract.
    pub address: Address,
}

/// An asset as *we* know it. What the seller says about it is compared with this and never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    id: AssetId,
    symbol: String,
    name: String,
    version: String,
    decimals: u8,
    methods: Vec<TransferMethod>,
    eip2612: bool,
    usd: UsdRate,
    domain_separator: Digest,
}

/// How a payment in an asset is authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferMethod {
    /// EIP-3009 `TransferWithAuthorization`: the token checks the signature.
    Eip3009,
    /// Permit2 `PermitWitnessTransferFrom`: the Permit2 contract checks it, and needs an allowance of the wallet.
    Permit2,
}

impl TransferMethod {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Eip3009, Self::Permit2];

    /// The word sellers and the registry use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 => "permit2",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// What one whole unit of an asset is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsdRate {
    /// Dollars for one whole unit.
    pub per_unit: Usd,
    /// Until when the rate may be used; a peg never ends.
    pub usable_until: Option<UnixSeconds>,
}

/// Why an amount has no value in dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsdRateError {
    /// The rate is too old.
    #[error("the asset's dollar rate is stale: renew `usd.as_of` in registry.yaml")]
    Stale,
    /// The value does not fit.
    #[error("the amount is worth more dollars than can be counted")]
    TooLarge,
}

impl Asset {
    /// An asset, with its EIP-712 domain separator computed once.
    #[must_use]
    pub fn new(
        id: AssetId,
        symbol: String,
        (name, version): (String, String),
        decimals: u8,
        methods: Vec<TransferMethod>,
        usd: UsdRate,
    ) -> Self {
        let domain_separator = domain_separator(&id, &name, &version);
        Self { id, symbol, name, version, decimals, methods, eip2612: false, usd, domain_separator }
    }

    /// The same, with a contract that takes EIP-2612 permits in its EIP-712 domain, or not.
    #[must_use]
    pub fn with_eip2612(self, eip2612: bool) -> Self {
        Self { eip2612, ..self }
    }

    /// Which asset this is.
    #[must_use]
    pub fn id(&self) -> &AssetId {
        &self.id
    }

    /// The ticker people know it by.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// The `name` of its EIP-712 domain.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `version` of its EIP-712 domain.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many digits of an atomic amount are decimals of a whole unit.
    #[must_use]
    pub fn decimals(&self) -> u8 {
        self.decimals
    }

    /// Whether payments may be authorised this way.
    #[must_use]
    pub fn allows(&self, method: TransferMethod) -> bool {
        self.methods.contains(&method)
    }

    /// Whether its contract takes EIP-2612 permits.
    #[must_use]
    pub fn has_eip2612(&self) -> bool {
        self.eip2612
    }

    /// The EIP-712 domain separator of its contract.
    #[must_use]
    pub fn domain_separator(&self) -> Digest {
        self.domain_separator
    }

    /// What `amount` is worth at `now`, rounded against the spender.
    ///
    /// # Errors
    /// [`UsdRateError`] when the rate is stale or the value does not fit.
    pub fn usd(&self, amount: Amount, now: UnixSeconds) -> Result<Usd, UsdRateError> {
        self.usable(now)?;
        Usd::of(amount, self.decimals, self.usd.per_unit).ok_or(UsdRateError::TooLarge)
    }

    /// What a balance of `amount` is worth at `now`, rounded down.
    ///
    /// # Errors
    /// [`UsdRateError`] when the rate is stale or the value does not fit.
    pub fn worth(&self, amount: Amount, now: UnixSeconds) -> Result<Usd, UsdRateError> {
        self.usable(now)?;
        Usd::of_at_least(amount, self.decimals, self.usd.per_unit).ok_or(UsdRateError::TooLarge)
    }

    fn usable(&self, now: UnixSeconds) -> Result<(), UsdRateError> {
        match self.usd.usable_until {
            Some(until) if now > until => Err(UsdRateError::Stale),
            Some(_) | None => Ok(()),
        }
    }
}
