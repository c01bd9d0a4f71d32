//! Asking the real sidecar, as an agent passes on what a peer sent.

use prost::Message as _;
use pursekeeper_api::{Channel, Signer, v1};
use pursekeeper_tests::reason;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status};

use crate::case::{Case, Field, Replace};
use crate::challenge::{EURC, Sent};

/// What the sidecar answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Fault(String),
    Denied(v1::Denied),
    Signed(v1::Signed),
    SignedIn(v1::SignedIn),
}

/// The connections of one agent.
pub(crate) struct Agent {
    pub(crate) signer: Signer,
    /// For what no honest client encodes.
    pub(crate) raw: tonic::client::Grpc<Channel>,
}

impl Agent {
    /// Asks for what the case's peer wants. `before` stands before it on the wire.
    pub(crate) async fn ask(&mut self, case: &Case, id: &str, sent: &Sent, before: Option<&Sent>) -> Answer {
        match sent.field {
            Field::Header | Field::Body => {
                let answered = match before {
                    None => self.signer.sign_payment(payment(case, id, sent)).await,
                    Some(before) => {
                        let both = [payment(case, id, before), payment(case, id, sent)];
                        self.both(both.iter().flat_map(|request| request.encode_to_vec()).collect()).await
                    }
                };
                answer(answered, |response| match response.result.unwrap() {
                    v1::sign_payment_response::Result::Signed(signed) => Answer::Signed(signed),
                    v1::sign_payment_response::Result::Denied(denied) => Answer::Denied(denied),
                })
            }
            Field::SignInHeader | Field::SignInExtension => {
                assert!(before.is_none(), "`{}`: sign-ins are sent once", case.name);
                let answered = self.signer.sign_in(sign_in(case, id, sent)).await;
                answer(answered, |response| match response.result.unwrap() {
                    v1::sign_in_response::Result::SignedIn(signed) => Answer::SignedIn(signed),
                    v1::sign_in_response::Result::Denied(denied) => Answer::Denied(denied),
                })
            }
        }
    }

    /// Two messages, one behind the other, are one message in protobuf: of a `oneof`, the last field counts.
    async fn both(&mut self, bytes: Vec<u8>) -> Result<Response<v1::SignPaymentResponse>, Status> {
        self.raw.ready().await.unwrap();
        let path = "/pursekeeper.v1.Signer/SignPayment".parse().unwrap();
        self.raw.unary(Request::new(bytes), path, Raw).await
    }
}

impl Answer {
    /// In a few words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Fault(reason) => format!("fault: {reason}"),
            Self::Denied(denied) => {
                let offers: Vec<&str> = denied.offers.iter().map(|offer| offer.code.as_str()).collect();
                format!("denied: {}, offers: [{}] ({})", denied.code, offers.join(", "), denied.message)
            }
            Self::Signed(signed) => format!("signed: offer {}", signed.offer_index),
            Self::SignedIn(signed) => format!("signed_in: {:?}", signed.message),
        }
    }
}

fn answer<T>(answered: Result<Response<T>, Status>, read: impl FnOnce(T) -> Answer) -> Answer {
    match answered {
        Ok(response) => read(response.into_inner()),
        // The transport gives no reason.
        Err(status) if status.details().is_empty() => Answer::Fault(format!("code {:?}", status.code())),
        Err(status) => Answer::Fault(reason(&status)),
    }
}

fn endpoint(case: &Case) -> Option<v1::Endpoint> {
    let method = case.method.clone().unwrap_or_else(|| "GET".to_owned());
    let mut url = case.url.clone().unwrap_or_else(|| pursekeeper_tests::URL.to_owned());
    if let Some(Replace { from, to, to_hex: None, times }) = &case.url_replace {
        assert!(url.contains(from), "`{}`: `{from}` is not in {url}", case.name);
        url = url.replace(from, &to.as_deref().unwrap_or_default().repeat(*times));
    }
    Some(v1::Endpoint { method, url })
}

fn workflow(case: &Case) -> Option<String> {
    Some(case.workflow.clone().unwrap_or_else(|| "reports".to_owned()))
}

fn payment(case: &Case, id: &str, sent: &Sent) -> v1::SignPaymentRequest {
    use v1::sign_payment_request::Challenge;
    let eip2612 = |nonce: &String| v1::Eip2612 {
        network: "eip155:84532".to_owned(),
        asset: EURC.to_owned(),
        nonce: nonce.clone(),
    };
    v1::SignPaymentRequest {
        request_id: id.to_owned(),
        endpoint: endpoint(case),
        workflow: workflow(case),
        challenge: Some(match sent.field {
            Field::Header => Challenge::PaymentRequired(sent.bytes.clone()),
            Field::Body => Challenge::Body(sent.bytes.clone()),
            Field::SignInHeader | Field::SignInExtension => panic!("`{}` is no payment", case.name),
        }),
        eip2612: case.eip2612_nonce.as_ref().map(eip2612),
        ..Default::default()
    }
}

fn sign_in(case: &Case, id: &str, sent: &Sent) -> v1::SignInRequest {
    use v1::sign_in_request::Challenge;
    v1::SignInRequest {
        request_id: id.to_owned(),
        endpoint: endpoint(case),
        workflow: workflow(case),
        challenge: Some(match sent.field {
            Field::SignInHeader => Challenge::PaymentRequired(sent.bytes.clone()),
            // The API takes text here: what is not UTF-8 cannot be passed at all.
            Field::SignInExtension => Challenge::Extension(String::from_utf8(sent.bytes.clone()).unwrap()),
            Field::Header | Field::Body => panic!("`{}` is no sign-in", case.name),
        }),
        ..Default::default()
    }
}

/// Bytes out, a message in.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = v1::SignPaymentResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = v1::SignPaymentResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        Ok(Some(v1::SignPaymentResponse::decode(buffer).unwrap()))
    }
}
