//! The store over a real etcd: several servers, one of which leads; breaks, restarts, compactions.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::etcd_server::EtcdServer;
use super::*;

fn options(port: u16) -> EtcdOptions {
    let endpoints = vec![Endpoint { is_tls: false, host: "127.0.0.1".into(), port }];
    EtcdOptions { endpoints, tls: None, prefix: "/test".into() }
}

async fn open(etcd: Etcd, name: &str) -> (Store, Scope) {
    let scope = Scope::root("test");
    let external = External {
        etcd,
        id: name.bytes().map(u64::from).sum(),
        dir: "/none".into(),
        instance: name.to_owned(),
        clock: SystemClock::shared(),
        history: RingLimits::default(),
    };
    (Store::external(external, &scope).await.expect("a store"), scope)
}

/// The first server of a new cluster, which leads.
async fn store(port: u16, name: &str) -> (Store, Scope) {
    store_below(port, "/test", name).await
}

/// The same, of a cluster of its own in a shared etcd.
pub(super) async fn store_below(port: u16, prefix: &str, name: &str) -> (Store, Scope) {
    let options = EtcdOptions { prefix: prefix.into(), ..options(port) };
    let (store, scope) = open(Etcd::new(&options), name).await;
    leads(&store).await;
    (store, scope)
}

/// Another server of the same cluster.
async fn another(port: u16, name: &str) -> (Store, Scope) {
    open(Etcd::new(&options(port)), name).await
}

async fn leads(store: &Store) {
    let mut role = store.role();
    let leading = role.wait_for(|role| matches!(role, Role::Leader { .. }));
    tokio::time::timeout(Duration::from_secs(30), leading).await.expect("in time").expect("an open store");
}

async fn run(store: &Store, line: &str) -> Outcome {
    store.propose(command(line)).await.expect("an outcome")
}

fn names(store: &Store) -> String {
    let all = KeyRange::all();
    store.state().range(&all).map(|object| object.key().name().to_owned()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_one_server_acknowledged_is_seen_at_another_after_a_barrier() {
    let server = EtcdServer::start();
    let (one, _) = store(server.port, "one").await;
    let (two, _) = another(server.port, "two").await;
    for n in 0..50 {
        run(&one, &format!("create a/{n} 1")).await;
        two.read_barrier().await.unwrap();
        assert!(two.state().get(&key(&format!("a/{n}"))).is_some(), "{n} is missing");
    }
    let deleted = run(&one, "remove a/7").await;
    two.read_barrier().await.unwrap();
    assert!(two.state().get(&key("a/7")).is_none());
    let Outcome::Committed { revision, objects } = deleted else { panic!("not deleted") };
    assert_eq!(objects[0].revision(), revision, "a deleted object is shown as of its deletion");
    let refused = two.propose(command("create a/x 1")).await.unwrap_err();
    assert_eq!(refused, ProposeError::NotLeader { leader: Some(one.id()) });
    assert_eq!(two.members().borrow().voters.len(), 2);
}

#[tokio::test]
async fn a_server_that_stops_lets_another_lead_at_once_and_writes_go_on() {
    let server = EtcdServer::start();
    let (one, scope) = store(server.port, "one").await;
    let (two, _) = another(server.port, "two").await;
    run(&one, "create a/x 1").await;
    let term = one.role().borrow().term();
    one.resign().await;
    assert!(!one.leads());
    assert!(scope.stop(Duration::from_secs(10)).await);
    leads(&two).await;
    assert!(two.role().borrow().term() > term, "terms rise");
    run(&two, "replace a/x 2").await;
    let deposed = two.propose(command("replace a/x 3").in_term(term)).await.unwrap();
    assert!(matches!(deposed, Outcome::Deposed { .. }));
    let mut members = two.members();
    members.wait_for(|members| members.voters == [two.id()]).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_know_yet_that_it_was_deposed_writes_nothing() {
    let server = EtcdServer::start();
    let (one, _) = store(server.port, "one").await;
    run(&one, "create a/x 1").await;
    let term = one.role().borrow().term();
    assert!(
        super::super::etcd::testing::write_in_term(&Etcd::new(&options(server.port)), &command("put a/x 2"), term)
            .await
    );
    assert!(
        !super::super::etcd::testing::write_in_term(&Etcd::new(&options(server.port)), &command("put a/x 3"), term - 1)
            .await
    );
    one.read_barrier().await.unwrap();
    assert!(show_state(&one.state()).ends_with("=2"), "{}", show_state(&one.state()));
}

#[test]
fn a_restarted_server_reads_page_by_page_what_is_there_and_takes_its_place_at_once() {
    let server = EtcdServer::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let first = runtime();
    let before = first.block_on(async {
        let (one, _) = store(server.port, "one").await;
        for n in 0..6 {
            let writes = (0..100).map(|m| format!("create a/{n}-{m} {m}")).collect::<Vec<_>>().join(" & ");
            run(&one, &writes).await;
        }
        show_state(&one.state())
    });
    drop(first); // without a farewell: its lease is still there
    runtime().block_on(async {
        let started = std::time::Instant::now();
        let (again, _) = another(server.port, "one").await;
        leads(&again).await;
        assert!(started.elapsed() < Duration::from_secs(3), "it waited for its own lease: {:?}", started.elapsed());
        let objects = |shown: &str| shown.split_once(": ").map(|(_, objects)| objects.to_owned());
        assert_eq!(objects(&show_state(&again.state())), objects(&before));
    });
}

#[tokio::test]
async fn two_servers_of_one_name_are_not_let_in() {
    let server = EtcdServer::start();
    let (_one, _) = store(server.port, "ab").await;
    let scope = Scope::root("test");
    let etcd = Etcd::new(&options(server.port));
    let (id, clock, history) = (u64::from(b'a') + u64::from(b'b'), SystemClock::shared(), RingLimits::default());
    let external = External { etcd, id, dir: "/none".into(), instance: "other".into(), clock, history };
    assert!(matches!(Store::external(external, &scope).await, Err(ExternalError::Namesake)));
}

#[tokio::test]
async fn objects_that_are_too_large_are_refused_and_large_ones_come_in_parts() {
    let server = EtcdServer::start();
    let (one, _) = store(server.port, "one").await;
    let mut watch = one.watch(KeyRange::all(), one.state().revision()).unwrap();
    let large = "v".repeat(1_400_000);
    for n in 0..4 {
        run(&one, &format!("create a/{n} {large}")).await;
    }
    for n in 0..4 {
        assert_eq!(watch.next().await.unwrap().key().name(), n.to_string());
    }
    let over = one.propose(command(&format!("create a/x {}", "v".repeat(1_572_800)))).await.unwrap_err();
    assert!(matches!(over, ProposeError::Invalid(CommandError::ObjectTooLarge { .. })), "{over:?}");
}

/// A way to etcd that can be cut.
struct Proxy {
    port: u16,
    open: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let open = tokio::sync::watch::Sender::new(true);
        let gate = open.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut state = gate.subscribe();
                if !*state.borrow_and_update() {
                    continue; // and so is closed
                }
                tokio::spawn(async move {
                    let Ok(mut to) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => (),
                        _ = state.wait_for(|open| !open) => (),
                    }
                });
            }
        });
        Self { port, open }
    }
}

