//! Who a request's sender is taken for, and when they are refused.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use http::HeaderValue;

use super::*;
use crate::api::authz::{Ask, Authz, Policies, ResourceRef, bootstrap};
use crate::base::clock::ManualClock;
use crate::object::{Object, Revision, tree::json};
use crate::security::ca::{Authority, Subject};
use crate::security::tls;
use crate::security::tokens::{self, Bound, Claims, Ref};

const NOW: i64 = 1_800_000_000;

#[derive(Default)]
struct Shelf(Mutex<BTreeMap<Key, ObjectRef>>);

impl Shelf {
    fn put(&self, resource: &str, namespace: &str, name: &str, mut tree: Tree) {
        let key = Key::of(resource, namespace, name);
        tree.set("metadata.name", name);
        let object = Object::new(key.clone(), Revision(1), serde_json::to_vec(&tree).unwrap().into());
        self.0.lock().unwrap().insert(key, object);
    }

    fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.0.lock().unwrap().remove(&Key::of(resource, namespace, name));
    }
}

impl Objects for Shelf {
    fn get(&self, key: &Key) -> Option<ObjectRef> {
        self.0.lock().unwrap().get(key).cloned()
    }
}

struct World {
    _folder: tempfile::TempDir,
    clients: Authority,
    proxies: Authority,
    key: Arc<TokenKey>,
    shelf: Arc<Shelf>,
    clock: Arc<ManualClock>,
    authn: Authn,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let authority = |name: &str| Authority::open(&at(name), &at(&format!("{name}.key")), name, NOW).unwrap();
    let (clients, proxies) = (authority("clients"), authority("proxies"));
    let key = Arc::new(TokenKey::open(&at("service.key")).unwrap());
    let shelf = Arc::new(Shelf::default());
    let clock = ManualClock::starting_at(i128::from(NOW) * 1_000_000_000);
    let trust = Trust {
        client_ca: clients.der(),
        request_header_ca: proxies.der(),
        token_key: key.clone(),
        issuers: vec![tokens::issuer("cluster.local"), "https://before".into()],
        audiences: vec![tokens::issuer("cluster.local")],
    };
    let authn = Authn::new(trust, shelf.clone(), clock.clone()).unwrap();
    World { _folder: folder, clients, proxies, key, shelf, clock, authn }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

impl World {
    /// The user by headers and by a certificate, as `name [group, …]`, or the refusal's code.
    fn who(&self, lines: &[(&'static str, &str)], certificate: Option<(&Authority, Subject)>) -> String {
        let chain = certificate.map(|(authority, subject)| {
            tls::certificates(&authority.issue(&subject, NOW).unwrap().certificate).unwrap()
        });
        match self.authn.authenticate(&headers(lines), &chain.unwrap_or_default(), "/api") {
            Ok(user) => format!("{} [{}]", user.name, user.groups.join(", ")),
            Err(status) => format!("{} {}", status.code(), status.message),
        }
    }

    fn bearer(&self, token: &str) -> String {
        self.who(&[("authorization", &format!("Bearer {token}"))], None)
    }

    fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let reference = |name: &str, uid: &str| Ref { name: name.into(), uid: uid.into() };
        let mut claims = Claims {
            aud: vec![tokens::issuer("cluster.local")],
            exp: Some(NOW + 3600),
            iss: tokens::issuer("cluster.local"),
            sub: "system:serviceaccount:ns:bot".into(),
            bound: Some(Bound {
                namespace: "ns".into(),
                serviceaccount: reference("bot", "u1"),
                pod: Some(reference("web", "u2")),
                ..Bound::default()
            }),
            ..Claims::default()
        };
        change(&mut claims);
        self.key.sign(&claims).unwrap()
    }

    fn with_bot(self) -> Self {
        self.shelf.put("serviceaccounts", "ns", "bot", json!({"metadata": {"uid": "u1"}}));
        self.shelf.put("pods", "ns", "web", json!({"metadata": {"uid": "u2"}}));
        self
    }
}

const REFUSED: &str = "401 Unauthorized";
const BOT: &str =
    "system:serviceaccount:ns:bot [system:serviceaccounts, system:serviceaccounts:ns, system:authenticated]";

#[test]
fn nothing_presented_is_anonymous_and_something_wrong_is_refused() {
    let world = world();
    assert_eq!(world.who(&[], None), "system:anonymous [system:unauthenticated]");
    assert_eq!(world.bearer("garbage"), REFUSED);
    assert_eq!(world.who(&[("authorization", "Basic YTpi")], None), "system:anonymous [system:unauthenticated]");
    let stranger = Subject::client("eve", "system:masters");
    assert_eq!(world.who(&[], Some((&world.proxies, stranger))), REFUSED);
}

#[test]
fn a_certificate_names_its_user_and_groups_until_it_ends() {
    let world = world();
    let bob = || Subject::client("bob", "ops");
    assert_eq!(world.who(&[], Some((&world.clients, bob()))), "bob [ops, system:authenticated]");
    world.clock.advance(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(world.who(&[], Some((&world.clients, bob()))), REFUSED);
}

#[test]
fn a_remembered_certificate_ends_all_the_same() {
    let world = world();
    let identity = world.clients.issue(&Subject::client("bob", ""), NOW).unwrap();
    let chain = tls::certificates(&identity.certificate).unwrap();
    assert!(world.authn.authenticate(&HeaderMap::new(), &chain, "/api").is_ok());
    world.clock.advance(Duration::from_secs(400 * 24 * 3600));
    assert!(world.authn.authenticate(&HeaderMap::new(), &chain, "/api").is_err());
}

#[test]
fn only_a_front_proxy_may_speak_for_others() {
    let world = world();
    let lines = [("x-remote-user", "ann"), ("x-remote-group", "ops")];
    let proxy = || Subject::client("front-proxy", "");
    assert_eq!(world.who(&lines, Some((&world.proxies, proxy()))), "ann [ops, system:authenticated]");
    assert_eq!(world.who(&lines, Some((&world.clients, proxy()))), "front-proxy [system:authenticated]");
    assert_eq!(world.who(&lines, None), "system:anonymous [system:unauthenticated]");
}

#[test]
fn a_token_lives_as_long_as_what_it_is_bound_to() {
    let world = world().with_bot();
    let token = world.token(|_| ());
    assert_eq!(world.bearer(&token), BOT);
    world.shelf.put("pods", "ns", "web", json!({"metadata": {"uid": "another"}}));
    assert_eq!(world.bearer(&token), REFUSED);
    world.shelf.put("pods", "ns", "web", json!({"metadata": {"uid": "u2"}}));
    world.shelf.remove("serviceaccounts", "ns", "bot");
    assert_eq!(world.bearer(&token), REFUSED);
}

#[test]
fn a_token_is_good_for_its_audience_and_its_time_only() {
    let world = world().with_bot();
    assert_eq!(world.bearer(&world.token(|claims| claims.aud = vec!["vault".into()])), REFUSED);
    let vault = world.token(|claims| claims.aud = vec!["vault".into(), "other".into()]);
    let found = world.authn.token_user(&vault, &["vault".into(), "nobody".into()]).unwrap();
    assert_eq!(found.audiences, ["vault"]);
    let token = world.token(|_| ());
    assert_eq!(world.bearer(&token), BOT);
    world.clock.advance(Duration::from_secs(3700));
    assert_eq!(world.bearer(&token), REFUSED);
}

#[test]
fn a_browser_may_send_its_token_as_a_websocket_protocol() {
    let world = world().with_bot();
    let protocol = format!("{WEBSOCKET_PROTOCOL}{}, v4.channel.k8s.io", BASE64.encode(world.token(|_| ())));
    assert_eq!(world.who(&[("sec-websocket-protocol", &protocol)], None), BOT);
}

#[test]
fn a_bootstrap_token_is_good_while_its_secret_says_so() {
    let world = world();
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let put = |expiration: &str| {
        let data = json!({
            "token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
            "usage-bootstrap-authentication": encode("true"), "expiration": encode(expiration),
            "auth-extra-groups": encode("system:bootstrappers:agents,system:masters"),
        });
        let tree = json!({"type": "bootstrap.kubernetes.io/token", "data": data});
        world.shelf.put("secrets", "kube-system", "bootstrap-token-abcdef", tree);
    };
    put("2999-01-01T00:00:00Z");
    assert_eq!(
        world.bearer("abcdef.0123456789abcdef"),
        "system:bootstrap:abcdef [system:bootstrappers, system:bootstrappers:agents, system:authenticated]"
    );
    assert_eq!(world.bearer("abcdef.0123456789abcdeX"), REFUSED);
    assert_eq!(world.bearer("abcdef.0123456789abcdee"), REFUSED);
    put("2001-01-01T00:00:00Z");
    assert_eq!(world.bearer("abcdef.0123456789abcdef"), REFUSED);
}

#[test]
fn a_former_issuers_tokens_are_still_good() {
    let world = world().with_bot();
    assert_eq!(world.bearer(&world.token(|claims| claims.iss = "https://before".into())), BOT);
    assert_eq!(world.bearer(&world.token(|claims| claims.iss = "https://elsewhere".into())), REFUSED);
}

#[test]
fn a_legacy_token_is_good_until_its_secret_is_marked_and_its_use_is_noted() {
    let world = world().with_bot();
    let token = world.key.sign(&Claims::legacy("ns", "bot", "u1", "bot-token")).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&token);
    let put = |labels: Tree| {
        let tree = json!({"metadata": {"labels": labels}, "data": {"token": encoded}});
        world.shelf.put("secrets", "ns", "bot-token", tree);
    };
    let noted = || world.authn.used.take().len();
    put(json!({}));
    assert_eq!((world.bearer(&token).as_str(), noted()), (BOT, 1));
    put(json!({(legacy::LAST_USED): "2027-01-15"}));
    assert_eq!((world.bearer(&token).as_str(), noted()), (BOT, 0));
    put(json!({(legacy::LAST_USED): "2027-01-13"}));
    assert_eq!((world.bearer(&token).as_str(), noted()), (BOT, 1));
    put(json!({(legacy::INVALID_SINCE): "2027-01-15"}));
    assert_eq!((world.bearer(&token).as_str(), noted()), (REFUSED, 0));
    world.shelf.put("secrets", "ns", "bot-token", json!({"data": {"token": "b3RoZXI="}}));
    assert_eq!(world.bearer(&token), REFUSED);
}

#[test]
fn a_bootstrap_token_is_for_this_api_alone() {
    let world = world();
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data = json!({
        "token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
        "usage-bootstrap-authentication": encode("true"),
    });
    let tree = json!({"type": "bootstrap.kubernetes.io/token", "data": data});
    world.shelf.put("secrets", "kube-system", "bootstrap-token-abcdef", tree);
    let audiences = |asked: &[&str]| {
        let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
        world.authn.token_user("abcdef.0123456789abcdef", &asked).map(|found| found.audiences).ok()
    };
    let own = tokens::issuer("cluster.local");
    assert_eq!(audiences(&[]), Some(vec![own.clone()]));
    assert_eq!(audiences(&["vault", &own]), Some(vec![own]));
    assert_eq!(audiences(&["vault"]), None);
}

#[test]
fn tokens_with_another_algorithm_or_none_are_refused() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let world = world().with_bot();
    let good = world.token(|_| ());
    let payload = good.split('.').nth(1).unwrap();
    let claims: Tree = serde_json::from_slice(&BASE64.decode(payload).unwrap()).unwrap();
    // The public key, as anybody can read it, taken for a shared secret.
    let public = world.key.jwks()["keys"][0]["x"].as_str().unwrap().to_owned();
    let secret = EncodingKey::from_secret(&BASE64.decode(public).unwrap());
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
    assert_eq!(world.bearer(&confused), REFUSED);
    let none = BASE64.encode(r#"{"alg":"none"}"#);
    for unsigned in [format!("{none}.{payload}."), format!("{none}.{payload}.AAAA"), format!("..{payload}")] {
        assert_eq!(world.bearer(&unsigned), REFUSED);
    }
    assert_eq!(world.bearer(&"a".repeat(1_000_000)), REFUSED);
    assert_eq!(world.bearer(&good), BOT);
}

struct Policy(Vec<ObjectRef>);

impl Policies for Policy {
    fn is_related(&self, _: &str, _: &str, _: &str, _: &str) -> bool {
        false
    }

