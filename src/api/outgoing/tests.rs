//! Webhooks and API servers of the tests' own: how often they are connected to and by what name, and that no
//! connection of theirs, however it ends, makes a call fail.

use super::rig::{self, Act, Webhook, create, create_twenty, world};
use super::*;
use crate::api::tests::World;
use crate::object::tree::{Tree, TreePath, json};

#[tokio::test]
async fn one_connection_serves_many_calls_until_somebody_else_is_trusted() {
    let (webhook, world) = (Webhook::start(|_, _| Act::Answer).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    create_twenty(&world).await;
    assert_eq!(webhook.counts(), (1, 20));
    webhook.configure(&world, &format!("{}\n", webhook.authority)).await;
    assert_eq!(create(&world, "other").await.0, 201);
    assert_eq!(webhook.counts(), (2, 21));
}

#[tokio::test]
async fn requests_name_the_host_as_the_configuration_does_with_its_port() {
    let (webhook, world) = (Webhook::start(|_, _| Act::Answer).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    assert_eq!(create(&world, "a").await.0, 201);
    webhook.serve_behind_a_service(&world).await;
    let service = json!({"service": {"namespace": "default", "name": "hook", "port": 8443, "path": "/check"}});
    webhook.configure_at(&world, service, &webhook.authority).await;
    assert_eq!(create(&world, "b").await.0, 201);
    assert_eq!(webhook.hosts(), [format!("localhost:{}", webhook.port()), "hook.default.svc:8443".into()]);
}

#[tokio::test]
async fn requests_to_other_api_servers_name_the_address_that_they_are_sent_to() {
    let (webhook, world) = (Webhook::start(|_, _| Act::Answer).await, world().await);
    webhook.serve_a_group(&world).await;
    let mut asked = (503, Tree::Null);
    for _ in 0..1_000 {
        asked = world.send("GET /apis/wardle.example.com/v1/flunders", Tree::Null).await;
        if asked.0 == 200 {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    world.api.scope.cancel();
    assert_eq!((asked.0, asked.1.text("kind")), (200, "AdmissionReview"));
    let hosts = webhook.hosts();
    assert!(hosts.len() > 1 && hosts.iter().all(|host| *host == format!("192.0.2.7:{}", webhook.port())), "{hosts:?}");
}

/// The reason and message of whether the other server is available, as soon as there is one.
async fn availability(world: &World) -> (String, String) {
    for _ in 0..1_000 {
        let at = "GET /apis/apiregistration.k8s.io/v1/apiservices/v1.wardle.example.com";
        let (_, found) = world.send(at, Tree::Null).await;
        if let [condition] = found.items("status.conditions") {
            return (condition.text("reason").into(), condition.text("message").into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("no word of it")
}

#[tokio::test]
async fn another_api_server_is_there_if_one_of_five_answers_and_gone_if_none_does() {
    let fourth_answers = |number, _| if number < 3 { Act::Close } else { Act::Answer };
    let (webhook, world) = (Webhook::start(fourth_answers).await, world().await);
    webhook.serve_a_group(&world).await;
    assert_eq!(availability(&world).await, ("Passed".into(), "all checks passed".into()));
    world.api.scope.cancel();

    let (webhook, world) = (Webhook::start(|_, _| Act::Close).await, rig::world().await);
    webhook.serve_a_group(&world).await;
    let place = format!("https://192.0.2.7:{}/apis/wardle.example.com/v1", webhook.port());
    let message = format!("failing or missing response from {place}: Get \"{place}\": EOF");
    assert_eq!(availability(&world).await, ("FailedDiscoveryCheck".into(), message));
    world.api.scope.cancel();
    assert!(webhook.counts().1 >= 5);
}

#[tokio::test]
async fn a_webhook_that_hangs_up_after_each_answer_is_connected_to_each_time() {
    let (webhook, world) = (Webhook::start(|_, _| Act::AnswerAndClose).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    create_twenty(&world).await;
    assert_eq!(webhook.counts(), (20, 20));
}

#[tokio::test]
async fn what_is_lost_with_a_kept_connection_is_sent_on_a_new_one() {
    let second_closes = |_, of_connection| if of_connection == 1 { Act::Close } else { Act::Answer };
    let (webhook, world) = (Webhook::start(second_closes).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    create_twenty(&world).await;
    assert_eq!(webhook.counts(), (20, 39));
}

#[tokio::test]
async fn a_new_connection_that_is_hung_up_is_an_error_and_not_tried_again() {
    let (webhook, world) = (Webhook::start(|_, _| Act::Close).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    let (code, told) = create(&world, "a").await;
    let expected = format!("failed to call webhook: Post \"{}/check?timeout=1s\": EOF", webhook.url);
    assert!(code == 500 && told.text("message").ends_with(&expected), "{told}");
    assert_eq!(webhook.counts(), (1, 1));
}

#[tokio::test]
async fn a_webhook_that_hangs_is_waited_for_as_long_as_it_says_and_its_connection_not_used_again() {
    let second_hangs = |number, _| if number == 1 { Act::Hang } else { Act::Answer };
    let (webhook, world) = (Webhook::start(second_hangs).await, world().await);
    webhook.configure(&world, &webhook.authority).await;
    assert_eq!(create(&world, "a").await.0, 201);
    let (code, told) = create(&world, "b").await;
    assert!(code == 500 && told.text("message").ends_with(": context deadline exceeded"), "{told}");
    assert_eq!(create(&world, "c").await.0, 201);
    assert_eq!(webhook.counts(), (2, 3));
}

/// Timers see that much time pass; nothing is on its way meanwhile.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed_and_the_scope_does_not_wait_for_them() {
    let (webhook, scope) = (Webhook::start(|_, _| Act::Answer).await, Scope::root("caller"));
    let dial: Dial = Box::new(|_, port| {
        Box::pin(async move { Ok(Box::new(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?) as BoxWire) })
    });
    let authority = webhook.authority.clone();
    let tls: Tls = Box::new(move |_| crate::api::outgoing::trusting(Some(&authority)));
    let pool = Pool::new(scope.clone(), dial, tls);
    let port = webhook.port();
    let peer = Peer { address: "127.0.0.1".into(), port, name: "localhost".into(), trust: String::new() };
    let ask = async || {
        let request = Request::post("/").header("content-length", 2).body("{}".into()).unwrap();
        drop(http_body_util::BodyExt::collect(pool.send(&peer, request).await.unwrap().into_body()).await.unwrap());
    };
    let idle = || pool.0.known().peers.values().map(|terms| terms.idle.len()).sum::<usize>();
    ask().await;
    assert_eq!(idle(), 1);
    later(IDLE_MAX + SWEEP_EVERY).await;
    assert_eq!(idle(), 0);
    ask().await;
    assert_eq!((webhook.counts(), idle()), ((2, 2), 1));
    later(AGE_MAX + SWEEP_EVERY).await;
    assert!(pool.0.known().peers.is_empty() && !pool.0.known().is_swept);
    ask().await;
    assert!(scope.stop(Duration::from_secs(1)).await);
    assert_eq!(idle(), 0);
}
