//! Reaching a sidecar over its Unix socket.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Endpoint};
use tonic::{Request, Status};

use crate::v1::audit_client::AuditClient;
use crate::v1::governance_client::GovernanceClient;
use crate::v1::signer_client::SignerClient;

/// The metadata key that every call carries.
///
/// A web page can make a browser send many things to a local port, but not a header of its own choosing without
/// asking first. The server refuses calls without it.
pub const CALL_HEADER: &str = "pursekeeper";

/// The value of [`CALL_HEADER`].
pub const CALL_HEADER_VALUE: &str = "1";

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
    let path = path.as_ref();
    let text = path.to_str().ok_or_else(|| ConnectError::PathNotUtf8 { path: path.to_owned() })?;
    let channel = async { Endpoint::from_shared(format!("unix://{text}"))?.connect().await }
        .await
        .map_err(|source| ConnectError::Unreachable { path: path.to_owned(), source })?;
    Ok(InterceptedService::new(channel, CallHeader))
}

/// Puts [`CALL_HEADER`] on every call. [`connect`] installs it; use it yourself over another transport.
#[derive(Clone, Copy, Debug)]
pub struct CallHeader;

impl Interceptor for CallHeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(CALL_HEADER, MetadataValue::from_static(CALL_HEADER_VALUE));
        Ok(request)
    }
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
    /// Nothing answered.
    #[error("no sidecar answers at `{}`; check that it runs and that this user may open its socket", path.display())]
    Unreachable {
        /// The path as given.
        path: PathBuf,
        /// What the transport says.
        source: transport::Error,
    },
}