    fn version(&self) -> u64 {
        1
    }

    fn list(&self, resource: &str) -> Vec<ObjectRef> {
        self.0.iter().filter(|object| object.key().resource() == resource).cloned().collect()
    }
}

/// What becomes of bob listing pods in `ns` with these headers, under a policy that is bound to him.
fn acting(rules: &str, lines: &[(&'static str, &str)]) -> String {
    let policy = format!("role r\n{rules}\nbind r user bob");
    let objects = bootstrap::parse(&policy)
        .into_iter()
        .map(|(key, tree)| Object::new(key, Revision(1), serde_json::to_vec(&tree).unwrap().into()));
    let authz = Authz::new(Arc::new(Policy(objects.collect())), &crate::api::metrics::Metrics::new(0));
    let bob = User::named("bob", &[AUTHENTICATED]);
    let at = ResourceRef { resource: "pods", namespace: "ns", ..ResourceRef::default() };
    match impersonate(&authz, &bob, &Ask::resource(&bob, "list", at), &headers(lines)) {
        Ok(user) => format!("{} [{}]", user.name, user.groups.join(", ")),
        Err(status) => status.message,
    }
}

#[test]
fn whoever_may_impersonate_becomes_the_other() {
    let ann = [("impersonate-user", "ann"), ("impersonate-group", "ops")];
    assert_eq!(acting("impersonate core users,groups", &[]), "bob [system:authenticated]");
    assert_eq!(acting("impersonate core users,groups", &ann), "ann [ops, system:authenticated]");
    let bot = [("impersonate-user", "system:serviceaccount:ns:bot")];
    assert_eq!(
        acting("impersonate core serviceaccounts", &bot),
        "system:serviceaccount:ns:bot [system:serviceaccounts, system:serviceaccounts:ns, system:authenticated]"
    );
    let constrained = "impersonate:user-info authentication.k8s.io users\nimpersonate-on:user-info:list core pods";
    assert_eq!(acting(constrained, &[("impersonate-user", "ann")]), "ann [system:authenticated]");
}

#[test]
fn a_refusal_names_the_first_mode_that_applied() {
    assert_eq!(
        acting("get core pods", &[("impersonate-user", "ann")]),
        r#"pods is forbidden: User "bob" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "ns""#
    );
    assert_eq!(
        acting("get core pods", &[("impersonate-uid", "5")]),
        r#"requested &user.DefaultInfo{Name:"", UID:"5", Groups:[]string(nil), Extra:map[string][]string(nil)} without impersonating a user name"#
    );
    let masters = "impersonate:user-info authentication.k8s.io users,groups\nimpersonate-on:user-info:list core pods";
    assert!(
        acting(masters, &[("impersonate-user", "ann"), ("impersonate-group", "system:masters")])
            .contains("impersonating the system:masters group is not allowed")
    );
}
