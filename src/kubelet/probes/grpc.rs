//! The standard gRPC health check.

use std::time::Duration;

use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use crate::base::address;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

/// `Ok` if the service says that it serves; `Err` says what it says else.
pub async fn check(host: &str, port: u16, service: &str, limit: Duration) -> Result<(), String> {
    let address = address::join(host, port);
    let run = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| format!("error: failed to connect service at {address:?}: {error}"))?;
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|error| error.to_string())?;
        let request = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
        match client.unary(request, path, codec).await {
            Ok(answer) if answer.get_ref().status == SERVING => Ok(()),
            Ok(answer) => {
                let name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
                let status = name.get(answer.get_ref().status as usize).unwrap_or(&"UNKNOWN");
                Err(format!("service unhealthy (responded with {status:?})"))
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => Err(format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                status.message()
            )),
            Err(status) => Err(format!("error: health rpc probe failed: {}", status.message())),
        }
    };
    let seconds = limit.as_secs();
    tokio::time::timeout(limit, run)
        .await
        .unwrap_or_else(|_| Err(format!("timeout: health rpc did not complete within {seconds}s")))
}
