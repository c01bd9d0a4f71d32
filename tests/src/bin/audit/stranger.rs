//! Somebody whom the registry does not know: this program again, as another user.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use pursekeeper_api::Signer;
use tokio::runtime::Builder;
use tonic::Code;

use crate::load::payment;

/// Tells this program that it is the stranger: `<socket> <asks> <clients>`.
const TOLD: &str = "PURSEKEEPER_STRANGER";
/// A user whom nobody knows.
const UID: &str = "54321";

/// What a stranger is told to ask.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    socket: PathBuf,
    asks: u64,
    clients: u64,
}

/// Whether this process is the stranger.
pub(crate) fn told() -> Option<Told> {
    let text = std::env::var(TOLD).ok()?;
    let mut words = text.split(' ');
    let socket = PathBuf::from(words.next().unwrap());
    let mut number = || words.next().unwrap().parse().unwrap();
    Some(Told { socket, asks: number(), clients: number() })
}

/// Starts the stranger. It needs root.
pub(crate) fn send(socket: &Path, asks: u64, clients: u64) -> Child {
    open(socket);
    // Whoever may not reach this program where it lies may still run a copy.
    let copy = socket.with_file_name("stranger");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    permit(&copy, 0o755);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", UID, "--regid", UID, "--clear-groups"]).arg(copy);
    command.env(TOLD, format!("{} {asks} {clients}", socket.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Opens the socket and the way to it to everybody, so that only the registry keeps the stranger out.
pub(crate) fn open(socket: &Path) {
    permit(socket, 0o666);
    for dir in socket.ancestors().skip(1).take_while(|dir| dir.starts_with(std::env::temp_dir())) {
        permit(dir, 0o711);
    }
}

fn permit(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What came of it: refused as a stranger, and not answered.
pub(crate) fn answered(child: Child) -> [u64; 2] {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the stranger ended with {}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    [numbers.next().unwrap(), numbers.next().unwrap()]
}

/// Asks, and tells how often it was refused and how often not answered.
pub(crate) fn ask(told: &Told) -> ExitCode {
    let Told { socket, asks, clients } = told.clone();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let [refused, failed] = runtime.block_on(async {
        let mut tasks = Vec::new();
        for client in 0..clients {
            let share = asks / clients + u64::from(client < asks % clients);
            tasks.push(tokio::spawn(ask_often(socket.clone(), client, share)));
        }
        let mut total = [0; 2];
        for task in tasks {
            let [refused, failed] = task.await.unwrap();
            total = [total[0] + refused, total[1] + failed];
        }
        total
    });
    println!("{refused} {failed}");
    ExitCode::SUCCESS
}

async fn ask_often(socket: PathBuf, client: u64, asks: u64) -> [u64; 2] {
    let [mut refused, mut failed] = [0, 0];
    let mut signer: Option<Signer> = None;
    let mut at = 0;
    while at < asks {
        let Some(connected) = signer.as_mut() else {
            signer = pursekeeper_api::connect(&socket).await.ok().map(Signer::new);
            if signer.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            continue;
        };
        at += 1;
        match connected.sign_payment(payment(&format!("s-{client}-{at}"), "1000")).await {
            Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                refused += 1;
            }
            Err(_) => {
                failed += 1;
                signer = None;
            }
            Ok(answer) => panic!("a stranger was answered: {answer:?}"),
        }
    }
    [refused, failed]
}
