//! Every file that a configuration names, for what confines the process to them.

use std::path::Path;

use super::{AuditConfig, Config, FileConfig, IdentityConfig, Listener, SinkConfig, TlsConfig};
use crate::hardening::Reach;

impl Config {
    /// What is read and what is written, as directories: files are replaced, and links beside them swapped.
    pub(crate) fn reach(&self) -> Reach {
        let Self { policies, shadow_policies, journal, keystore, listeners, identity, audit, .. } = self;
        let mut reach = Reach::default();
        reach.read.extend([policies].into_iter().chain(shadow_policies).cloned());
        reach.reads(&keystore.passphrase_file);
        reach.writes_below(&keystore.dir);
        reach.writes(journal);
        listeners.iter().for_each(|listener| of_listener(listener, &mut reach));
        of_identity(identity, &mut reach);
        of_audit(audit, &mut reach);
        reach
    }
}

fn of_listener(listener: &Listener, reach: &mut Reach) {
    let Listener { path, tls, .. } = listener;
    path.iter().for_each(|path| reach.writes(path));
    if let Some(TlsConfig { certificate, key }) = tls {
        reach.reads(certificate);
        reach.reads(key);
    }
}

fn of_identity(identity: &IdentityConfig, reach: &mut Reach) {
    let IdentityConfig { spiffe, tokens } = identity;
    if let Some(spiffe) = spiffe {
        spiffe.bundle.iter().for_each(|bundle| reach.reads(bundle));
        let socket = spiffe.workload_api.as_deref().and_then(|api| api.strip_prefix("unix://"));
        socket.iter().for_each(|socket| reach.writes(Path::new(socket)));
    }
    for issuer in tokens {
        let of_review = issuer.review.iter().flat_map(|review| review.ca.iter().chain([&review.bearer_file]));
        let files = issuer.jwks.iter().chain(&issuer.ca).chain(&issuer.bearer_file).chain(of_review);
        files.for_each(|file| reach.reads(file));
    }
}

fn of_audit(audit: &AuditConfig, reach: &mut Reach) {
    let AuditConfig { checkpoint, archive, sinks } = audit;
    checkpoint.file.iter().for_each(|file| reach.writes(file));
    archive.dir.iter().for_each(|dir| reach.writes_below(dir));
    for SinkConfig { file, headers_file, ca_file, mask, .. } in sinks {
        if let Some(FileConfig { path, .. }) = file {
            reach.writes(path);
        }
        let keys = mask.iter().map(|mask| &mask.key_file);
        headers_file.iter().chain(ca_file).chain(keys).for_each(|file| reach.reads(file));
    }
}
