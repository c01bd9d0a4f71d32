//! One call of a person to a seller, and the answer handed over.

use std::io::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use pursekeeper_core::Endpoint;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::{Map, Value};

use super::Exit;
use crate::http::{self, Call};
use crate::output::Output;

/// Longest body that is printed as part of a JSON object, in bytes. Without `--output json` there is no limit.
const JSON_BODY_LEN_MAX: usize = 16 * 1024 * 1024;
/// Longest text of a seller that is shown, in characters.
const SHOWN_LEN_MAX: usize = 200;

/// What is called, and for whom.
#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// What to fetch.
    #[arg(value_parser = url)]
    pub(super) url: Url,
    /// The HTTP method; GET, or POST with --data.
    #[arg(short = 'X', long, value_parser = method)]
    pub(super) method: Option<Method>,
    /// A header to send; repeat it for more.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body to send. Its content type is application/json if it is JSON, else application/octet-stream, unless a
    /// --header says otherwise.
    #[arg(short, long, value_name = "BODY", allow_hyphen_values = true)]
    pub(super) data: Option<String>,
    /// The workflow it is for; needed only when the agent works for several.
    #[arg(long)]
    pub(super) workflow: Option<String>,
    /// The wallet that signs; needed only when the workflow has several.
    #[arg(long)]
    pub(super) wallet: Option<String>,
    /// Names this request: the same id again sends the same signature again, never a second one. A new one each time
    /// unless given.
    #[arg(long, value_name = "ID")]
    pub(super) request_id: Option<String>,
}

impl CallArgs {
    /// The call, or why the sidecar would refuse to judge it: then it is not made either.
    pub(super) fn read(&self) -> anyhow::Result<Call> {
        let call = self.call();
        Endpoint::parse(call.method.as_str(), call.url.as_str())?;
        Ok(call)
    }

    /// The id given, or one that nobody used before.
    pub(super) fn request_id(&self, prefix: &str) -> anyhow::Result<String> {
        self.request_id.clone().map_or_else(|| fresh_id(prefix), Ok)
    }

    fn call(&self) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let body = self.data.as_ref().map(|data| data.clone().into_bytes());
        if let Some(body) = &body
            && !headers.contains_key(CONTENT_TYPE)
        {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let content_type = if is_json { "application/json" } else { "application/octet-stream" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let default = if body.is_some() { Method::POST } else { Method::GET };
        let method = self.method.clone().unwrap_or(default);
        Call { method, url: self.url.clone(), headers, body }
    }
}

/// Hands over what was answered. `beside` is what programs are told besides status and body.
pub(super) async fn deliver(
    mut response: Response,
    beside: Map<String, Value>,
    output: Output,
) -> anyhow::Result<Exit> {
    let status = response.status();
    if output.is_json() {
        let body = http::read(response, JSON_BODY_LEN_MAX).await?;
        output.json(&as_json(status, &body, beside))?;
    } else {
        let mut stdout = std::io::stdout().lock();
        while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
            stdout.write_all(&chunk)?;
        }
        stdout.flush()?;
    }
    Ok(if status.is_success() { Exit::Done } else { Exit::Failed })
}

/// Says on standard error that the seller did not deliver, and where it points to.
pub(super) fn say_refused(response: &Response) {
    eprintln!("the seller answered {}", response.status());
    if let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()) {
        eprintln!("  it points to {}; ask for that yourself", printable(location));
    }
}

fn as_json(status: StatusCode, body: &[u8], beside: Map<String, Value>) -> Value {
    let (field, body) = match std::str::from_utf8(body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(body)),
    };
    let mut answer = beside;
    answer.insert("status".to_owned(), status.as_u16().into());
    answer.insert(field.to_owned(), body.into());
    Value::Object(answer)
}

/// An id nobody used before.
fn fresh_id(prefix: &str) -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(format!("{prefix}-{}", hex::encode(bytes)))
}

/// A stranger's text without what could move the cursor or change colours.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_LEN_MAX).collect()
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .map_err(|error| format!("{error}: write a whole URL such as https://api.example.com/weather"))
}

fn method(text: &str) -> Result<Method, String> {
    text.to_ascii_uppercase().parse().map_err(|_| "not an HTTP method".to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `name: value`")?;
    let name = name.trim().parse().map_err(|_| format!("`{}` is not the name of a header", name.trim()))?;
    // The value may be a secret and is not repeated.
    let value =
        value.trim().parse().map_err(|_| format!("the value of `{name}` cannot stand in a header"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        call: CallArgs,
    }

    fn parse(args: &[&str]) -> Result<CallArgs, clap::Error> {
        let words = ["call"].iter().chain(args);
        Command::try_parse_from(words).map(|command| command.call)
    }

    #[test]
    fn what_is_no_call_is_a_wrong_command_line() {
        for args in [
            &[][..],
            &["/weather"],
            &["api.example.com"],
            &["https://a.example", "-X", "G T"],
            &["https://a.example", "-H", "no colon"],
            &["https://a.example", "-H", "two words: x"],
            &["https://a.example", "-H", "a: line\nbreak"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
        assert!(parse(&["http://a.example"]).unwrap().read().is_err(), "insecure");
    }

    #[test]
    fn the_rest_follows_from_what_is_given() {
        let table: [(&[&str], &str, Option<&str>); 6] = [
            (&[], "GET", None),
            (&["-X", "delete"], "DELETE", None),
            (&["-d", r#"{"a":1}"#], "POST", Some("application/json")),
            (&["-d", "a=1"], "POST", Some("application/octet-stream")),
            (&["-d", "-1", "-X", "PUT"], "PUT", Some("application/json")),
            (&["-d", "a=1", "-H", "Content-Type: text/plain"], "POST", Some("text/plain")),
        ];
        for (args, method, content_type) in table {
            let call = parse(&[&["https://a.example/x"], args].concat()).unwrap().call();
            assert_eq!(call.method.as_str(), method);
            let sent = call.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
            assert_eq!((sent, call.body.is_some()), (content_type, content_type.is_some()), "{args:?}");
        }
    }

    #[test]
    fn an_id_is_drawn_anew_and_accepted_by_the_gate() {
        let (one, two) = (fresh_id("pay").unwrap(), fresh_id("pay").unwrap());
        assert_ne!(one, two);
        assert!(pursekeeper_core::RequestId::parse(&one).is_ok());
    }

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        let beside = || Map::from_iter([("paid".to_owned(), Value::Null)]);
        let of = |body: &[u8]| as_json(StatusCode::OK, body, beside());
        assert_eq!((&of(b"a")["body"], &of(b"a")["paid"]), (&json!("a"), &Value::Null));
        assert_eq!((&of(b"\xff")["body_base64"], of(b"\xff").get("body")), (&json!("/w=="), None));
    }

    #[test]
    fn a_seller_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\r\nc"), "a[31mbc");
        assert_eq!(printable(&"x".repeat(1000)).len(), SHOWN_LEN_MAX);
    }
}
