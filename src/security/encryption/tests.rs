//! Keys come and go, and what was sealed can be opened all the time.

use super::*;

fn config(provider: &str) -> Option<Config> {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [configmaps]\n  providers: [{provider}]\n"
    );
    Some(Config::parse(&text).unwrap())
}

#[test]
fn what_was_sealed_opens_after_every_change_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let ring = Keyring::open(file.clone()).unwrap();
    assert!(!ring.seal().covers("secrets") && !file.exists(), "nothing is encrypted unless somebody says so");
    ring.begin(1).unwrap();
    let mut sealed = Vec::new();
    let mut seal_one = |ring: &Arc<Keyring>| {
        let one = ring.seal().seal("secrets", b"hunter2", b"here").unwrap();
        sealed.push(one);
        sealed.clone()
    };
    seal_one(&ring);
    let first = ring.seal().generation();
    ring.rotate(2).unwrap();
    assert_ne!(ring.seal().generation(), first);
    seal_one(&ring);
    let frozen = ring.seal().now();
    ring.disable().unwrap();
    assert!(frozen.covers("secrets") && !ring.seal().covers("secrets"));
    assert!(matches!(ring.rotate(3), Err(EncryptionError::Disabled)));
    ring.enable(4).unwrap();
    let all = seal_one(&ring);
    ring.begin(5).unwrap();
    let again = Keyring::open(file).unwrap();
    assert_eq!(again.seal().generation(), ring.seal().generation());
    for one in &all {
        assert_eq!(again.seal().open(one, b"here").unwrap(), b"hunter2");
    }
    let stranger = Keyring::open(folder.path().join("other.json")).unwrap();
    let error = stranger.seal().open(&all[0], b"here").unwrap_err().to_string();
    assert!(error.contains("\"skiff:1-"), "{error}");
    assert!(stranger.adopt(&again.text()).unwrap() && !stranger.adopt(&again.text()).unwrap());
    assert_eq!(stranger.seal().open(&all[1], b"here").unwrap(), b"hunter2");
}

#[tokio::test]
async fn a_file_of_rules_takes_over_and_the_keys_stay_readable() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Keyring::open(folder.path().join("keys.json")).unwrap();
    ring.begin(1).unwrap();
    let old = ring.seal().seal("secrets", b"a", b"").unwrap();
    ring.configure(
        config("{secretbox: {keys: [{name: k, secret: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=}]}}"),
        1,
        false,
    )
    .await
    .unwrap();
    assert!(ring.seal().covers("configmaps") && !ring.seal().covers("secrets"));
    assert!(matches!(ring.rotate(2), Err(EncryptionError::Configured)));
    let new = ring.seal().seal("configmaps", b"b", b"").unwrap();
    ring.configure(config("{identity: {}}"), 2, false).await.unwrap();
    assert_eq!(ring.seal().generation(), 0);
    assert_eq!(
        (ring.seal().open(&old, b"").unwrap(), ring.seal().open(&new, b"").unwrap()),
        (b"a".to_vec(), b"b".to_vec())
    );
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_named_and_nothing_is_left_unsealed_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let ring = Keyring::open(folder.path().join("keys.json")).unwrap();
    ring.begin(1).unwrap();
    let plugin = "{kms: {apiVersion: v2, name: vault, endpoint: 'unix:///nowhere/kms.sock', timeout: 200ms}}";
    let error = ring.configure(config(plugin), 1, false).await.unwrap_err().to_string();
    assert!(error.contains("\"vault\" at /nowhere/kms.sock does not answer"), "{error}");
    assert!(ring.seal().covers("secrets"), "what counted before counts on");
}
