//! Unix sockets with the right permissions and TCP ports with the right certificates, and a bounded number of connections
//! to each and from each peer. A connection counts until it is closed, and must say soon that it speaks HTTP/2.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pursekeeper_core::{UnixPeer, WorkflowName};
use rustix::fs::{Gid, chown};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, info, warn};

use super::peers::{Peer, Peers, Seat};
use super::seldom::Seldom;
use super::{Gatehouse, ServeError};
use crate::clock::Clock;
use crate::config::{Limits, Listener, Place, Serves};
use crate::identity::{Demand, Identities, Svid, Tls};
use crate::metrics::OpenConnection;

/// Connections that are made and not taken over yet.
const MADE_LEN_MAX: usize = 16;
/// What a client that speaks HTTP/2 says first (RFC 9113, 3.4).
static PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
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
    /// Who connects to it.
    pub(super) peers: Arc<Peers>,
    /// Who is turned away.
    turned_away: Seldom,
}

/// Over which listener a call arrived, and what the connection says about the caller.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) door: Arc<Door>,
    pub(super) from: Peer,
    pub(super) peer: Option<UnixPeer>,
    pub(super) svid: Option<Arc<Svid>>,
}

/// A connection, counted until it closes.
pub(super) struct Connection {
    /// What was read of [`PREFACE`] and not handed on yet.
    preface: &'static [u8],
    stream: Pin<Box<dyn Stream>>,
    arrival: Arrival,
    _place: Taken,
}

/// What a connection takes up.
struct Taken {
    _room: OwnedSemaphorePermit,
    _seat: Seat,
    _counted: OpenConnection,
}

/// Why a connection is closed before it is one.
enum TurnedAway {
    /// The listener has no more room.
    Full,
    /// The peer has no more room.
    PeerFull,
    /// Its handshake took too long.
    Slow,
    /// It went away.
    Gone,
    /// It speaks something else, or proves nothing that is believed.
    Stranger(String),
}

impl TurnedAway {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::PeerFull => "peer-full",
            Self::Slow => "slow",
            Self::Gone => "gone",
            Self::Stranger(_) => "stranger",
        }
    }

    fn words(&self) -> &str {
        match self {
            Self::Full => "there are `limits.connections_max` already",
            Self::PeerFull => "its user or address has `limits.connections_per_peer_max` already",
            Self::Slow => "it took longer than `limits.handshake_ms_max` to say what it speaks",
            Self::Gone => "it went away",
            Self::Stranger(error) => error,
        }
    }
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
    fn new(config: &Listener, limits: &Limits, place: &Place<'_>) -> Self {
        let (name, demand) = match (place, config.token) {
            (Place::Unix { path, .. }, false) => (path.display().to_string(), Demand::Peer),
            (Place::Unix { path, .. }, true) => (path.display().to_string(), Demand::PeerAndToken),
            (Place::Tls { address, .. }, false) => (address.to_string(), Demand::Certificate),
            (Place::Tls { address, .. }, true) => (address.to_string(), Demand::CertificateAndToken),
            (Place::Loopback { address }, _) => (address.to_string(), Demand::Token),
        };
        let (workflows, peers) = (config.workflow_names().map(Arc::new), Arc::new(Peers::new(limits)));
        Self { name, serves: config.serves, demand, workflows, peers, turned_away: Seldom::default() }
    }
}

