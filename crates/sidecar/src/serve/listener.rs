//! Unix sockets with the right permissions and TCP ports with the right certificates, and a bounded number of connections
//! to each.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pursekeeper_core::{UnixPeer, WorkflowName};
use rustix::fs::{Gid, chown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};

use super::{Gatehouse, ServeError};
use crate::clock::Clock;
use crate::config::{Limits, Listener, Place, Serves};
use crate::identity::{Demand, Identities, Svid, Tls};
use crate::metrics::OpenConnection;

/// Connections that are made and not taken over yet.
const MADE_LEN_MAX: usize = 16;
/// How long nothing is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections as they come in.
pub(super) type Incoming = ReceiverStream<io::Result<Connection>>;

/// A listener, as far as a call over it is concerned.
#[derive(Debug)]
pub(super) struct Door {
    /// What it is called in logs: its path or address.
    pub(super) name: String,
    /// Whom it serves.
    pub(super) serves: Serves,
    /// Which proofs it demands.
    pub(super) demand: Demand,
    /// The only workflows it is for.
    pub(super) workflows: Option<Arc<BTreeSet<WorkflowName>>>,
}

/// Over which listener a call arrived, and what the connection says about the caller.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) door: Arc<Door>,
    pub(super) peer: Option<UnixPeer>,
    pub(super) svid: Option<Arc<Svid>>,
}

/// A connection, counted until it closes.
pub(super) struct Connection {
    stream: Pin<Box<dyn Stream>>,
    arrival: Arrival,
    _room: OwnedSemaphorePermit,
    _counted: OpenConnection,
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// An open listener that nobody is accepted on yet.
pub(super) struct Bound {
    pub(super) door: Arc<Door>,
    pub(super) tls: Option<Arc<Tls>>,
    accepting: Accepting,
    room: Arc<Semaphore>,
    handshake_max: Duration,
    gatehouse: Arc<Gatehouse>,
}

enum Accepting {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Door {
    fn new(config: &Listener, place: &Place<'_>) -> Self {
        let (name, demand) = match (place, config.token) {
            (Place::Unix { path, .. }, false) => (path.display().to_string(), Demand::Peer),
            (Place::Unix { path, .. }, true) => (path.display().to_string(), Demand::PeerAndToken),
            (Place::Tls { address, .. }, false) => (address.to_string(), Demand::Certificate),
            (Place::Tls { address, .. }, true) => (address.to_string(), Demand::CertificateAndToken),
            (Place::Loopback { address }, _) => (address.to_string(), Demand::Token),
        };
        Self { name, serves: config.serves, demand, workflows: config.workflow_names().map(Arc::new) }
    }
}

/// Opens a listener. A socket left behind by a process that is gone is replaced; one that answers is not.
pub(super) async fn bind(
    config: &Listener,
    limits: &Limits,
    (identities, gatehouse): (&Identities, &Arc<Gatehouse>),
) -> Result<Bound, ServeError> {
    let place = config.place().map_err(ServeError::Listener)?;
    let door = Arc::new(Door::new(config, &place));
    let failed = |source| ServeError::Listen { path: door.name.clone().into(), source };
    let (accepting, tls) = match place {
        Place::Unix { path, mode, group } => {
            (Accepting::Unix(open(path, mode, group).map_err(failed)?), None)
        }
        Place::Loopback { address } => {
            (Accepting::Tcp(TcpListener::bind(address).await.map_err(failed)?), None)
        }
        Place::Tls { address, tls } => {
            let trust = identities.trust().cloned();
            let trust =
                trust.ok_or_else(|| ServeError::Listener("`identity.spiffe` is missing".to_owned()))?;
            let tls = Tls::open(tls, trust)?;
            (Accepting::Tcp(TcpListener::bind(address).await.map_err(failed)?), Some(Arc::new(tls)))
        }
    };
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let handshake_max = Duration::from_millis(limits.handshake_ms_max);
    Ok(Bound { door, tls, accepting, room, handshake_max, gatehouse: gatehouse.clone() })
}

fn open(path: &Path, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no socket is in the way",
            ));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process listens there: stop it first",
            ));
        }
        Ok(_) => std::fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // The group comes first: nobody of the old one is let in by the new bits meanwhile.
    if let Some(group) = group {
        chown(path, None, Some(Gid::from_raw(group)))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

impl Bound {
    /// Accepts until nobody takes the connections over any more.
    pub(super) fn accept(self) -> Incoming {
        let (made, incoming) = mpsc::channel(MADE_LEN_MAX);
        info!(listener = self.door.name, serves = self.door.serves.as_str(), "listening");
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = made.closed() => return,
                    accepted = self.next() => match accepted {
                        Ok(accepted) => self.take(accepted, &made),
                        Err(error) => {
                            warn!(listener = self.door.name, %error, "a connection could not be accepted");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                }
            }
        });
        ReceiverStream::new(incoming)
    }

    async fn next(&self) -> io::Result<Accepted> {
        match &self.accepting {
            Accepting::Unix(listener) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
            Accepting::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream))
            }
        }
    }

    /// Makes a connection of what was accepted, without keeping others waiting. One beyond the limit is closed at once.
    fn take(&self, accepted: Accepted, made: &mpsc::Sender<io::Result<Connection>>) {
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            warn!(listener = self.door.name, "a connection beyond `connections_max` was closed");
            return;
        };
        let (door, tls, made) = (self.door.clone(), self.tls.clone(), made.clone());
        let handshake_max = self.handshake_max;
        // What it is called in metrics is bounded, whatever is configured.
        let counted = self.gatehouse.metrics().connected(door.serves.as_str());
        tokio::spawn(async move {
            let name = door.name.clone();
            let connecting = connect(accepted, door, tls, (room, counted));
            match tokio::time::timeout(handshake_max, connecting).await {
                // When nobody takes it over, the sidecar stops.
                Ok(Ok(connection)) => drop(made.send(Ok(connection)).await),
                Ok(Err(error)) => warn!(listener = name, error, "a connection was refused"),
                Err(_) => debug!(listener = name, "a handshake took longer than `handshake_ms_max`"),
            }
        });
    }
}

enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

async fn connect(
    accepted: Accepted,
    door: Arc<Door>,
    tls: Option<Arc<Tls>>,
    (room, counted): (OwnedSemaphorePermit, OpenConnection),
) -> Result<Connection, String> {
    let (stream, peer, svid): (Pin<Box<dyn Stream>>, _, _) = match (accepted, tls) {
        (Accepted::Unix(stream), _) => {
            let peer = stream.peer_cred().ok();
            let peer = peer.map(|peer| UnixPeer { uid: peer.uid(), gid: Some(peer.gid()) });
            (Box::pin(stream), peer, None)
        }
        (Accepted::Tcp(stream), None) => (Box::pin(stream), None, None),
        (Accepted::Tcp(stream), Some(tls)) => {
            let now = || Clock::new().now().unix_seconds();
            let (stream, svid) = tls.accept(stream, now).await.map_err(|error| error.to_string())?;
            (Box::pin(stream), None, Some(Arc::new(svid)))
        }
    };
    Ok(Connection { stream, arrival: Arrival { door, peer, svid }, _room: room, _counted: counted })
}

impl Connected for Connection {
    type ConnectInfo = Arrival;

    fn connect_info(&self) -> Arrival {
        self.arrival.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
