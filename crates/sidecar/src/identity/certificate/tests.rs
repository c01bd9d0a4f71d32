//! What a certificate must be to prove who its bearer is.

mod workload_api;

use std::sync::Arc;

use pursekeeper_core::UnixSeconds;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::config::SpiffeConfig;

/// In 2027, when everything that is made here holds.
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ID: &str = "spiffe://prod.example/crawler";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn dated(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2028, 1, 1);
    params
}

fn authority() -> Authority {
    let mut params = dated(CertificateParams::new(Vec::new()).unwrap());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A good SVID, changed.
fn leaf(by: &Authority, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = dated(CertificateParams::new(Vec::new()).unwrap());
    params.subject_alt_names = vec![uri(ID)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
}

fn trust(dir: &tempfile::TempDir, bundle: &str) -> Trust {
    let path = dir.path().join("bundle.pem");
    std::fs::write(&path, bundle).unwrap();
    let config = SpiffeConfig { trust_domain: "prod.example".into(), bundle: Some(path), workload_api: None };
    Trust::open(&config).unwrap()
}

/// The word for a reason.
fn why(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Form => "form",
        CertificateError::Untrusted(_) => "untrusted",
        CertificateError::Uris(_) => "uris",
        CertificateError::Id(_) => "id",
        CertificateError::TrustDomain(_) => "trust domain",
        CertificateError::Usage(_) => "usage",
        CertificateError::Expired => "expired",
        CertificateError::NoAuthorities => "no authorities",
    }
}

#[test]
fn only_an_svid_of_the_trust_domain_says_who_it_is() {
    type Change = Box<dyn FnOnce(&mut CertificateParams)>;
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let trust = trust(&dir, &ours.pem());
    let names = |names: Vec<SanType>| -> Change { Box::new(move |params| params.subject_alt_names = names) };
    let usages =
        |usages: Vec<KeyUsagePurpose>| -> Change { Box::new(move |params| params.key_usages = usages) };
    let table: Vec<(&str, Change, Result<&str, &str>)> = vec![
        ("as it should be", Box::new(|_| {}), Ok(ID)),
        (
            "a DNS name beside it",
            names(vec![SanType::DnsName("a.example".try_into().unwrap()), uri(ID)]),
            Ok(ID),
        ),
        ("no purpose named", Box::new(|params| params.extended_key_usages.clear()), Ok(ID)),
        ("no name at all", names(vec![]), Err("uris")),
        ("a DNS name only", names(vec![SanType::DnsName("a.example".try_into().unwrap())]), Err("uris")),
        ("two URIs", names(vec![uri(ID), uri("spiffe://prod.example/other")]), Err("uris")),
        ("the same URI twice", names(vec![uri(ID), uri(ID)]), Err("uris")),
        ("another URI beside it", names(vec![uri(ID), uri("https://prod.example/crawler")]), Err("uris")),
        ("another scheme", names(vec![uri("https://prod.example/crawler")]), Err("id")),
        ("the trust domain itself", names(vec![uri("spiffe://prod.example")]), Err("id")),
        ("a path that leads up", names(vec![uri("spiffe://prod.example/a/../crawler")]), Err("id")),
        ("another trust domain", names(vec![uri("spiffe://dev.example/crawler")]), Err("trust domain")),
        (
            "a longer trust domain",
            names(vec![uri("spiffe://prod.example.evil/crawler")]),
            Err("trust domain"),
        ),
        ("no key usage", usages(vec![]), Err("usage")),
        ("no digital signature", usages(vec![KeyUsagePurpose::KeyEncipherment]), Err("usage")),
        (
            "may sign certificates",
            usages(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]),
            Err("usage"),
        ),
        (
            "may sign lists of revoked ones",
            usages(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]),
            Err("usage"),
        ),
        (
            "an authority",
            Box::new(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Err("untrusted"),
        ),
        (
            "for servers only",
            Box::new(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            Err("untrusted"),
        ),
        ("expired", Box::new(|params| params.not_after = date_time_ymd(2026, 6, 1)), Err("untrusted")),
        ("of tomorrow", Box::new(|params| params.not_before = date_time_ymd(2027, 6, 1)), Err("untrusted")),
    ];
    for (name, change, expected) in table {
        let chain = [leaf(&ours, change)];
        let found = trust.admit(&chain, NOW).map(|svid| svid.id().to_string());
        assert_eq!(found.as_deref().map_err(why), expected, "{name}: {found:?}");
    }
    let foreign = [leaf(&theirs, |_| {})];
    assert_eq!(trust.admit(&foreign, NOW).map(drop).map_err(|error| why(&error)), Err("untrusted"));
    let carried = [leaf(&theirs, |_| {}), theirs.der().clone()];
    assert!(trust.admit(&carried, NOW).is_err(), "who shows an authority does not make it one");
    assert_eq!(trust.admit(&[], NOW).map(drop).map_err(|error| why(&error)), Err("form"));
    let long = vec![leaf(&ours, |_| {}); 9];
    assert_eq!(trust.admit(&long, NOW).map(drop).map_err(|error| why(&error)), Err("untrusted"));
    let garbage = [CertificateDer::from(vec![0x30, 0x00])];
    assert!(trust.admit(&garbage, NOW).is_err());
}

#[test]
fn a_connection_does_not_outlive_what_made_it_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (authority(), authority());
    let trust = trust(&dir, &before.pem());
    let svid = trust.admit(&[leaf(&before, |_| {})], NOW).unwrap();
    assert!(trust.still(&svid, NOW).is_ok());
    let over = UnixSeconds(u64::try_from(date_time_ymd(2028, 1, 1).unix_timestamp()).unwrap());
    assert!(trust.still(&svid, over).is_ok(), "it holds in its last second");
    assert_eq!(trust.still(&svid, over.plus(1)), Err(CertificateError::Expired));

    let path = dir.path().join("bundle.pem");
    let look = || trust.on_disk().unwrap().look();
    std::fs::write(&path, format!("{}{}", before.pem(), after.pem())).unwrap();
    assert!(look().unwrap());
    assert!(trust.still(&svid, NOW).is_ok(), "the old authority is still there");
    for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, bad).unwrap();
        assert!(look().is_err() && trust.still(&svid, NOW).is_ok(), "{bad}");
    }
    std::fs::write(&path, after.pem()).unwrap();
    assert!(look().unwrap());
    assert!(matches!(trust.still(&svid, NOW), Err(CertificateError::Untrusted(_))));
    assert!(trust.admit(&[leaf(&after, |_| {})], NOW).is_ok());
}

#[test]
fn a_certificate_without_its_key_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let by = authority();
    let make = || {
        let key = KeyPair::generate().unwrap();
        let params = dated(CertificateParams::new(vec!["localhost".to_owned()]).unwrap());
        (params.signed_by(&key, &by).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let put = |first: &str, second: &str| {
        std::fs::write(&certificate, first).unwrap();
        std::fs::write(&key, second).unwrap();
    };
    let config = crate::config::TlsConfig { certificate: certificate.clone(), key: key.clone() };
    let trust = Arc::new(trust(&dir, &by.pem()));
    let open = || Tls::open(&config, trust.clone());
    let (old, new) = (make(), make());
    for (first, second) in [("", old.1.as_str()), (&old.0, ""), (&old.0, &new.1)] {
        put(first, second);
        assert!(open().is_err());
    }
    put(&old.0, &old.1);
    let tls = open().unwrap();
    put(&new.0, &old.1);
    assert!(tls.on_disk().look().is_err(), "half exchanged");
    put(&new.0, &new.1);
    assert!(tls.on_disk().look().unwrap());
}
