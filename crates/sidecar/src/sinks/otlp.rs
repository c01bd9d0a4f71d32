//! Records as OpenTelemetry logs. The receiver's answer is the acknowledgement.
//!
//! The exporter of the SDK takes a partial success for a success, so its parts are used without it.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use pursekeeper_core::JournalId;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::outgoing::Outgoing;
use super::{SinkError, private};
use crate::config::SinkConfig;

/// What made the logs.
const SCOPE: &str = "pursekeeper.audit";

/// A receiver of OTLP logs over gRPC.
pub(super) struct Otlp {
    endpoint: Endpoint,
    headers: MetadataMap,
    resource: ResourceAttributesWithSchema,
    /// Made when it is needed first, which is inside a runtime. Connects when something is sent, and again when the
    /// connection is lost.
    client: OnceLock<LogsServiceClient<Channel>>,
    /// Makes records; it exports none by itself.
    logger: SdkLogger,
    scope: InstrumentationScope,
}

impl Otlp {
    /// Nothing is connected to yet.
    pub(super) fn new(config: &SinkConfig, url: &str, journal: JournalId) -> Result<Self, SinkError> {
        let wrong = |error: &dyn std::fmt::Display| SinkError::Endpoint(error.to_string());
        let timeout = Duration::from_millis(config.timeout_ms_max);
        let mut endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(&error))?;
        if url.starts_with("https://") {
            let mut tls = ClientTlsConfig::new();
            if let Some(path) = &config.ca_file {
                let pem = std::fs::read(path);
                let pem = pem.map_err(|source| SinkError::File { path: path.clone(), source })?;
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| wrong(&error))?;
        }
        let headers = config.headers_file.as_deref().map(headers).transpose()?.unwrap_or_default();
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "pursekeeper"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", journal.to_string()),
        ]);
        Ok(Self {
            endpoint: endpoint.connect_timeout(timeout).timeout(timeout),
            headers,
            resource: (&resource.build()).into(),
            client: OnceLock::new(),
            logger: SdkLoggerProvider::builder().build().logger(SCOPE),
            scope: InstrumentationScope::builder(SCOPE).build(),
        })
    }

    /// Sends records and returns once the receiver has acknowledged all of them. A receiver that takes a part does not say
    /// which.
    pub(super) async fn send(&self, records: &[Outgoing]) -> Result<(), SinkError> {
        let logs: Vec<SdkLogRecord> = records.iter().map(|record| self.log(record)).collect();
        let batch: Vec<_> = logs.iter().map(|log| (log, &self.scope)).collect();
        let resource_logs = group_logs_by_resource_and_scope(&LogBatch::new(&batch), &self.resource);
        let mut request = Request::new(ExportLogsServiceRequest { resource_logs });
        *request.metadata_mut() = self.headers.clone();
        let client = self.client.get_or_init(|| LogsServiceClient::new(self.endpoint.connect_lazy()));
        let sent = client.clone().export(request).await;
        let answer = sent.map_err(|status| SinkError::Refused(status.to_string()))?.into_inner();
        match answer.partial_success {
            Some(ExportLogsPartialSuccess { rejected_log_records: rejected @ 1.., error_message }) => {
                Err(SinkError::Rejected { rejected: rejected.unsigned_abs(), why: error_message })
            }
            // It took everything, whatever else it says.
            Some(_) | None => Ok(()),
        }
    }

    fn log(&self, record: &Outgoing) -> SdkLogRecord {
        let mut log = self.logger.create_log_record();
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(record.unix_ms()));
        if let Some(at) = at {
            log.set_timestamp(at);
            log.set_observed_timestamp(at);
        }
        let (severity, text) =
            if record.failed() { (Severity::Warn, "WARN") } else { (Severity::Info, "INFO") };
        log.set_severity_number(severity);
        log.set_severity_text(text);
        log.set_body(record.json().into());
        if let Some(trace) = record.trace().and_then(|trace| TraceId::from_hex(trace).ok()) {
            log.set_trace_context(trace, SpanId::INVALID, Some(TraceFlags::default()));
        }
        for (name, value) in attributes(record) {
            log.add_attribute(name, value);
        }
        log
    }
}

