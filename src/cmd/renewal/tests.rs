//! When certificates are looked at, and what goes on while they are renewed: with a clock that moves, and with
//! certificates that end in a moment, on real sockets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::site::{TestSite, after, get, now_secs};
use super::*;
use crate::base::clock::ManualClock;
use crate::client::remote::Remote;
use crate::cmd::cluster::{Book, Carrier, Member};
use crate::cmd::kubeconfig::Kubeconfig;
use crate::security::pki::{Pki, SERVER_USER};
use crate::security::tls;

const NOW: i64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY_SECS: i64 = 24 * 3_600;
const NOBODY: &str = "";
/// Long enough to be used once, also on a busy machine.
const LIFE: Duration = Duration::from_secs(10);

/// Says what it was told to, and writes down when it was asked.
#[derive(Clone)]
struct Scripted {
    clock: Arc<ManualClock>,
    started: tokio::time::Instant,
    troubles: Vec<Trouble>,
    panics: Arc<AtomicBool>,
    looks: Arc<Mutex<Vec<(Duration, i64)>>>,
}

impl Renewing for Scripted {
    fn look(&self, now_secs: i64) -> BoxFuture<'static, Vec<Trouble>> {
        self.looks.lock().unwrap().push((self.started.elapsed(), now_secs));
        assert!(!self.panics.swap(false, Ordering::SeqCst), "on purpose");
        let troubles = self.troubles.clone();
        Box::pin(async move { troubles })
    }
}

/// When it is looked within two days, and at which time.
async fn looks(troubles: Vec<Trouble>, panics: bool, meanwhile: impl FnOnce(&ManualClock)) -> Vec<(Duration, i64)> {
    let clock = ManualClock::starting_at(i128::from(NOW) * 1_000_000_000);
    let (panics, looks) = (Arc::new(AtomicBool::new(panics)), Arc::default());
    let of = Scripted { clock: clock.clone(), started: tokio::time::Instant::now(), troubles, panics, looks };
    let scope = Scope::root("test");
    let renewal = Renewal { of: of.clone(), clock: of.clock.clone(), node: "n".into(), recorder: None };
    renewal.start(&scope);
    tokio::time::sleep(HOUR / 2).await;
    meanwhile(&clock);
    tokio::time::sleep(48 * HOUR).await;
    assert!(scope.stop(HOUR).await);
    let looks = of.looks.lock().unwrap().clone();
    looks
}

