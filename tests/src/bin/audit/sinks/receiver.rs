//! A receiver of OTLP logs that is killed and comes back at the same address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Of so many calls, one is taken and answered with an error, as by a receiver that dies in between.
const PER_UNANSWERED: u64 = 7;

/// A receiver, and everything that ever arrived.
pub(super) struct Receiver {
    runtime: Option<Runtime>,
    address: SocketAddr,
    arrived: Arc<Arrived>,
    stop: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Arrived {
    logs: Mutex<Vec<Value>>,
    calls: AtomicU64,
    unanswered: AtomicU64,
}

impl Receiver {
    /// One that does not listen yet, at an address of its own.
    pub(super) fn new() -> Self {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self { runtime: None, address: taken.local_addr().unwrap(), arrived: Arc::default(), stop: None }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listens.
    pub(super) fn start(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, stopped) = oneshot::channel();
        let listener = runtime.block_on(async {
            loop {
                // The last one's connections may still be closing.
                match TcpListener::bind(self.address).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(crate::house::LOOK_INTERVAL).await,
                }
            }
        });
        let service = LogsServiceServer::new(Service(self.arrived.clone()));
        let serving = Server::builder().add_service(service);
        runtime.spawn(serving.serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            // It is never told: it is dropped.
            let _ = stopped.await;
        }));
        (self.runtime, self.stop) = (Some(runtime), Some(stop));
    }

    /// Ends it with everything it is doing.
    pub(super) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
        self.stop = None;
    }

    /// What arrived, in order.
    pub(super) fn arrived(&self) -> Vec<Value> {
        lock(&self.arrived.logs).clone()
    }

    /// Calls that were taken and not answered.
    pub(super) fn unanswered(&self) -> u64 {
        self.arrived.unanswered.load(Ordering::Relaxed)
    }
}

struct Service(Arc<Arrived>);

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let logs = resources.flat_map(|logs| logs.scope_logs).flat_map(|logs| logs.log_records);
        let bodies = logs.map(|log| match log.body.and_then(|body| body.value) {
            Some(Any::StringValue(text)) => serde_json::from_str(&text).unwrap_or_default(),
            _ => Value::Null,
        });
        lock(&self.0.logs).extend(bodies);
        if self.0.calls.fetch_add(1, Ordering::Relaxed) % PER_UNANSWERED == PER_UNANSWERED - 1 {
            self.0.unanswered.fetch_add(1, Ordering::Relaxed);
            return Err(Status::unavailable("it dies"));
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