/// What can be searched for.
fn attributes(record: &Outgoing) -> Vec<(&'static str, AnyValue)> {
    let mut attributes: Vec<(&'static str, AnyValue)> = vec![
        ("pursekeeper.seq", i64::try_from(record.seq).unwrap_or(i64::MAX).into()),
        ("pursekeeper.decision_id", record.decision_id().to_string().into()),
        ("pursekeeper.kind", record.kind().to_owned().into()),
        ("pursekeeper.operation", record.operation().into()),
        ("pursekeeper.leaf_hash", record.leaf.to_string().into()),
        ("pursekeeper.chain_hash", record.chain.to_string().into()),
    ];
    let texts = [
        ("pursekeeper.verdict", record.verdict()),
        ("pursekeeper.code", record.code()),
        ("pursekeeper.agent", record.agent()),
        ("pursekeeper.operator", record.operator()),
        ("pursekeeper.workflow", record.workflow()),
        ("pursekeeper.wallet", record.wallet()),
        ("pursekeeper.wallet_address", record.wallet_address()),
        ("pursekeeper.service", record.service()),
        ("pursekeeper.payee", record.payee()),
        ("pursekeeper.request_id", record.request_id()),
        ("pursekeeper.usd", record.text(&["/intent/usd"])),
        ("pursekeeper.amount", record.text(&["/intent/terms/amount"])),
        ("pursekeeper.network", record.text(&["/intent/terms/asset/network"])),
        ("http.request.method", record.method()),
        ("url.full", record.url()),
    ];
    let told = texts.into_iter().filter_map(|(name, text)| Some((name, text?.to_owned().into())));
    attributes.extend(told);
    if !record.masked.is_empty() {
        let fields = record.masked.iter().cloned().map(AnyValue::from).collect();
        attributes.push(("pursekeeper.masked", AnyValue::ListAny(Box::new(fields))));
    }
    attributes
}

/// What a file says is to be sent along, one `name: value` a line.
fn headers(path: &Path) -> Result<MetadataMap, SinkError> {
    let bytes = private::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut headers = MetadataMap::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let read = || -> Option<(MetadataKey<Ascii>, MetadataValue<Ascii>)> {
            let (name, value) = text.split_once(':')?;
            let mut value: MetadataValue<Ascii> = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name.trim().to_ascii_lowercase().parse().ok()?, value))
        };
        let (name, value) = read().ok_or_else(|| SinkError::Header { path: path.to_owned(), line })?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::fixtures::{denial, masked, outgoing, payment};
    use super::*;

    fn otlp() -> Otlp {
        let config = serde_yaml::from_str("name: a\nformat: otlp\nendpoint: http://127.0.0.1:1").unwrap();
        Otlp::new(&config, "http://127.0.0.1:1", JournalId([7; 16])).unwrap()
    }

    fn attribute(log: &SdkLogRecord, name: &str) -> Option<AnyValue> {
        log.attributes_iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value.clone())
    }

    #[tokio::test]
    async fn a_log_says_who_what_when_and_in_which_trace() {
        let otlp = otlp();
        let log = otlp.log(&outgoing(payment()));
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(1_700_000_000_123)).unwrap();
        assert_eq!((log.timestamp(), log.observed_timestamp()), (Some(at), Some(at)));
        assert_eq!((log.severity_number(), log.severity_text()), (Some(Severity::Info), Some("INFO")));
        let trace = log.trace_context().unwrap().trace_id.to_string();
        assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(log.body(), Some(&AnyValue::from(outgoing(payment()).json())));
        let expected = [
            ("pursekeeper.kind", "payment"),
            ("pursekeeper.verdict", "permit"),
            ("pursekeeper.agent", "researcher"),
            ("pursekeeper.workflow", "research"),
            ("pursekeeper.wallet", "research-hot"),
            ("pursekeeper.payee", "0x09"),
            ("pursekeeper.usd", "0.01"),
            ("url.full", "https://a.example/x"),
        ];
        for (name, value) in expected {
            assert_eq!(attribute(&log, name), Some(AnyValue::from(value)), "{name}");
        }
        assert_eq!(attribute(&log, "pursekeeper.seq"), Some(AnyValue::Int(5)));
        assert_eq!(attribute(&log, "pursekeeper.masked"), None);
        let refused = otlp.log(&outgoing(denial()));
        assert_eq!(refused.severity_number(), Some(Severity::Warn));
        assert_eq!(attribute(&refused, "pursekeeper.code"), Some(AnyValue::from("PAYEE")));
    }

    #[tokio::test]
    async fn no_attribute_says_what_is_masked() {
        let hidden = masked(payment(), &["/asked/endpoint/url", "/intent/terms/payee"]);
        let log = otlp().log(&hidden);
        let told = format!("{log:?}");
        assert!(!told.contains("a.example") && !told.contains("0x09"), "{told}");
        assert!(attribute(&log, "pursekeeper.masked").is_some());
    }

    #[test]
    fn headers_are_read_from_a_private_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str, mode| {
            fs::write(file.path(), text).unwrap();
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            headers(file.path()).map_err(|error| error.to_string())
        };
        let found = read("Authorization: Bearer a:b\n\nx-scope: audit\n", 0o600).unwrap();
        assert_eq!(found.get("authorization").unwrap(), "Bearer a:b");
        assert_eq!(found.get("x-scope").unwrap(), "audit");
        assert!(read("a: b\nno header\n", 0o600).unwrap_err().contains("line 2"));
        assert!(read("a: b", 0o644).unwrap_err().contains("chmod 600"));
    }
}