#[tokio::test]
async fn a_compaction_that_passed_nothing_by_is_not_noticed_and_one_that_did_ends_watches() {
    let server = EtcdServer::start();
    let proxy = Proxy::to(server.port).await;
    let (one, _) = store(server.port, "one").await;
    run(&one, "create a/x 1").await;
    let (two, _) = another(proxy.port, "two").await;
    two.read_barrier().await.unwrap();
    let etcd = Etcd::new(&options(server.port));
    let mut watch = two.watch(KeyRange::all(), two.state().revision()).unwrap();

    let cut = async |between: &dyn Fn() -> String| {
        proxy.open.send_replace(false);
        let mut health = two.health();
        health.wait_for(|health| matches!(health, Health::Unreachable { .. })).await.unwrap();
        let line = between();
        if !line.is_empty() {
            run(&one, &line).await;
        }
        let now = super::super::etcd::testing::pass_time_and_compact(&etcd).await;
        proxy.open.send_replace(true);
        two.reached(now).await.unwrap();
        health.wait_for(|health| *health == Health::Good).await.unwrap();
    };
    cut(&|| String::new()).await;
    assert_eq!(names(&two), "x");
    run(&one, "create a/y 1").await;
    assert_eq!(watch.next().await.unwrap().key().name(), "y", "the watch goes on");

    cut(&|| "create a/z 1".into()).await;
    assert_eq!(names(&two), "x y z");
    assert_eq!(watch.next().await.unwrap_err(), WatchEnd::TooSlow);
}

#[tokio::test]
async fn while_etcd_is_away_reads_go_on_and_afterwards_everything_does() {
    let mut server = EtcdServer::start();
    let (one, _) = store(server.port, "one").await;
    run(&one, "create a/x 1").await;
    let mut watch = one.watch(KeyRange::all(), one.state().revision()).unwrap();
    server.kill();
    let mut health = one.health();
    health.wait_for(|health| matches!(health, Health::Unreachable { .. })).await.unwrap();
    assert_eq!(names(&one), "x");
    let refused = one.propose(command("create a/y 1")).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, ProposeError::Unreachable { .. }) && said.contains("cannot reach etcd"), "{said}");
    assert!(matches!(one.read_barrier().await, Err(ProposeError::Unreachable { .. })));
    // Longer than a lease lasts: nobody is sure to lead any more.
    let mut role = one.role();
    role.wait_for(|role| !matches!(role, Role::Leader { .. })).await.unwrap();
    server.launch();
    leads(&one).await;
    health.wait_for(|health| *health == Health::Good).await.unwrap();
    run(&one, "create a/y 1").await;
    assert_eq!(watch.next().await.unwrap().key().name(), "y", "the watch goes on");
}