/// Opens a listener. A socket left behind by a process that is gone is replaced; one that answers is not.
pub(super) async fn bind(
    config: &Listener,
    limits: &Limits,
    (identities, gatehouse): (&Identities, &Arc<Gatehouse>),
) -> Result<Bound, ServeError> {
    let place = config.place().map_err(ServeError::Listener)?;
    let door = Arc::new(Door::new(config, limits, &place));
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
            Accepting::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                Ok(Accepted::Unix(stream, UnixPeer { uid: peer.uid(), gid: Some(peer.gid()) }))
            }
            Accepting::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, from))
            }
        }
    }

    /// Makes a connection of what was accepted, without keeping others waiting. One beyond the limits is closed at once.
    fn take(&self, accepted: Accepted, made: &mpsc::Sender<io::Result<Connection>>) {
        let from = accepted.from();
        let taken = match self.place(from) {
            Ok(taken) => taken,
            Err(why) => return turn_away(&self.door, &self.gatehouse, from, &why),
        };
        let (door, tls, made) = (self.door.clone(), self.tls.clone(), made.clone());
        let (handshake_max, gatehouse) = (self.handshake_max, self.gatehouse.clone());
        tokio::spawn(async move {
            let connecting = connect(accepted, from, door.clone(), tls, taken);
            match tokio::time::timeout(handshake_max, connecting).await.unwrap_or(Err(TurnedAway::Slow)) {
                // When nobody takes it over, the sidecar stops.
                Ok(connection) => drop(made.send(Ok(connection)).await),
                Err(why) => turn_away(&door, &gatehouse, from, &why),
            }
        });
    }

    fn place(&self, from: Peer) -> Result<Taken, TurnedAway> {
        let seat = self.door.peers.seat(from).ok_or(TurnedAway::PeerFull)?;
        let room = self.room.clone().try_acquire_owned().map_err(|_| TurnedAway::Full)?;
        // What it is called in metrics is bounded, whatever is configured.
        let counted = self.gatehouse.metrics().connected(self.door.serves.as_str());
        Ok(Taken { _room: room, _seat: seat, _counted: counted })
    }
}

/// Counts who is turned away, and says it now and then: strangers decide how often that happens.
fn turn_away(door: &Door, gatehouse: &Gatehouse, from: Peer, why: &TurnedAway) {
    gatehouse.metrics().turned_away(door.serves.as_str(), why.reason());
    if matches!(why, TurnedAway::Gone) {
        return debug!(listener = door.name, ?from, "a connection went away");
    }
    if let Some(unsaid) = door.turned_away.now() {
        warn!(listener = door.name, ?from, reason = why.words(), unsaid, "a connection was refused");
    }
}

enum Accepted {
    Unix(UnixStream, UnixPeer),
    Tcp(TcpStream, SocketAddr),
}

impl Accepted {
    fn from(&self) -> Peer {
        match self {
            Self::Unix(_, peer) => Peer::Uid(peer.uid),
            Self::Tcp(_, address) if address.ip().to_canonical().is_loopback() => Peer::Anybody,
            Self::Tcp(_, address) => Peer::Address(address.ip().to_canonical()),
        }
    }
}

async fn connect(
    accepted: Accepted,
    from: Peer,
    door: Arc<Door>,
    tls: Option<Arc<Tls>>,
    taken: Taken,
) -> Result<Connection, TurnedAway> {
    let (mut stream, peer, svid): (Pin<Box<dyn Stream>>, _, _) = match (accepted, tls) {
        (Accepted::Unix(stream, peer), _) => (Box::pin(stream), Some(peer), None),
        (Accepted::Tcp(stream, _), None) => (Box::pin(stream), None, None),
        (Accepted::Tcp(stream, _), Some(tls)) => {
            let now = || Clock::new().now().unix_seconds();
            let accepted = tls.accept(stream, now).await;
            let (stream, svid) = accepted.map_err(|error| TurnedAway::Stranger(error.to_string()))?;
            (Box::pin(stream), None, Some(Arc::new(svid)))
        }
    };
    let mut said = [0; PREFACE.len()];
    stream.read_exact(&mut said).await.map_err(|_| TurnedAway::Gone)?;
    if said != PREFACE {
        return Err(TurnedAway::Stranger("it does not speak HTTP/2".to_owned()));
    }
    Ok(Connection { preface: &PREFACE, stream, arrival: Arrival { door, from, peer, svid }, _place: taken })
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
        if self.preface.is_empty() {
            return self.stream.as_mut().poll_read(cx, buf);
        }
        let (now, later) = self.preface.split_at(self.preface.len().min(buf.remaining()));
        buf.put_slice(now);
        self.preface = later;
        Poll::Ready(Ok(()))
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
