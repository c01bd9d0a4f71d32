//! What a kubelet or Prometheus asks over plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::{Purse, until};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was answered.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The status of the answer.
    pub status: u16,
    /// Its head, in lower case.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// An address of this machine at which nobody listens.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Gives the purse a health port.
///
/// # Panics
/// When its configuration is not the one `init` writes.
#[must_use]
pub fn health_port(purse: &Purse) -> SocketAddr {
    let address = free_address();
    purse.replace("pursekeeper.yaml", "\nlisteners:\n", &format!("\nhealth: \"{address}\"\n\nlisteners:\n"));
    address
}

/// Waits until the start is over: sockets can be connected to a little earlier.
///
/// # Panics
/// When it takes too long.
pub fn until_started(address: SocketAddr) {
    until("it has started", || probe(address, "/startupz", "").is_some_and(|probed| probed.status == 200));
}

/// Asks for a path. Nothing when nobody answers.
#[must_use]
pub fn probe(address: SocketAddr, path: &str, headers: &str) -> Option<Probed> {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"))
}

/// Sends a request as it is written.
#[must_use]
pub fn send(address: SocketAddr, request: &str) -> Option<Probed> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    // A server that refuses what it has not read to its end may reset the connection after its answer.
    let _ = stream.read_to_string(&mut text);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        dechunk(body)
    } else {
        body.to_owned()
    };
    Some(Probed { status, head: head.to_lowercase(), body })
}

/// The body that was sent in chunks.
fn dechunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        body.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
    }
    body
}
