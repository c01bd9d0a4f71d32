//! Certificates, authorities and keys that change while the sidecar runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::identity::{FILE_LOOK_INTERVAL, Identities, KeptError, Tls};

/// What is looked at again and again.
pub(super) struct Renewal {
    pub(super) identities: Arc<Identities>,
    pub(super) tls: Vec<Arc<Tls>>,
}

impl Renewal {
    /// Looks, fetches and follows until the sidecar stops.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let fetching = self.identities.issuers().fetch();
        let following = self.identities.trust().cloned();
        let following = following.map(|trust| tokio::spawn(async move { trust.follow().await }));
        let this = Arc::new(self);
        let mut said = BTreeMap::new();
        while !*stopped.borrow() {
            tokio::select! {
                () = tokio::time::sleep(FILE_LOOK_INTERVAL) => {
                    let looking = this.clone();
                    let looked = tokio::task::spawn_blocking(move || looking.look()).await;
                    for (position, (what, result)) in looked.unwrap_or_default().into_iter().enumerate() {
                        tell(&mut said, position, what, result);
                    }
                }
                _ = stopped.changed() => break,
            }
        }
        for task in fetching.into_iter().chain(following) {
            task.abort();
        }
    }

    fn look(&self) -> Vec<(&'static str, Result<bool, KeptError>)> {
        let mut looked = self.identities.look();
        looked.extend(self.tls.iter().map(|tls| tls.look()));
        looked
    }
}

/// Says what became of one file, once.
fn tell(
    said: &mut BTreeMap<usize, String>,
    position: usize,
    what: &'static str,
    result: Result<bool, KeptError>,
) {
    match result {
        Ok(true) => {
            said.remove(&position);
            info!(what, "a new version is in force");
        }
        Ok(false) => {}
        Err(error) => {
            let text = error.to_string();
            if said.get(&position) != Some(&text) {
                warn!(what, %error, "a new version is refused, and the one of before is kept");
                said.insert(position, text);
            }
        }
    }
}
