//! Traces: who asked, how it was decided, and how long each part took, as OpenTelemetry spans.
//!
//! Without `traces` in the configuration nobody is interested in these spans, and making one costs a look at a number. With
//! it they are sent from a thread of their own; what a slow receiver does not take in time is dropped.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use pursekeeper_core::gate::Answer;
use tonic::transport::Endpoint;
use tracing::{Level, Span, Subscriber, enabled, trace_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::config::TracesConfig;

/// What these spans are told apart by from everything that is logged.
const TARGET: &str = "pursekeeper::trace";
/// Longest wait for a receiver.
const EXPORT_SECS_MAX: u64 = 5;
/// Longest wait for what was not sent yet, at the end.
const FLUSH_SECS_MAX: u64 = 2;

/// A part of a request's road that has a span of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Resolving and evaluating policies.
    Policy,
    /// Writing to the disk.
    Commit,
    /// Making the signature.
    Sign,
}

/// Sends spans until it is ended.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends nothing yet. It needs a runtime around it.
    ///
    /// # Errors
    /// Why there is no such receiver.
    pub(crate) fn new(config: &TracesConfig) -> anyhow::Result<Self> {
        let timeout = Duration::from_secs(EXPORT_SECS_MAX);
        let endpoint = Endpoint::from_shared(config.endpoint.clone())?;
        let channel = endpoint.connect_timeout(timeout).timeout(timeout).connect_lazy();
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_channel(channel)
            .with_retry_policy(RetryPolicy::disabled())
            .with_timeout(timeout)
            .build()?;
        let resource = Resource::builder_empty().with_attributes([
            opentelemetry::KeyValue::new("service.name", "pursekeeper"),
            opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            // Whether a trace is kept is for whoever began it to say.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// What makes OpenTelemetry spans of ours, and of nothing else.
    pub(crate) fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> impl Layer<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("pursekeeper"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, Level::TRACE))
    }

    /// Sends what was not sent yet, for a while.
    pub(crate) fn end(self) {
        // Whoever does not take it now gets it never; the journal has it all.
        let _ = self.0.shutdown_with_timeout(Duration::from_secs(FLUSH_SECS_MAX));
    }
}

/// The span of a call, in the trace that its metadata name (W3C Trace Context).
pub(crate) fn call(name: &str, headers: &HeaderMap) -> Span {
    if !enabled!(target: TARGET, Level::TRACE) {
        return Span::none();
    }
    let span = trace_span!(target: TARGET, "call", otel.name = name, otel.kind = "server");
    let parent = TraceContextPropagator::new().extract(&Metadata(headers));
    // A span that was just made takes its parent.
    let _ = span.set_parent(parent);
    span
}

/// The span of what the gate is asked: within the call that asks.
pub(crate) fn decision() -> Span {
    trace_span!(
        target: TARGET,
        "decision",
        pursekeeper.decision_id = tracing::field::Empty,
        pursekeeper.code = tracing::field::Empty,
    )
}

/// Notes in the span of a decision what was decided.
pub(crate) fn decided(span: &Span, answer: &Answer) {
    if span.is_disabled() {
        return;
    }
    let (decision_id, code) = match answer {
        Answer::Authorized(right) => (right.decision_id(), None),
        Answer::Denied { decision_id, denial, .. } => (*decision_id, Some(denial.code.as_str())),
        Answer::WouldSign { decision_id, .. }
        | Answer::Acted { decision_id, .. }
        | Answer::Changed { decision_id, .. }
        | Answer::Reported { decision_id }
        | Answer::Resolved { decision_id, .. }
        | Answer::Noted { decision_id } => (*decision_id, None),
        Answer::Voids(_) | Answer::Nothing(_) => return,
    };
    span.record("pursekeeper.decision_id", tracing::field::display(decision_id));
    if let Some(code) = code {
        span.record("pursekeeper.code", code);
    }
}

/// The span of a part of it.
pub(crate) fn child(parent: &Span, part: Part) -> Span {
    if parent.is_disabled() {
        return Span::none();
    }
    match part {
        Part::Policy => trace_span!(target: TARGET, parent: parent, "policy"),
        Part::Commit => trace_span!(target: TARGET, parent: parent, "commit"),
        Part::Sign => trace_span!(target: TARGET, parent: parent, "sign"),
    }
}

struct Metadata<'a>(&'a HeaderMap);

impl Extractor for Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
