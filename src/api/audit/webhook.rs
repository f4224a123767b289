//! Events posted to a webhook, as lists, and again after a while when it does not take them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::sink::Writer;
use crate::api::hooks::Hook;

const ATTEMPTS_MAX: u32 = 5;
const BACKOFF_FACTOR: f64 = 1.5;

pub struct Webhook {
    pub hook: Hook,
    /// How long to wait before the second attempt; before each further one half as long again.
    pub backoff: Duration,
}

impl Writer for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn write(&mut self, batch: Vec<Arc<[u8]>>) -> Result<(), String> {
        let body = list(&batch);
        let mut backoff = self.backoff;
        for attempt in 1.. {
            let failed = match self.hook.post(body.clone()).await {
                Ok((code, _)) if code.is_success() => return Ok(()),
                Ok((code, _)) => {
                    (format!("the webhook answered {code}"), code.is_server_error() || code.as_u16() == 429)
                }
                Err(why) => (why.to_string(), true),
            };
            match failed {
                (_, true) if attempt < ATTEMPTS_MAX => tokio::time::sleep(backoff).await,
                (why, _) => return Err(why),
            }
            backoff = backoff.mul_f64(BACKOFF_FACTOR);
        }
        Ok(())
    }
}

fn list(batch: &[Arc<[u8]>]) -> Bytes {
    let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
    for (at, event) in batch.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}\n");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_list() {
        let events: Vec<Arc<[u8]>> = vec![br#"{"a":1}"#[..].into(), br#"{"a":2}"#[..].into()];
        let tree: serde_json::Value = serde_json::from_slice(&list(&events)).unwrap();
        assert_eq!((tree["kind"].as_str(), tree["items"][1]["a"].as_i64()), (Some("EventList"), Some(2)));
    }
}
