//! The container runtime interface, version 1: one method for each call the kubelet makes.
//!
//! Errors keep the runtime's message, which users see in events and container states.

use std::path::PathBuf;
use std::time::Duration;

use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{self as cri, *};
use tonic::transport::Channel;

use crate::object::StringMap;

/// The largest answer taken: a list of every container of a big node.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// How long a call that should be quick may take.
const CALL_LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub enum CriError {
    #[error("cannot connect to the container runtime at {}", path.display())]
    Connect { path: PathBuf, source: tonic::transport::Error },
    /// As upstream prints a failed call: users match on these words.
    #[error("rpc error: code = {} desc = {}", code_name(.0.code()), .0.message())]
    Call(Box<tonic::Status>),
}

impl CriError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Call(status) if status.code() == tonic::Code::NotFound)
    }

    /// The runtime's own words, without the code.
    pub fn message(&self) -> String {
        match self {
            Self::Call(status) => status.message().to_owned(),
            Self::Connect { .. } => self.to_string(),
        }
    }
}

impl From<tonic::Status> for CriError {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// The name Go's gRPC gives a code.
fn code_name(code: tonic::Code) -> String {
    format!("{code:?}")
}

pub type CriResult<T> = Result<T, CriError>;

/// A connection to the runtime; it connects again by itself when the runtime was restarted.
#[derive(Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    channel: Channel,
}

/// Makes the methods that send one message and give back one field of the answer.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($service:ident . $rpc:ident, $request:ident { $($field:ident: $type:ty),* }) -> $answer:ty = $take:expr;)*) => {
        $($(#[$doc])*
        pub async fn $name(&self, $($field: $type),*) -> CriResult<$answer> {
            let mut request = tonic::Request::new($request { $($field: $field.into()),* });
            request.set_timeout(CALL_LIMIT);
            let answer = self.$service.clone().$rpc(request).await?.into_inner();
            Ok($take(answer))
        })*
    };
}

fn done<T>(_: T) {}

