//! A KMS v2 plugin: keeps the keys that our keys are encrypted with, and speaks gRPC over a unix socket.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::config::KmsPlugin;
use super::keyfile::Wrapped;
use crate::base::hex::hex;
use crate::security::random_bytes;

const ID_BYTES_MAX: usize = 1024;
const ANNOTATION_BYTES_MAX: usize = 32 << 10;

/// Why a plugin did not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    #[error("KMS plugin {plugin:?} at {socket} does not answer: is it running? {why}")]
    Unreachable { plugin: String, socket: String, why: String },
    #[error("KMS plugin {plugin:?} refuses: {why}")]
    Refused { plugin: String, why: String },
    #[error("KMS plugin {plugin:?} is not well: {why}")]
    Unwell { plugin: String, why: String },
    #[error("KMS plugin {plugin:?} answers against the rules: {why}")]
    Wrong { plugin: String, why: String },
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    healthz: String,
    #[prost(string, tag = "3")]
    key_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DecryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    key_id: String,
    #[prost(map = "string, bytes", tag = "4")]
    annotations: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DecryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    plaintext: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    plaintext: Vec<u8>,
    #[prost(string, tag = "2")]
    uid: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncryptResponse {
    #[prost(bytes = "vec", tag = "1")]
    ciphertext: Vec<u8>,
    #[prost(string, tag = "2")]
    key_id: String,
    #[prost(map = "string, bytes", tag = "3")]
    annotations: HashMap<String, Vec<u8>>,
}

/// A connection, which is made when it is needed and made again when it breaks.
#[derive(Clone)]
pub struct Kms {
    pub plugin: KmsPlugin,
    channel: Channel,
}

impl Kms {
    pub fn new(plugin: KmsPlugin) -> Result<Self, KmsError> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", plugin.socket.display()));
        let endpoint = endpoint.map_err(|error| unreachable(&plugin, error))?;
        let channel = endpoint.connect_timeout(plugin.timeout).connect_lazy();
        Ok(Self { plugin, channel })
    }

    /// The id of the key that the plugin encrypts with now.
    pub async fn status(&self) -> Result<String, KmsError> {
        let status: StatusResponse = self.call("Status", StatusRequest {}).await?;
        if status.healthz != "ok" {
            return Err(KmsError::Unwell { plugin: self.name(), why: status.healthz });
        }
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            return Err(self.wrong(format!("version {:?}, want v2", status.version)));
        }
        self.check_id(&status.key_id)?;
        Ok(status.key_id)
    }

    pub async fn encrypt(&self, secret: &[u8]) -> Result<Wrapped, KmsError> {
        let request = EncryptRequest { plaintext: secret.to_vec(), uid: uid() };
        let answer: EncryptResponse = self.call("Encrypt", request).await?;
        self.check_id(&answer.key_id)?;
        if answer.ciphertext.is_empty() || answer.ciphertext.len() > ID_BYTES_MAX {
            return Err(self.wrong(format!("a ciphertext of {} bytes", answer.ciphertext.len())));
        }
        let size: usize = answer.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > ANNOTATION_BYTES_MAX {
            return Err(self.wrong(format!("annotations of {size} bytes")));
        }
        Ok(Wrapped {
            plugin: self.name(),
            key_id: answer.key_id,
            ciphertext: BASE64.encode(answer.ciphertext),
            annotations: answer.annotations.into_iter().map(|(key, value)| (key, BASE64.encode(value))).collect(),
        })
    }

    pub async fn decrypt(&self, wrapped: &Wrapped) -> Result<Vec<u8>, KmsError> {
        let bytes = |text: &str| BASE64.decode(text).map_err(|_| self.wrong("the stored key is damaged".into()));
        let annotations: BTreeMap<_, _> = wrapped.annotations.iter().collect();
        let annotations = annotations.into_iter().map(|(key, value)| Ok((key.clone(), bytes(value)?)));
        let request = DecryptRequest {
            ciphertext: bytes(&wrapped.ciphertext)?,
            uid: uid(),
            key_id: wrapped.key_id.clone(),
            annotations: annotations.collect::<Result<_, KmsError>>()?,
        };
        let answer: DecryptResponse = self.call("Decrypt", request).await?;
        Ok(answer.plaintext)
    }

    async fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, KmsError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(format!("/v2.KeyManagementService/{method}"));
        let path = path.map_err(|error| unreachable(&self.plugin, error))?;
        let calling = async {
            let mut client = tonic::client::Grpc::new(self.channel.clone());
            client.ready().await.map_err(|error| unreachable(&self.plugin, error))?;
            let codec = tonic_prost::ProstCodec::<Q, A>::default();
            let answer = client.unary(tonic::Request::new(request), path, codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| match status.code() {
                tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
                    unreachable(&self.plugin, status.message())
                }
                code => {
                    KmsError::Refused { plugin: self.name(), why: format!("{method}: {code:?}: {}", status.message()) }
                }
            })
        };
        let late = |_| Err(unreachable(&self.plugin, format!("no answer in {:?}", self.plugin.timeout)));
        tokio::time::timeout(self.plugin.timeout.max(Duration::from_millis(1)), calling).await.unwrap_or_else(late)
    }

    fn check_id(&self, id: &str) -> Result<(), KmsError> {
        match (1..=ID_BYTES_MAX).contains(&id.len()) {
            true => Ok(()),
            false => Err(self.wrong(format!("a key id of {} bytes, want 1 to {ID_BYTES_MAX}", id.len()))),
        }
    }

    fn name(&self) -> String {
        self.plugin.name.clone()
    }

    fn wrong(&self, why: String) -> KmsError {
        KmsError::Wrong { plugin: self.name(), why }
    }
}

fn unreachable(plugin: &KmsPlugin, why: impl std::fmt::Display) -> KmsError {
    let socket = plugin.socket.display().to_string();
    KmsError::Unreachable { plugin: plugin.name.clone(), socket, why: why.to_string() }
}

fn uid() -> String {
    hex(&random_bytes::<16>())
}