fn trouble(ends_secs: Option<i64>) -> Vec<Trouble> {
    vec![Trouble { reason: "Test", message: "on purpose".into(), ends_secs }]
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_once_an_hour_by_the_clock_of_that_moment() {
    let looks = looks(Vec::new(), false, |clock| clock.advance(1_000 * HOUR)).await;
    assert_eq!(looks.len(), 49);
    assert!(looks.windows(2).all(|two| two[1].0 - two[0].0 >= HOUR), "{looks:?}");
    assert_eq!((looks[0].1, looks[1].1), (NOW, NOW + 1_000 * 3_600));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_is_believed_at_once() {
    for secs in [400 * DAY_SECS, -400 * DAY_SECS] {
        let looks = looks(Vec::new(), false, |clock| clock.step(secs)).await;
        assert_eq!((looks[1].0 - looks[0].0, looks[1].1), (HOUR / 2, NOW + secs));
        assert_eq!(looks[2].0 - looks[1].0, HOUR);
    }
    let looks = looks(Vec::new(), false, |clock| clock.step(30)).await;
    assert_eq!(looks[1].0 - looks[0].0, HOUR, "no news");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_ever_later_and_soon_when_it_is_about_to_end() {
    let hours = |looks: &[(Duration, i64)]| looks.iter().map(|look| look.0.as_secs() / 3_600).collect::<Vec<_>>();
    let far = looks(trouble(Some(NOW + 100 * DAY_SECS)), false, |_| ()).await;
    assert_eq!(hours(&far), [0, 1, 3, 7, 13, 19, 25, 31, 37, 43]);
    let worry = looks(trouble(None), false, |_| ()).await;
    assert_eq!(worry.len(), 49, "nothing is to be tried again");
    let over = looks(trouble(Some(NOW - DAY_SECS)), false, |_| ()).await;
    assert_eq!(over[1].0 - over[0].0, AGAIN_URGENT);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_panics_is_not_the_last() {
    assert!(looks(Vec::new(), true, |_| ()).await.len() > 40);
}

fn server(folder: &Path, now_secs: i64) -> (Arc<Pki>, Carrier) {
    let pki = Arc::new(Pki::open(&folder.join("tls"), vec!["127.0.0.1".into()], now_secs).unwrap());
    let carrier = Carrier::new(Book::new());
    carrier.open(Member { id: "1".into(), ..Member::default() }, &pki).unwrap();
    (pki, carrier)
}

fn kubeconfig(folder: &Path) -> Kubeconfig {
    Kubeconfig { path: folder.join("kubeconfig"), mode: 0o600, url: "https://127.0.0.1:1".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_old_and_new_go_on_when_all_certificates_they_began_with_are_over() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, carrier) = server(folder.path(), now_secs());
    kubeconfig(folder.path()).write(&pki).unwrap();
    let of = OfServer::new(pki.clone(), carrier.clone(), Some(kubeconfig(folder.path())));
    assert_eq!(of.look(now_secs()).await, []);
    pki.held().for_each(|held| held.shorten(LIFE, now_secs()));
    let ends = pki.held().map(|held| held.current().ends_secs()).max().unwrap();

    let scope = Scope::root("test");
    let (site, endpoint) = TestSite::start(&pki, &scope, Box::new(|_| None)).await;
    let address = endpoint.authority();
    let ask = async |path: &str| carrier.post_to(&address, path, Default::default(), 4 * LIFE).await;
    let stranger =
        || Remote::new(endpoint.clone(), [(NOBODY.into(), tls::client_config(pki.server_ca.pem(), None).unwrap())]);
    let shown = pki.server_client.current().identity();
    let stale = tls::client_config(pki.server_ca.pem(), Some(&shown)).unwrap();
    let stale = Remote::new(endpoint.clone(), [(NOBODY.into(), stale)]);
    let old = stranger();

    assert_eq!(ask("/who").await.unwrap(), SERVER_USER);
    assert_eq!(get(&old, NOBODY, "/open").await.0, 200);
    assert_eq!(get(&stale, NOBODY, "/who").await.0, 200);
    let slow = async {
        let watching = get(&old, NOBODY, "/slow");
        let asking = ask("/slow");
        tokio::join!(watching, asking)
    };
    let renewing = async {
        while !site.is_asked_slowly.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(of.look(now_secs()).await, []);
        assert_eq!(ask("/who").await.unwrap(), SERVER_USER, "before the old one is over");
        site.permits.add_permits(2);
        after(ends).await;
    };
    let ((nobody, server), ()) = tokio::join!(slow, renewing);
    assert_eq!(nobody.0, 401, "answered, on the connection that was there");
    assert_eq!(server.unwrap(), SERVER_USER, "asked before, answered after");

    assert_eq!(get(&stale, NOBODY, "/who").await.0, 401, "what was shown before is over");
    assert_eq!(ask("/who").await.unwrap(), SERVER_USER);
    assert_eq!(get(&old, NOBODY, "/open").await.0, 200, "over the old connection");
    assert_eq!(get(&stranger(), NOBODY, "/open").await.0, 200, "over a new one");
    assert!(pki.held().all(|held| held.current().ends_secs() > now_secs() + 364 * DAY_SECS));
    assert_eq!(of.look(now_secs()).await, []);
    scope.stop(LIFE).await;
}

/// The certificate that is due is in the kubeconfig, and it cannot be written for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kubeconfig_gets_the_new_certificate_as_soon_as_it_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, carrier) = server(folder.path(), NOW);
    let kubeconfig = kubeconfig(folder.path());
    kubeconfig.write(&pki).unwrap();
    let of = OfServer::new(pki.clone(), carrier, Some(kubeconfig.clone()));
    let text = || std::fs::read_to_string(&kubeconfig.path).unwrap();
    let first = text();

    let due = NOW + 250 * DAY_SECS;
    std::fs::rename(&kubeconfig.path, folder.path().join("aside")).unwrap();
    std::fs::create_dir(&kubeconfig.path).unwrap();
    let troubles = of.look(due).await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert_eq!((troubles[0].reason, troubles[0].ends_secs), ("KubeconfigNotRenewed", Some(NOW + 365 * DAY_SECS)));
    assert!(troubles[0].message.contains("--write-kubeconfig"), "{troubles:?}");

    std::fs::remove_dir(&kubeconfig.path).unwrap();
    assert_eq!(of.look(due + 3_600).await, []);
    assert_ne!(text(), first);
    assert_eq!(std::fs::metadata(&kubeconfig.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(page(&pki).lines().filter(|line| line.ends_with(&format!(" {}", due + 365 * DAY_SECS))).count(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_renewed_is_told_with_what_to_do_and_the_rest_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, carrier) = server(folder.path(), NOW);
    let of = OfServer::new(pki.clone(), carrier, None);
    std::fs::remove_file(pki.serving.path()).unwrap();
    std::fs::create_dir(pki.serving.path()).unwrap();
    let troubles = of.look(NOW + 250 * DAY_SECS).await;
    let [Trouble { reason: "CertificateNotRenewed", message, ends_secs }] = troubles.as_slice() else {
        panic!("{troubles:?}")
    };
    assert_eq!(*ends_secs, Some(NOW + 365 * DAY_SECS));
    assert!(message.contains("serving-kube-apiserver.crt, which ends at 2028-01-15"), "{message}");
    assert!(message.contains("can be written"), "{message}");
    let page = page(&pki);
    assert!(page.contains("skiff_certificate_renewal_errors_total{name=\"serving-kube-apiserver\"} 1\n"), "{page}");
    assert!(page.contains("skiff_certificate_renewal_errors_total{name=\"client-admin\"} 0\n"), "{page}");
    assert!(pki.server_client.current().ends_secs() > NOW + 600 * DAY_SECS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_are_warned_of_in_their_last_year_once_a_week() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, carrier) = server(folder.path(), NOW);
    let of = OfServer::new(pki.clone(), carrier, None);
    let (early, late) = (NOW + 3_280 * DAY_SECS, NOW + 3_290 * DAY_SECS);
    assert_eq!(of.look(early).await, []);
    let mut warned = Vec::new();
    for look in 1..400 {
        let troubles = of.look(late).await;
        if !troubles.is_empty() {
            assert!(troubles.iter().all(|it| it.reason == "AuthorityEnds" && it.ends_secs.is_none()), "{troubles:?}");
            assert!(troubles[0].message.contains("server-ca ends at") && troubles.len() == 3, "{troubles:?}");
            assert!(troubles[0].message.contains("in 360 days"), "{troubles:?}");
            warned.push(look);
        }
    }
    assert_eq!(warned, [168, 336]);
    let before = pki.authorities().map(|(_, authority)| authority.pem().to_owned());
    let again = Pki::open(&folder.path().join("tls"), Vec::new(), late).unwrap();
    assert_eq!(again.authorities().map(|(_, authority)| authority.pem().to_owned()), before);
}
