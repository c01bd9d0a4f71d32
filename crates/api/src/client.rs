//! Reaching a sidecar over its Unix socket, or over TCP with TLS or on this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::v1::audit_client::AuditClient;
use crate::v1::governance_client::GovernanceClient;
use crate::v1::signer_client::SignerClient;

/// How often a place in the queue of a Unix socket is tried for: for some five seconds.
const QUEUE_TRIES_MAX: u32 = 1000;
/// Between two tries.
const QUEUE_RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// The metadata key that every call carries.
///
/// A web page can make a browser send many things to a local port, but not a header of its own choosing without
/// asking first. The server refuses calls without it.
pub const CALL_HEADER: &str = "pursekeeper";

/// The value of [`CALL_HEADER`].
pub const CALL_HEADER_VALUE: &str = "1";

/// The metadata key under which a call may say of which agent or operator it is. When it says so and that is not who the
/// server finds it is, the call is refused.
pub const CALLER_HEADER: &str = "pursekeeper-caller";

/// A connection on which every call carries [`CALL_HEADER`]. Cheap to clone; clones share the connection.
pub type Channel = InterceptedService<transport::Channel, CallHeader>;

/// What an agent may ask. Make one with `Signer::new(connect(path).await?)`.
pub type Signer = SignerClient<Channel>;

/// What an operator may do, on the operators' socket. Make one with `Governance::new(connect(path).await?)`.
pub type Governance = GovernanceClient<Channel>;

/// The audit trail, on the operators' socket. Make one with `Audit::new(connect(path).await?)`.
pub type Audit = AuditClient<Channel>;

/// Connects to the sidecar that listens on the Unix socket at `path`.
///
/// The connection is made now, so that a wrong path is found here and not at the first payment, and made again by
/// itself when the sidecar has been restarted.
///
/// # Errors
///
/// [`ConnectError`] when nothing listens there, when this process may not open the socket, or when the path is not
/// UTF-8.
pub async fn connect(path: impl AsRef<Path>) -> Result<Channel, ConnectError> {
    Connect::unix(path.as_ref()).open().await
}

/// A way to a sidecar, with everything that is shown on it.
///
/// ```no_run
/// # async fn example() -> Result<(), pursekeeper_api::ConnectError> {
/// use pursekeeper_api::{Connect, Signer};
///
/// let way = Connect::tls("purse.agents.svc:7443", "ca.crt", "svid.crt", "svid.key")
///     .token_file("/var/run/secrets/tokens/pursekeeper");
/// let signer = Signer::new(way.open().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    place: Place,
    header: CallHeader,
}

#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Loopback(String),
    Tls { address: String, ca: PathBuf, certificate: PathBuf, key: PathBuf },
}

impl Connect {
    /// Over a Unix socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::to(Place::Unix(path.into()))
    }

    /// Over TCP without TLS, to `host:port` of this machine. Such a listener demands a token.
    #[must_use]
    pub fn loopback(address: impl Into<String>) -> Self {
        Self::to(Place::Loopback(address.into()))
    }

    /// Over TLS to `host:port`, whose certificate an authority of the PEM file `ca` stands for, with a client certificate
    /// and its key, PEM each. They are read when the connection is opened: open another one when they were exchanged.
    #[must_use]
    pub fn tls(
        address: impl Into<String>,
        ca: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let (ca, certificate, key) = (ca.into(), certificate.into(), key.into());
        Self::to(Place::Tls { address: address.into(), ca, certificate, key })
    }

    fn to(place: Place) -> Self {
        Self { place, header: CallHeader::default() }
    }

    /// Shows the bearer token in a file, which is read for every call: such tokens are exchanged all the time.
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.header.token_file = Some(path.into().into());
        self
    }

    /// Says with every call of which agent or operator it is, so that a mistake in the deployment is found.
    #[must_use]
    pub fn caller(mut self, name: impl Into<String>) -> Self {
        self.header.caller = Some(name.into().into());
        self
    }

    /// Makes the connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] when nothing answers there, or a file cannot be used.
    pub async fn open(self) -> Result<Channel, ConnectError> {
        let Self { place, header } = self;
        let (text, named) = match &place {
            Place::Unix(path) => {
                let text = path.to_str().ok_or_else(|| ConnectError::PathNotUtf8 { path: path.clone() })?;
                (format!("unix://{text}"), path.clone())
            }
            Place::Loopback(address) => (format!("http://{address}"), address.into()),
            Place::Tls { address, .. } => (format!("https://{address}"), address.into()),
        };
        let unreachable = |source| ConnectError::Unreachable { path: named.clone(), source };
        let mut endpoint = Endpoint::from_shared(text).map_err(unreachable)?;
        if let Place::Tls { ca, certificate, key, .. } = &place {
            let read = |path: &PathBuf| {
                std::fs::read(path).map_err(|source| ConnectError::File { path: path.clone(), source })
            };
            let tls = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(read(ca)?))
                .identity(Identity::from_pem(read(certificate)?, read(key)?));
            endpoint = endpoint.tls_config(tls).map_err(unreachable)?;
        }
        for _ in 1..QUEUE_TRIES_MAX {
            match endpoint.connect().await {
                Err(error) if is_queue_full(&error) => tokio::time::sleep(QUEUE_RETRY_INTERVAL).await,
                made => {
                    return made.map(|channel| InterceptedService::new(channel, header)).map_err(unreachable);
                }
            }
        }
        let channel = endpoint.connect().await.map_err(unreachable)?;
        Ok(InterceptedService::new(channel, header))
    }
}

/// Puts [`CALL_HEADER`], and whatever else is shown, on every call. [`Connect`] installs it; use it yourself over another
/// transport.
#[derive(Clone, Debug, Default)]
pub struct CallHeader {
    token_file: Option<Arc<Path>>,
    caller: Option<Arc<str>>,
}

impl Interceptor for CallHeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CALL_HEADER, MetadataValue::from_static(CALL_HEADER_VALUE));
        let invalid = |what: &str| Status::invalid_argument(format!("{what} cannot be sent as metadata"));
        if let Some(caller) = &self.caller {
            metadata.insert(CALLER_HEADER, caller.parse().map_err(|_| invalid("the caller's name"))?);
        }
        if let Some(path) = &self.token_file {
            let unreadable = |error| {
                Status::unauthenticated(format!("the token in `{}` cannot be read: {error}", path.display()))
            };
            let token = std::fs::read_to_string(path).map_err(unreadable)?;
            let value = format!("Bearer {}", token.trim());
            let mut value: MetadataValue<_> = value.parse().map_err(|_| invalid("the token"))?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(request)
    }
}

/// Whether so many connect to a Unix socket that there is no place left to wait in. A call that blocks would wait.
fn is_queue_full(error: &transport::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return true;
        }
        source = error.source();
    }
    false
}

/// Why a sidecar could not be reached.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The socket's path cannot be written as an address.
    #[error("the socket path `{}` is not UTF-8; choose another one", path.display())]
    PathNotUtf8 {
        /// The path as given.
        path: PathBuf,
    },
    /// A certificate or key cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing answered.
    #[error("no sidecar answers at `{}`; check that it runs and that this user may open its socket", path.display())]
    Unreachable {
        /// The path or address as given.
        path: PathBuf,
        /// What the transport says.
        source: transport::Error,
    },
}