impl Cri {
    /// Connects to the unix socket at `path`.
    pub async fn connect(path: PathBuf) -> CriResult<Self> {
        let channel = super::containerd::dial(&path).await.map_err(|source| CriError::Connect { path, source })?;
        let runtime = RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let images = ImageServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { runtime, images, channel })
    }

    /// The connection itself, for what CRI lacks.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    calls! {
        version(runtime.version, VersionRequest { version: &str }) -> VersionResponse = |answer| answer;
        status(runtime.status, StatusRequest { verbose: bool }) -> StatusResponse = |answer| answer;
        stop_sandbox(runtime.stop_pod_sandbox, StopPodSandboxRequest { pod_sandbox_id: &str }) -> () = done;
        remove_sandbox(runtime.remove_pod_sandbox, RemovePodSandboxRequest { pod_sandbox_id: &str }) -> () = done;
        create_container(runtime.create_container, CreateContainerRequest {
            pod_sandbox_id: &str, config: ContainerConfig, sandbox_config: PodSandboxConfig
        }) -> String = |answer: CreateContainerResponse| answer.container_id;
        start_container(runtime.start_container, StartContainerRequest { container_id: &str }) -> () = done;
        remove_container(runtime.remove_container, RemoveContainerRequest { container_id: &str }) -> () = done;
        reopen_log(runtime.reopen_container_log, ReopenContainerLogRequest { container_id: &str }) -> () = done;
        exec(runtime.exec, ExecRequest {
            container_id: &str, cmd: Vec<String>, tty: bool, stdin: bool, stdout: bool, stderr: bool
        }) -> String = |answer: ExecResponse| answer.url;
        attach(runtime.attach, AttachRequest {
            container_id: &str, stdin: bool, tty: bool, stdout: bool, stderr: bool
        }) -> String = |answer: AttachResponse| answer.url;
        port_forward(runtime.port_forward, PortForwardRequest { pod_sandbox_id: &str, port: Vec<i32> })
            -> String = |answer: PortForwardResponse| answer.url;
        update_runtime(runtime.update_runtime_config, UpdateRuntimeConfigRequest { runtime_config: RuntimeConfig }) -> () = done;
        remove_image(images.remove_image, RemoveImageRequest { image: ImageSpec }) -> () = done;
        image_filesystems(images.image_fs_info, ImageFsInfoRequest { }) -> ImageFsInfoResponse = |answer| answer;
    }

    /// Makes and starts a sandbox. Takes as long as the network plugin takes.
    pub async fn run_sandbox(&self, config: PodSandboxConfig, runtime_handler: &str) -> CriResult<String> {
        let mut request =
            tonic::Request::new(RunPodSandboxRequest { config: Some(config), runtime_handler: runtime_handler.into() });
        request.set_timeout(CALL_LIMIT * 2);
        Ok(self.runtime.clone().run_pod_sandbox(request).await?.into_inner().pod_sandbox_id)
    }

    pub async fn sandbox(&self, id: &str) -> CriResult<Option<PodSandboxStatus>> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose: false };
        match self.runtime.clone().pod_sandbox_status(request).await {
            Ok(answer) => Ok(answer.into_inner().status),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// Sandboxes whose labels hold all of `labels`.
    pub async fn sandboxes(&self, labels: &StringMap) -> CriResult<Vec<PodSandbox>> {
        let filter = PodSandboxFilter { label_selector: as_hash(labels), ..Default::default() };
        let request = ListPodSandboxRequest { filter: Some(filter) };
        Ok(self.runtime.clone().list_pod_sandbox(request).await?.into_inner().items)
    }

    /// Containers whose labels hold all of `labels`.
    pub async fn containers(&self, labels: &StringMap) -> CriResult<Vec<cri::Container>> {
        let filter = ContainerFilter { label_selector: as_hash(labels), ..Default::default() };
        let request = ListContainersRequest { filter: Some(filter) };
        Ok(self.runtime.clone().list_containers(request).await?.into_inner().containers)
    }

    pub async fn container(&self, id: &str) -> CriResult<Option<cri::ContainerStatus>> {
        let request = ContainerStatusRequest { container_id: id.into(), verbose: false };
        match self.runtime.clone().container_status(request).await {
            Ok(answer) => Ok(answer.into_inner().status),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// Sends the stop signal, then SIGKILL after `grace_seconds`. A container that is gone is stopped.
    pub async fn stop_container(&self, id: &str, grace_seconds: i64) -> CriResult<()> {
        let grace_seconds = grace_seconds.max(0);
        let mut request = tonic::Request::new(StopContainerRequest { container_id: id.into(), timeout: grace_seconds });
        request.set_timeout(CALL_LIMIT + Duration::from_secs(grace_seconds as u64));
        match self.runtime.clone().stop_container(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
            Err(status) => Err(status.into()),
        }
    }

    /// Runs a command in a container and waits for it, at most `limit`.
    pub async fn exec_sync(&self, id: &str, cmd: &[String], limit: Duration) -> CriResult<ExecSyncResponse> {
        let timeout = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let request = ExecSyncRequest { container_id: id.into(), cmd: cmd.to_vec(), timeout };
        Ok(self.runtime.clone().exec_sync(request).await?.into_inner())
    }

    pub async fn update_resources(&self, id: &str, linux: LinuxContainerResources) -> CriResult<()> {
        let request =
            UpdateContainerResourcesRequest { container_id: id.into(), linux: Some(linux), ..Default::default() };
        self.runtime.clone().update_container_resources(request).await?;
        Ok(())
    }

    pub async fn stats(&self) -> CriResult<Vec<ContainerStats>> {
        let request = ListContainerStatsRequest { filter: None };
        Ok(self.runtime.clone().list_container_stats(request).await?.into_inner().stats)
    }

    pub async fn images(&self) -> CriResult<Vec<Image>> {
        let request = ListImagesRequest { filter: None };
        Ok(self.images.clone().list_images(request).await?.into_inner().images)
    }

    /// The image `name` refers to, if it is on this machine.
    pub async fn image(&self, name: &str) -> CriResult<Option<Image>> {
        let spec = ImageSpec { image: name.into(), ..Default::default() };
        let request = ImageStatusRequest { image: Some(spec), verbose: false };
        match self.images.clone().image_status(request).await {
            Ok(answer) => Ok(answer.into_inner().image),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// The snapshot that holds all layers of an image, which only containerd tells.
    pub async fn image_chain(&self, name: &str) -> CriResult<Option<String>> {
        let spec = ImageSpec { image: name.into(), ..Default::default() };
        let request = ImageStatusRequest { image: Some(spec), verbose: true };
        let info = self.images.clone().image_status(request).await?.into_inner().info;
        let info: crate::object::Tree =
            info.get("info").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Ok(info.get("chainID").and_then(|id| id.as_str()).map(str::to_owned))
    }

    /// Pulls an image and gives back what it is now known by. Takes as long as the network takes.
    pub async fn pull(
        &self,
        name: &str,
        auth: Option<AuthConfig>,
        sandbox_config: Option<PodSandboxConfig>,
    ) -> CriResult<String> {
        let spec = ImageSpec { image: name.into(), ..Default::default() };
        let request = PullImageRequest { image: Some(spec), auth, sandbox_config };
        Ok(self.images.clone().pull_image(request).await?.into_inner().image_ref)
    }
}

fn as_hash(labels: &StringMap) -> std::collections::HashMap<String, String> {
    labels.to_pairs().collect()
}