#[tokio::test]
async fn an_etcd_that_went_back_in_time_is_noticed_and_what_it_holds_counts() {
    let mut server = EtcdServer::start();
    let (one, _) = store(server.port, "one").await;
    for n in 0..20 {
        run(&one, &format!("put a/x {n}")).await;
    }
    let mut watch = one.watch(KeyRange::all(), one.state().revision()).unwrap();
    server.kill();
    std::fs::remove_dir_all(server.dir.path().join("data")).unwrap();
    server.launch();
    assert_eq!(watch.next().await.unwrap_err(), WatchEnd::TooSlow);
    leads(&one).await;
    assert_eq!(names(&one), "");
    let made = tokio::time::timeout(Duration::from_secs(20), async {
        while one.propose(command("create a/y 1")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    made.await.expect("it writes again");
    assert_eq!(names(&one), "y");
}

#[tokio::test]
async fn endpoints_that_do_not_answer_are_passed_over() {
    let server = EtcdServer::start();
    let mut options = options(server.port);
    options.endpoints.insert(0, Endpoint { port: 9, ..options.endpoints[0].clone() });
    let (one, _) = open(Etcd::new(&options), "one").await;
    leads(&one).await;
    run(&one, "create a/x 1").await;
}

#[tokio::test]
async fn who_cannot_be_trusted_or_does_not_trust_us_is_told_apart() {
    use crate::security::ca::{Authority, Subject};
    use crate::security::tls;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let now = (SystemClock::shared().wall_nanos() / 1_000_000_000) as i64;
    let authority =
        |name: &str| Authority::open(&at(&format!("{name}.crt")), &at(&format!("{name}.key")), name, now).unwrap();
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let serving = ours.issue(&Subject::server("etcd", vec!["127.0.0.1".into()]), now).unwrap();
    std::fs::write(at("etcd.crt"), &serving.certificate).unwrap();
    std::fs::write(at("etcd.key"), &serving.key).unwrap();
    let flag = |flag: &str, name: &str| format!("--{flag}={}", at(name).display());
    let flags = [flag("cert-file", "etcd.crt"), flag("key-file", "etcd.key"), flag("trusted-ca-file", "ours.crt")];
    let server = EtcdServer::with(&[&flags[..], &["--client-cert-auth".to_owned()]].concat(), true);

    let client = ours.issue(&Subject::client("skiff", ""), now).unwrap();
    let stranger = theirs.issue(&Subject::client("skiff", ""), now).unwrap();
    let ready = async |authority: &Authority, identity: Option<&crate::security::Identity>, is_tls: bool| {
        let tls = Some(tls::client_config(authority.pem(), identity).unwrap());
        let endpoints = vec![Endpoint { is_tls, host: "127.0.0.1".into(), port: server.port }];
        let etcd = Etcd::new(&EtcdOptions { endpoints, tls, prefix: "/t".into() });
        // The alert that refuses a certificate may be lost with the connection that etcd closes behind it.
        let mut told = Ok(());
        for _ in 0..10 {
            told = etcd.ready(Duration::from_secs(2)).await.map_err(|error| error.kind);
            if told != Err(EtcdErrorKind::Lost) {
                break;
            }
        }
        told
    };
    assert_eq!(ready(&ours, Some(&client), true).await, Ok(()));
    assert_eq!(ready(&theirs, Some(&client), true).await, Err(EtcdErrorKind::Untrusted));
    assert_eq!(ready(&ours, None, true).await, Err(EtcdErrorKind::Certificate));
    assert_eq!(ready(&ours, Some(&stranger), true).await, Err(EtcdErrorKind::Certificate));
    assert_eq!(ready(&ours, Some(&client), false).await, Err(EtcdErrorKind::Lost));
    let plain = EtcdServer::start();
    let tls = Some(tls::client_config(ours.pem(), None).unwrap());
    let endpoints = vec![Endpoint { is_tls: true, host: "127.0.0.1".into(), port: plain.port }];
    let etcd = Etcd::new(&EtcdOptions { endpoints, tls, prefix: "/t".into() });
    assert_eq!(etcd.ready(Duration::from_secs(2)).await.unwrap_err().kind, EtcdErrorKind::Tls);
}
