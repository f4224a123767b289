//! Puts an image into containerd without a registry: blobs into the content store, then its name.

use containerd_client::services::v1::{
    CreateImageRequest, CreateNamespaceRequest, CreateRequest, DeleteRequest, GetImageRequest, Image as ImageRecord,
    Namespace, WriteAction, WriteContentRequest, content_client::ContentClient, images_client::ImagesClient,
    leases_client::LeasesClient, namespaces_client::NamespacesClient,
};
use containerd_client::types::Descriptor;
use futures_util::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::image::{self, Blob, Image};
use crate::object::StringMap;

/// The containerd namespace that CRI keeps its containers and images in.
pub const NAMESPACE: &str = "k8s.io";

const LEASE: &str = "skiff-import";

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot write blob {digest} into the content store")]
    Write { digest: String, source: Status },
    #[error("cannot create image {name}")]
    Create { name: String, source: Status },
}

/// Makes `image` known as `name`. Does nothing where that name is known with the same content.
pub async fn import(channel: Channel, name: &str, image: &Image) -> Result<(), ImportError> {
    let mut images = ImagesClient::new(channel.clone());
    let known = images.get(scoped(GetImageRequest { name: name.into() })).await;
    let digest_of = |record: ImageRecord| record.target.map(|target| target.digest);
    if let Ok(answer) = known
        && answer.into_inner().image.and_then(digest_of).as_deref() == Some(&image.manifest.digest)
    {
        return Ok(());
    }
    // An existing namespace, or lease left by a crash, serves as well.
    let namespace = Namespace { name: NAMESPACE.into(), labels: Default::default() };
    let _ = NamespacesClient::new(channel.clone()).create(CreateNamespaceRequest { namespace: Some(namespace) }).await;
    let mut leases = LeasesClient::new(channel.clone());
    let _ = leases.create(scoped(CreateRequest { id: LEASE.into(), labels: Default::default() })).await;

    let references = StringMap::from([
        ("containerd.io/gc.ref.content.config".to_owned(), image.config.digest.clone()),
        ("containerd.io/gc.ref.content.l.0".to_owned(), image.layer.digest.clone()),
    ]);
    let blobs = [(&image.layer, StringMap::new()), (&image.config, StringMap::new()), (&image.manifest, references)];
    for (blob, labels) in blobs {
        write(channel.clone(), blob, labels)
            .await
            .map_err(|source| ImportError::Write { digest: blob.digest.clone(), source })?;
    }
    let created = create(&mut images, name, image).await;
    let _ = leases.delete(scoped(DeleteRequest { id: LEASE.into(), sync: false })).await;
    created.map_err(|source| ImportError::Create { name: name.into(), source })
}

async fn create(images: &mut ImagesClient<Channel>, name: &str, image: &Image) -> Result<(), Status> {
    let target = Descriptor {
        media_type: image::MANIFEST_TYPE.into(),
        digest: image.manifest.digest.clone(),
        size: image.manifest.bytes.len() as i64,
        ..Default::default()
    };
    let record = ImageRecord {
        name: name.into(),
        labels: [("io.cri-containerd.image".to_owned(), "managed".to_owned())].into(),
        target: Some(target),
        ..Default::default()
    };
    let request = CreateImageRequest { image: Some(record.clone()), ..Default::default() };
    match images.create(scoped(request)).await {
        Err(status) if status.code() == Code::AlreadyExists => {
            let request =
                containerd_client::services::v1::UpdateImageRequest { image: Some(record), ..Default::default() };
            images.update(scoped(request)).await.map(drop)
        }
        other => other.map(drop),
    }
}

async fn write(channel: Channel, blob: &Blob, labels: StringMap) -> Result<(), Status> {
    let request = WriteContentRequest {
        action: WriteAction::Commit as i32,
        r#ref: format!("skiff-{}", blob.digest),
        total: blob.bytes.len() as i64,
        expected: blob.digest.clone(),
        offset: 0,
        data: blob.bytes.clone(),
        labels: labels.to_pairs().collect(),
    };
    let stream = futures_util::stream::iter([request]);
    let mut answers = match ContentClient::new(channel).write(scoped(stream)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
        Err(status) => return Err(status),
    };
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(_) => (),
            Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// A request in CRI's namespace.
pub fn in_namespace<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let namespace = tonic::metadata::MetadataValue::from_static(NAMESPACE);
    request.metadata_mut().insert("containerd-namespace", namespace);
    request
}

/// A request in CRI's namespace, whose new content the import's lease protects.
fn scoped<T>(message: T) -> Request<T> {
    let mut request = in_namespace(message);
    request.metadata_mut().insert("containerd-lease", tonic::metadata::MetadataValue::from_static(LEASE));
    request
}
