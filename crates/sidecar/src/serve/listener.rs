//! Unix sockets with the right permissions and a bounded number of connections.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, UdsConnectInfo};
use tracing::warn;

use super::{Gatehouse, ServeError};
use crate::config::Listener;
use crate::metrics::OpenConnection;

/// Connections as they come in. One beyond the limit is closed at once.
pub(super) struct Incoming {
    listener: UnixListener,
    room: Arc<Semaphore>,
    /// What it is called in metrics, and who counts.
    counted: (&'static str, Arc<Gatehouse>),
}

/// A connection, counted until it closes.
pub(super) struct Connection {
    stream: UnixStream,
    _room: OwnedSemaphorePermit,
    _counted: OpenConnection,
}

/// Opens a socket. One left behind by a process that is gone is replaced; one that answers is not.
pub(super) fn bind(
    config: &Listener,
    connections_max: usize,
    counted: (&'static str, Arc<Gatehouse>),
) -> Result<Incoming, ServeError> {
    let path = &config.path;
    let failed = |source| ServeError::Listen { path: path.clone(), source };
    let listener = open(path, config.mode_bits().unwrap_or(0o600)).map_err(failed)?;
    Ok(Incoming { listener, room: Arc::new(Semaphore::new(connections_max)), counted })
}

fn open(path: &Path, mode: u32) -> io::Result<UnixListener> {
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
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.listener.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok((stream, _))) => match self.room.clone().try_acquire_owned() {
                    Ok(room) => {
                        let (name, gatehouse) = &self.counted;
                        let counted = gatehouse.metrics().connected(name);
                        return Poll::Ready(Some(Ok(Connection { stream, _room: room, _counted: counted })));
                    }
                    Err(_) => warn!("a connection beyond `connections_max` was closed"),
                },
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
