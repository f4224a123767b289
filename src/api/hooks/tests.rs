//! Webhooks of the tests' own, on loopback with TLS: who is asked what, how often, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::authz::conditions::Conditions;
use super::super::authz::config::WebhookConfig;
use super::super::authz::question::Version;
use super::super::authz::{Ask, Authorizer, Chain, Judge, Opinion, ResourceRef};
use super::super::loopback::{Loopback, serve};
use super::super::metrics::Metrics;
use super::super::tests::world;
use super::access::AccessWebhook;
use super::token::{Answer, TokenWebhook};
use super::*;
use crate::base::clock::{Clock, ManualClock};
use crate::object::tree::json;
use crate::object::{FieldErrors, User};

/// Answers reviews with what a function makes of them.
struct Answering {
    kubeconfig: Kubeconfig,
    asked: Arc<AtomicUsize>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    scope: Scope,
}

impl Answering {
    async fn start(answer: impl Fn(&Tree, usize) -> (u16, Tree) + Send + Sync + 'static) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let serving = serve(move |_, body| {
            let turn = count.fetch_add(1, Ordering::SeqCst);
            let (code, said) = answer(&serde_json::from_slice(body).unwrap(), turn);
            (code, said.to_string())
        });
        let (Loopback { url, authority }, working) = serving.await;
        let scope = Scope::root("webhook");
        scope.spawn("webhook", working);
        let server = format!("{url}/review");
        let kubeconfig = Kubeconfig { server, authorities: Some(authority), identity: None, token: None };
        let clock = ManualClock::starting_at(0);
        Self { kubeconfig, asked, clock, metrics: Arc::new(Metrics::new(0)), scope }
    }

    fn hook(&self) -> Hook {
        Hook::new(&self.kubeconfig, &self.scope, Duration::from_secs(5), self.clock.clone()).unwrap()
    }

    fn tokens(&self, ttl_secs: u64) -> TokenWebhook {
        TokenWebhook::new(self.hook(), "v1", Duration::from_secs(ttl_secs), self.metrics.clone(), self.clock.clone())
    }

    fn access(&self, fails_closed: bool, condition: &str) -> AccessWebhook {
        let conditions: Vec<Tree> = condition.split('\n').map(|one| json!({"expression": one})).collect();
        let conditions = if condition.is_empty() { Vec::new() } else { conditions };
        let mut errors = FieldErrors::default();
        let conditions = Conditions::read(&json!({"matchConditions": conditions}), "", &mut errors);
        assert!(errors.is_empty(), "{}", errors.message());
        let config = WebhookConfig {
            kubeconfig: String::new(),
            authorized_ttl: Duration::from_secs(300),
            unauthorized_ttl: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            version: Version::V1,
            fails_closed,
            conditions,
        };
        AccessWebhook::new("w", config, self.hook(), self.metrics.clone(), self.clock.clone())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// What a webhook says of `user` reading pods, in one word and with its reason or error.
async fn said(webhook: &AccessWebhook, user: &str) -> String {
    let user = User::named(user, &[]);
    let at = ResourceRef { resource: "pods", version: "v1", namespace: "ns", ..ResourceRef::default() };
    match webhook.judge(&Ask::resource(&user, "get", at)).await {
        Opinion::Allowed(reason) => format!("allowed {reason}"),
        Opinion::Denied { reason, error } => format!("denied {reason}{}", error.unwrap_or_default()),
        Opinion::None { reason, error } => format!("nothing {reason}{}", error.unwrap_or_default()),
    }
}

fn by_name(review: &Tree, _: usize) -> (u16, Tree) {
    let status = match review.text("spec.user") {
        "ann" => json!({"allowed": true, "reason": "a friend"}),
        "bob" => json!({"allowed": false, "denied": true, "reason": "not him"}),
        "both" => json!({"allowed": true, "denied": true}),
        _ => json!({"allowed": false, "reason": "who?"}),
    };
    (201, json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": status}))
}

#[tokio::test]
async fn yes_no_and_no_opinion_are_told_apart() {
    let server = Answering::start(by_name).await;
    let webhook = server.access(false, "");
    assert_eq!(said(&webhook, "ann").await, "allowed a friend");
    assert_eq!(said(&webhook, "bob").await, "denied not him");
    assert_eq!(said(&webhook, "eve").await, "nothing who?");
    let both = "denied webhook subject access review returned both allow and deny response";
    assert_eq!(said(&webhook, "both").await, both);
}

#[tokio::test]
async fn answers_are_believed_for_their_time_and_a_no_for_less() {
    let server = Answering::start(by_name).await;
    let webhook = server.access(false, "");
    for user in ["ann", "eve", "ann", "eve"] {
        said(&webhook, user).await;
    }
    assert_eq!(server.asked(), 2);
    server.clock.advance(Duration::from_secs(31));
    said(&webhook, "ann").await;
    said(&webhook, "eve").await;
    assert_eq!(server.asked(), 3);
    server.clock.advance(Duration::from_secs(300));
    said(&webhook, "ann").await;
    assert_eq!(server.asked(), 4);
    let page = server.metrics.render();
    let line = "apiserver_authorization_webhook_evaluations_total{name=\"w\",result=\"success\"} 4\n";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn a_webhook_that_fails_leaves_it_to_others_or_denies() {
    let server = Answering::start(|_, _| (403, json!("go away"))).await;
    let open = said(&server.access(false, ""), "ann").await;
    assert!(open.starts_with("nothing Post \"https://localhost:") && open.ends_with("\"go away\""), "{open}");
    let closed = said(&server.access(true, ""), "ann").await;
    assert!(closed.starts_with("denied Post \""), "{closed}");
    let page = server.metrics.render();
    let line = "apiserver_authorization_webhook_evaluations_fail_open_total{name=\"w\",result=\"error\"} 1\n";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn what_fails_in_passing_is_asked_again() {
    let server =
        Answering::start(|review, turn| if turn == 0 { (500, json!("oops")) } else { by_name(review, turn) }).await;
    assert_eq!(said(&server.access(true, ""), "ann").await, "allowed a friend");
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_review_is_a_failure() {
    let server = Answering::start(|_, _| (200, json!({"kind": "Pod", "status": {"allowed": true}}))).await;
    assert_eq!(said(&server.access(true, ""), "ann").await, "denied the answer is no SubjectAccessReview but \"Pod\"");
}

#[tokio::test]
async fn conditions_keep_requests_from_the_webhook() {
    let server = Answering::start(by_name).await;
    let webhook = server.access(true, "request.user != 'ann'");
    assert_eq!((said(&webhook, "ann").await.as_str(), server.asked()), ("nothing ", 0));
    assert_eq!(said(&webhook, "bob").await, "denied not him");
    let broken = server.access(true, "request.nonResourceAttributes.path == '/'");
    assert!(said(&broken, "ann").await.starts_with("denied cel evaluation error"));
    let page = server.metrics.render();
    for name in ["exclusions_total", "evaluation_errors_total"] {
        let line = format!("apiserver_authorization_match_condition_{name}{{type=\"Webhook\",name=\"w\"}} 1\n");
        assert!(page.contains(&line), "{page}");
    }
}

fn by_token(review: &Tree, _: usize) -> (u16, Tree) {
    let status = match review.text("spec.token") {
        "good" => {
            json!({"authenticated": true, "user": {"username": "ann", "uid": "7", "groups": ["g"], "extra": {"k": ["v"]}}})
        }
        "theirs" => json!({"authenticated": true, "user": {"username": "ann"}, "audiences": ["theirs"]}),
        "late" => json!({"authenticated": false, "error": "token expired"}),
        _ => json!({"authenticated": false}),
    };
    (200, json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}))
}

#[tokio::test]
async fn a_token_is_somebodys_for_an_audience() {
    let server = Answering::start(by_token).await;
    let (webhook, api) = (server.tokens(120), ["api".to_owned()]);
    let user = |answer: Result<Answer, String>| match answer.unwrap() {
        Answer::User(user, audiences) => format!("{} {:?} {:?} {audiences:?}", user.name, user.groups, user.extra),
        Answer::Nobody(why) => format!("nobody {why}"),
    };
    let good = webhook.ask("good", &api, &api).await;
    assert_eq!(user(good), r#"ann ["g"] {"k": ["v"]} ["api"]"#);
    assert_eq!(user(webhook.ask("theirs", &api, &api).await), "nobody ");
    let theirs = webhook.ask("theirs", &["theirs".to_owned()], &api).await;
    assert_eq!(user(theirs), r#"ann [] {} ["theirs"]"#);
    assert_eq!(user(webhook.ask("bad", &api, &api).await), "nobody ");
    // What was told with a reason may change, the rest is remembered.
    for _ in 0..2 {
        assert_eq!(user(webhook.ask("late", &api, &api).await), "nobody token expired");
        webhook.ask("good", &api, &api).await.unwrap();
        webhook.ask("bad", &api, &api).await.unwrap();
    }
    assert_eq!(server.asked(), 6);
    server.clock.advance(Duration::from_secs(120));
    webhook.ask("good", &api, &api).await.unwrap();
    assert_eq!(server.asked(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_let_in_and_kept_out_by_webhooks() {
    let (tokens, access) = (Answering::start(by_token).await, Answering::start(by_name).await);
    let world = world().await;
    assert!(world.api.authn.webhook.set(tokens.tokens(120)).is_ok());
    let judge: Arc<dyn Judge> = Arc::new(access.access(false, ""));
    let rbac = ("rbac".to_owned(), Authorizer::Rbac);
    world.api.authz.follow(Chain::of([("w".to_owned(), Authorizer::Webhook(judge)), rbac], &world.api.metrics));

    let as_token = |token| [("authorization", format!("Bearer {token}"))];
    let send = |line, body, token| {
        let (world, headers) = (&world, as_token(token));
        async move { world.send_as_nobody(line, body, &[(headers[0].0, &headers[0].1)]).await }
    };
    assert_eq!(send("GET /api/v1/namespaces/default/configmaps", Tree::Null, "good").await.0, 200);
    assert_eq!(send("GET /api/v1/namespaces/default/configmaps", Tree::Null, "bad").await.0, 401);
    // The webhook may everything; what escalates is asked from within, where nobody waits otherwise.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    });
    let (code, told) = send("POST /apis/rbac.authorization.k8s.io/v1/clusterroles", role, "good").await;
    assert_eq!(code, 201, "{told}");
    let review = |user: &str| {
        let at = json!({"verb": "get", "resource": "pods"});
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": at}})
    };
    const REVIEWS: &str = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
    let (_, told) = world.send(REVIEWS, review("bob")).await;
    assert_eq!(told["status"], json!({"allowed": false, "denied": true, "reason": "not him"}));
    let (_, told) = world.send(REVIEWS, review("both")).await;
    assert_eq!(
        told["status"]["evaluationError"],
        json!("webhook subject access review returned both allow and deny response")
    );
    let page = world.api.metrics.render();
    let line = "apiserver_authorization_decisions_total{type=\"Webhook\",name=\"w\",decision=\"denied\"} 2\n";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so() {
    let mut server = Answering::start(by_name).await;
    server.kubeconfig.server = "https://localhost:1/review".into();
    let told = said(&server.access(true, ""), "ann").await;
    assert!(told.contains("dial tcp localhost:1: "), "{told}");
    assert_eq!(server.clock.elapsed(), Duration::ZERO);
}
