//! `METHOD URL`, and on a second line what the seller calls the resource: one spelling for each call, and no origin but
//! the one a browser would go to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pursekeeper_core::{Endpoint, METHOD_LEN_MAX, Origin, OriginMatch, URL_LEN_MAX};
use pursekeeper_fuzz::assert_short_error;
use url::{Host, Url};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (call, resource) = text.split_once('\n').map_or((text, None), |(call, rest)| (call, Some(rest)));
    let Some((method, url)) = call.split_once(' ') else { return };
    let endpoint = match Endpoint::parse(method, url) {
        Ok(endpoint) => endpoint,
        Err(error) => return assert_short_error(&error),
    };
    check(&endpoint, method, url);
    let matched = endpoint.compare_origin(resource);
    assert_eq!(matched == OriginMatch::Absent, resource.is_none());
    if let Some(resource) = resource.filter(|_| matched == OriginMatch::Match) {
        assert_goes_to(endpoint.origin(), &Url::parse(resource).unwrap());
    }
});

fn check(endpoint: &Endpoint, method: &str, url: &str) {
    assert!(endpoint.is_known() && endpoint.method() == method && method.len() <= METHOD_LEN_MAX);
    let normalised = endpoint.url();
    assert!(normalised.len() <= URL_LEN_MAX);
    assert!(normalised.is_ascii() && !normalised.contains([' ', '#', '\\']), "{normalised}");
    assert!(!normalised.chars().any(char::is_control), "{normalised:?}");
    // What is recorded is read by the same function.
    assert_eq!(Endpoint::parse(method, normalised).as_ref(), Ok(endpoint));
    assert_eq!(format!("{method} {normalised}"), endpoint.to_string());
    let rest = normalised.strip_prefix(&endpoint.origin().to_string()).unwrap();
    let query = rest.strip_prefix(endpoint.path()).unwrap();
    assert!(endpoint.path().starts_with('/') && !endpoint.path().contains('?'));
    assert!(query.is_empty() || query.starts_with('?'), "{query}");
    assert_eq!(Origin::parse(&endpoint.origin().to_string()).as_ref(), Ok(endpoint.origin()));
    assert_eq!(endpoint.compare_origin(Some(normalised)), OriginMatch::Match);
    // Normalising changes the spelling, not where the call goes.
    for text in [url, normalised] {
        let parsed = Url::parse(text).unwrap();
        assert_goes_to(endpoint.origin(), &parsed);
        let query = parsed.query().map(|query| format!("?{query}")).unwrap_or_default();
        assert!(normalised.ends_with(&query), "{text} became {normalised}");
    }
}

fn assert_goes_to(origin: &Origin, url: &Url) {
    assert_eq!((origin.scheme(), origin.host()), (url.scheme(), url.host_str().unwrap()));
    assert_eq!(Some(origin.port()), url.port_or_known_default());
    assert!(url.username().is_empty() && url.password().is_none(), "{url}");
    let loopback = match url.host().unwrap() {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    assert!(url.scheme() == "https" || url.scheme() == "http" && loopback, "{url}");
}
