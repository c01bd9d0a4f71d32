//! The gRPC interface of Pursekeeper: generated stubs and what is needed to reach them.
//!
//! An agent written in Rust depends on this crate and nothing else of the project:
//!
//! ```no_run
//! use pursekeeper_api::v1::sign_payment_request::Challenge;
//! use pursekeeper_api::v1::sign_payment_response::Result as Answer;
//! use pursekeeper_api::v1::{Endpoint, SignPaymentRequest};
//! use pursekeeper_api::{Signer, connect};
//!
//! # async fn example(payment_required: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut signer = Signer::new(connect("/run/pursekeeper/agent.sock").await?);
//! let request = SignPaymentRequest {
//!     // Keep it for a retry: the same id returns the same payment, never a second one.
//!     request_id: "report-2026-11-22-0001".into(),
//!     // The PAYMENT-REQUIRED header of the 402, exactly as it arrived.
//!     challenge: Some(Challenge::PaymentRequired(payment_required)),
//!     endpoint: Some(Endpoint { method: "GET".into(), url: "https://api.example.com/report".into() }),
//!     ..SignPaymentRequest::default()
//! };
//! match signer.sign_payment(request).await?.into_inner().result {
//!     Some(Answer::Signed(signed)) => println!("{}: {}", signed.header_name, signed.header_value),
//!     // A denial is an answer, not an error: it says what was refused and by which policies.
//!     Some(Answer::Denied(denied)) => println!("refused ({}): {}", denied.code, denied.message),
//!     None => println!("the sidecar is newer than this client and answered in a way it does not know"),
//! }
//! # Ok(())
//! # }
//! ```

mod client;

pub use client::{
    Audit, CALL_HEADER, CALL_HEADER_VALUE, CALLER_HEADER, CallHeader, Channel, Connect, ConnectError,
    Governance, Signer, connect,
};

/// Generated from `proto/pursekeeper/v1`: messages, clients and server traits.
#[expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated code; its documentation is the protobuf files'"
)]
pub mod v1 {
    tonic::include_proto!("pursekeeper.v1");
}

/// The encoded `FileDescriptorSet` of every protobuf file, comments included, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
