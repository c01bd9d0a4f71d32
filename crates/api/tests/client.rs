//! The client against a real server on a Unix socket.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use prost::Message as _;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::v1::signer_server::{Signer as SignerService, SignerServer};
use pursekeeper_api::v1::{
    Denied, GetBudgetRequest, GetBudgetResponse, GetDecisionRequest, GetDecisionResponse, ListWalletsRequest,
    ListWalletsResponse, PreviewResponse, ReportOutcomeRequest, ReportOutcomeResponse, SignInRequest,
    SignInResponse, SignPaymentRequest, SignPaymentResponse, SignTypedDataRequest, SignTypedDataResponse,
};
use pursekeeper_api::{
    CALL_HEADER, CALL_HEADER_VALUE, CALLER_HEADER, Connect, ConnectError, FILE_DESCRIPTOR_SET, Signer,
    connect,
};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Denies everything, and refuses calls without the header as the sidecar does.
struct Refusing;

fn require_header<T>(request: &Request<T>) -> Result<(), Status> {
    match request.metadata().get(CALL_HEADER) {
        Some(value) if value == CALL_HEADER_VALUE => Ok(()),
        Some(_) | None => Err(Status::unauthenticated("no call header")),
    }
}

#[tonic::async_trait]
impl SignerService for Refusing {
    async fn sign_payment(
        &self,
        request: Request<SignPaymentRequest>,
    ) -> Result<Response<SignPaymentResponse>, Status> {
        require_header(&request)?;
        let shown = |name: &str| request.metadata().get(name).map_or("", |value| value.to_str().unwrap());
        // What was shown comes back where a decision's id would.
        let decision_id = format!("{}|{}", shown("authorization"), shown(CALLER_HEADER));
        let message = request.into_inner().request_id;
        let denied = Denied { code: "TEST".into(), message, decision_id, ..Denied::default() };
        Ok(Response::new(SignPaymentResponse { result: Some(Answer::Denied(denied)) }))
    }

    async fn preview(&self, _: Request<SignPaymentRequest>) -> Result<Response<PreviewResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn get_budget(&self, _: Request<GetBudgetRequest>) -> Result<Response<GetBudgetResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn sign_in(&self, _: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn sign_typed_data(
        &self,
        _: Request<SignTypedDataRequest>,
    ) -> Result<Response<SignTypedDataResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn list_wallets(
        &self,
        _: Request<ListWalletsRequest>,
    ) -> Result<Response<ListWalletsResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn report_outcome(
        &self,
        _: Request<ReportOutcomeRequest>,
    ) -> Result<Response<ReportOutcomeResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }

    async fn get_decision(
        &self,
        _: Request<GetDecisionRequest>,
    ) -> Result<Response<GetDecisionResponse>, Status> {
        Err(Status::unimplemented("not part of this test"))
    }
}

fn serve(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(SignerServer::new(Refusing))
            .serve_with_incoming(UnixListenerStream::new(listener)),
    );
}

#[tokio::test]
async fn a_missing_socket_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent.sock");
    let error = connect(&path).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("absent.sock"), "{error}");
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_refused() {
    let error = connect(OsStr::from_bytes(b"/tmp/\xff.sock")).await.unwrap_err();
    assert!(matches!(error, ConnectError::PathNotUtf8 { .. }), "{error:?}");
}

#[tokio::test]
async fn a_call_without_the_helper_has_no_header_and_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    serve(&path);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", path.display())).unwrap();
    let mut bare = pursekeeper_api::v1::signer_client::SignerClient::new(endpoint.connect().await.unwrap());
    let status = bare.sign_payment(SignPaymentRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn every_call_carries_the_header() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    serve(&path);
    let mut signer = Signer::new(connect(&path).await.unwrap());
    for id in ["first", "second"] {
        let request = SignPaymentRequest { request_id: id.into(), ..SignPaymentRequest::default() };
        let answer = signer.sign_payment(request).await.unwrap().into_inner().result;
        let Some(Answer::Denied(denied)) = answer else { panic!("{answer:?}") };
        assert_eq!(denied.message, id);
    }
}

#[tokio::test]
async fn a_token_is_read_for_every_call() {
    let dir = tempfile::tempdir().unwrap();
    let (path, token) = (dir.path().join("agent.sock"), dir.path().join("token"));
    serve(&path);
    let way = Connect::unix(&path).token_file(&token).caller("crawler");
    let mut signer = Signer::new(way.open().await.unwrap());
    let unread = signer.sign_payment(SignPaymentRequest::default()).await.unwrap_err();
    assert!(unread.message().contains("token"), "{unread}");
    for text in ["one", "two\n"] {
        std::fs::write(&token, text).unwrap();
        let answer = signer.sign_payment(SignPaymentRequest::default()).await.unwrap().into_inner().result;
        let Some(Answer::Denied(denied)) = answer else { panic!("{answer:?}") };
        assert_eq!(denied.decision_id, format!("Bearer {}|crawler", text.trim()));
    }
    std::fs::write(&token, "a\u{7f}b").unwrap();
    assert!(signer.sign_payment(SignPaymentRequest::default()).await.is_err(), "no header can carry it");
    let mut plain = Signer::new(connect(&path).await.unwrap());
    let answer = plain.sign_payment(SignPaymentRequest::default()).await.unwrap().into_inner().result;
    let Some(Answer::Denied(denied)) = answer else { panic!("{answer:?}") };
    assert_eq!(denied.decision_id, "|");
}

#[test]
fn the_descriptor_set_describes_every_service_with_its_comments() {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut services: Vec<_> =
        set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
    services.sort_unstable();
    assert_eq!(services, ["Audit", "Governance", "Signer"]);
    assert!(set.file.iter().all(|file| file.package() == "pursekeeper.v1"));
    assert!(set.file.iter().all(|file| file.source_code_info.is_some()));
}
