//! What drives controllers: they say what should happen, this makes it happen.
//!
//! A [`Controller`] is a row in a table: a pure `reconcile` and what wakes it. The driver keeps a
//! queue of keys, hands each to `reconcile` with a fresh snapshot, executes the [`Plan`] that comes
//! out, and holds the key until the snapshot shows what was committed.

mod driver;
mod execute;
pub mod plan;
mod print;

pub use driver::start;
pub use plan::{Failure, Plan, Told};

use std::sync::Arc;

use crate::client::{Change, Snapshot};
use crate::object::view::CertificateRequestSpec;
use crate::object::{Key, Kind, Timestamp};

/// One controller.
pub struct Controller {
    /// Its service account in `kube-system`, whose rights it uses; or a user named `system:…`.
    pub name: &'static str,
    /// Who its events say reported them.
    pub component: &'static str,
    /// What its keys are. `None` leaves it to `woken_by` which keys there are at all.
    pub kind: Option<&'static Kind>,
    pub woken_by: &'static [Wake],
    pub reconcile: fn(&Snapshot, &Key, &mut Plan),
}

/// What makes a key due, besides changes of the object itself.
pub enum Wake {
    /// A change of an object of this kind wakes its controlling owner, if that is of the
    /// controller's kind.
    OwnerOf(&'static Kind),
    /// A change of an object of this kind wakes the keys that the function finds.
    By(&'static Kind, fn(&Snapshot, &Change) -> Vec<Key>),
    /// As [`Wake::By`], for changes of anything.
    Any(fn(&Snapshot, &Change) -> Vec<Key>),
}

/// What controllers must know of this cluster and cannot read from it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Pod address ranges, one for each IP family; empty if nodes' ranges are given out elsewhere.
    pub cluster_cidrs: Vec<ipnet::IpNet>,
    /// The certificates that clients in the cluster should trust, in PEM.
    pub root_ca: String,
    /// Who signs certificate requests and tokens; nobody where it is none.
    pub signer: Option<SignerRef>,
}

/// Signs certificate requests and tokens.
pub trait Signer: Send + Sync + 'static {
    /// The token that a secret holds for a service account of this uid.
    fn account_token(&self, secret: &Key, account: &str, uid: &str) -> Result<String, String>;

    /// The user's name of the node that a request for a kubelet's client certificate is for; `None` if
    /// it is no such request.
    fn node_of(&self, request: &CertificateRequestSpec) -> Option<String>;

    /// The certificate in PEM, or why it must not be signed; `None` if the signer is not ours.
    fn sign(&self, request: &CertificateRequestSpec, now: Timestamp) -> Option<Result<String, String>>;
}

#[derive(Clone)]
pub struct SignerRef(pub Arc<dyn Signer>);

impl std::ops::Deref for SignerRef {
    type Target = dyn Signer;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for SignerRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}
