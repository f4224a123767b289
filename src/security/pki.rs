//! The authorities and certificates of one server, kept in `<data-dir>/server/tls`.
//!
//! Authorities are made once and stay; leaves are made anew when they are due, also while they are in use, or when
//! what they must say has changed. Every file is readable by its owner only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::SecurityError;
use super::ca::{Authority, Subject};
use super::current::Current;
use super::held::Held;
use super::tokens::TokenKey;
use crate::base::fs;

/// The user that the servers of a cluster are for each other.
pub const SERVER_USER: &str = "system:skiff:server";

/// What the servers of a cluster share: whoever holds these files speaks for it.
const SHARED: &[&str] = &[
    "server-ca.crt",
    "server-ca.key",
    "client-ca.crt",
    "client-ca.key",
    "request-header-ca.crt",
    "request-header-ca.key",
    "service.key",
];

/// Everything a server proves itself and others with.
pub struct Pki {
    pub server_ca: Arc<Authority>,
    pub client_ca: Arc<Authority>,
    /// Signs those who may say on whose behalf they ask (aggregated API servers trust it).
    pub request_header_ca: Arc<Authority>,
    pub token_key: Arc<TokenKey>,
    /// What the API listens with.
    pub serving: Held,
    /// The administrator: a member of `system:masters`.
    pub admin: Held,
    /// How the API calls kubelets.
    pub kubelet_client: Held,
    /// How the API calls aggregated API servers.
    pub proxy_client: Held,
    /// How servers of a cluster call each other.
    pub server_client: Held,
    /// What the kubelet of the node in this process listens with, if there is one.
    kubelet: OnceLock<Held>,
    folder: PathBuf,
}

impl Pki {
    /// Opens the folder, making what is missing or due. `sans` are the names of the API's
    /// certificate.
    pub fn open(folder: &Path, sans: Vec<String>, now_secs: i64) -> Result<Self, SecurityError> {
        fs::private_dir(folder)?;
        let at = |name: &str| folder.join(name);
        let authority = |name: &str| {
            // With the time in it: an authority made anew must not look like the old one.
            let common_name = format!("skiff-{name}@{now_secs}");
            let (certificate, key) = (at(&format!("{name}.crt")), at(&format!("{name}.key")));
            Authority::open(&certificate, &key, &common_name, now_secs).map(Arc::new)
        };
        let (server_ca, client_ca) = (authority("server-ca")?, authority("client-ca")?);
        let request_header_ca = authority("request-header-ca")?;
        let leaf = |authority: &Arc<Authority>, name: &'static str, subject: Subject| {
            Held::open(authority, folder, name, subject, now_secs)
        };
        Ok(Self {
            serving: leaf(&server_ca, "serving-kube-apiserver", Subject::server("kube-apiserver", sans))?,
            admin: leaf(&client_ca, "client-admin", Subject::client("system:admin", "system:masters"))?,
            kubelet_client: leaf(
                &client_ca,
                "client-kube-apiserver",
                Subject::client("system:apiserver", "system:masters"),
            )?,
            proxy_client: leaf(&request_header_ca, "client-auth-proxy", Subject::client("system:auth-proxy", ""))?,
            server_client: leaf(&client_ca, "client-skiff-server", Subject::client(SERVER_USER, ""))?,
            token_key: Arc::new(TokenKey::open(&at("service.key"))?),
            server_ca,
            client_ca,
            request_header_ca,
            kubelet: OnceLock::new(),
            folder: folder.to_owned(),
        })
    }

    /// What another server needs to be one of this cluster, by file name.
    pub fn shared(&self) -> Result<BTreeMap<String, String>, SecurityError> {
        let read = |name: &&str| -> Result<(String, String), SecurityError> {
            let text = fs::read_if_there(&self.folder.join(name))?;
            Ok(((*name).to_owned(), text.ok_or_else(|| SecurityError::damaged(*name, "the file is gone"))?))
        };
        SHARED.iter().map(read).collect()
    }

    /// Puts what [`Pki::shared`] gave at another server into `folder`.
    pub fn adopt(folder: &Path, shared: &BTreeMap<String, String>) -> Result<(), SecurityError> {
        fs::private_dir(folder)?;
        for name in SHARED {
            let text = shared.get(*name).ok_or_else(|| SecurityError::damaged(*name, "the server did not send it"))?;
            fs::write_atomic(&folder.join(name), text.as_bytes(), 0o600)?;
        }
        Ok(())
    }

    /// What the kubelet of the node in this process listens with.
    pub fn node(&self, name: &str, sans: Vec<String>, now_secs: i64) -> Result<Arc<Current>, SecurityError> {
        let held = Held::open(&self.server_ca, &self.folder, "serving-kubelet", node_server(name, sans), now_secs)?;
        Ok(self.kubelet.get_or_init(|| held).current().clone())
    }

    /// Every certificate that this process shows, or writes for others to show.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        let always = [&self.serving, &self.admin, &self.kubelet_client, &self.proxy_client, &self.server_client];
        always.into_iter().chain(self.kubelet.get())
    }

    /// By the names of their files.
    pub fn authorities(&self) -> [(&'static str, &Authority); 3] {
        [("server-ca", &self.server_ca), ("client-ca", &self.client_ca), ("request-header-ca", &self.request_header_ca)]
    }
}

/// The user that a node is.
pub fn node_client(name: &str) -> Subject {
    Subject::client(&format!("system:node:{name}"), "system:nodes")
}

/// What a kubelet listens with.
pub fn node_server(name: &str, sans: Vec<String>) -> Subject {
    Subject { organization: "system:nodes".into(), ..Subject::server(&format!("system:node:{name}"), sans) }
}
