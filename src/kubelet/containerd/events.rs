//! What containerd tells of its own accord: which container's main process ended.

use containerd_client::events::{TaskExit, TaskOom};
use containerd_client::services::v1::SubscribeRequest;
use containerd_client::services::v1::events_client::EventsClient;
use futures_util::{Stream, StreamExt};
use prost::Message;
use tonic::transport::Channel;

/// A container whose state has just changed. The runtime's own record may follow a moment later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    Exited { container_id: String },
    OutOfMemory { container_id: String },
}

/// Subscribes to the ends of tasks. The stream ends when containerd does.
pub async fn subscribe(channel: Channel) -> Result<impl Stream<Item = RuntimeEvent> + Unpin, tonic::Status> {
    let filters = ["exit", "oom"].map(|what| format!("topic==\"/tasks/{what}\",namespace==k8s.io"));
    let request = SubscribeRequest { filters: filters.into() };
    let stream = EventsClient::new(channel).subscribe(request).await?.into_inner();
    Ok(Box::pin(stream.filter_map(async |envelope| {
        let event = envelope.ok()?.event?;
        read(&event.type_url, &event.value)
    })))
}

fn read(type_url: &str, mut value: &[u8]) -> Option<RuntimeEvent> {
    match type_url.rsplit('/').next()? {
        "containerd.events.TaskExit" => {
            let exit = TaskExit::decode(&mut value).ok()?;
            // An exec's end carries the exec's own id.
            (exit.id.is_empty() || exit.id == exit.container_id)
                .then_some(RuntimeEvent::Exited { container_id: exit.container_id })
        }
        "containerd.events.TaskOOM" => {
            let oom = TaskOom::decode(&mut value).ok()?;
            Some(RuntimeEvent::OutOfMemory { container_id: oom.container_id })
        }
        _ => None,
    }
}
