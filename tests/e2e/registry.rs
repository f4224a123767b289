//! Images from a real registry on loopback, with and without credentials.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::cluster::{Cluster, IMAGE};

const OPEN: &str = "127.0.0.1:25000";
const CLOSED: &str = "127.0.0.1:25001";
/// bcrypt of the password below, as the registry wants it.
const HTPASSWD: &str = "walker:$2b$05$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy";
const USER: &str = "walker:swordfish";

/// Debian's registry, ended when dropped.
struct Registry(Child);

impl Registry {
    fn start(c: &Cluster, address: &str, auth: &str) -> Self {
        let dir = c.scratch(&format!("registry-{}", address.replace([':', '.'], "-")));
        fs::create_dir_all(&dir).unwrap();
        let config = dir.join("config.yml");
        let root = dir.display();
        fs::write(
            &config,
            format!("version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: '{address}'}}\n{auth}"),
        )
        .unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        c.wait("the registry to listen", |_| TcpStream::connect(address).is_ok());
        Self(child)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn push(c: &Cluster, image: &str, user: &[&str]) {
    c.ctr(&["images", "tag", "--force", IMAGE, image]);
    c.ctr(&[&["images", "push", "--plain-http"], user, &[image]].concat());
    c.ctr(&["images", "remove", image]);
}

fn pod(name: &str, image: &str, secret: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  imagePullSecrets: [{secret}]
  containers:
  - {{name: main, image: '{image}', imagePullPolicy: Always, command: [sleep, "3600"]}}
"#
    )
}

pub fn pull(c: &mut Cluster) {
    let _open = Registry::start(c, OPEN, "");
    let htpasswd = c.scratch("htpasswd");
    fs::write(&htpasswd, format!("{HTPASSWD}\n")).unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: walk, path: '{}'}}}}\n", htpasswd.display());
    let _closed = Registry::start(c, CLOSED, &auth);
    let (open, closed) = (format!("{OPEN}/box:1"), format!("{CLOSED}/box:1"));
    push(c, &open, &[]);
    push(c, &closed, &["--user", USER]);

    c.apply("apply -f -", &pod("open", &open, ""));
    c.kubectl("wait --for=condition=Ready pod/open --timeout=60s");
    assert!(c.kubectl("get events").contains("Successfully pulled image"), "the event tells of the pull");

    c.apply("apply -f -", &pod("stranger", &closed, ""));
    let waiting = "get pod stranger -o jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    c.wait("the pull to be refused", |c| ["ErrImagePull", "ImagePullBackOff"].contains(&c.kubectl(waiting).as_str()));
    c.wait("kubectl to say so", |c| c.kubectl("get pods").contains("ImagePullBackOff"));

    c.kubectl(&format!("create secret docker-registry wrong --docker-server={CLOSED} --docker-username=walker --docker-password=herring"));
    c.apply("apply -f -", &pod("impostor", &closed, "{name: wrong}"));
    c.wait("wrong credentials to be refused", |c| {
        c.kubectl("get pods").lines().any(|line| line.starts_with("impostor") && line.contains("Pull"))
    });

    c.kubectl(&format!("create secret docker-registry right --docker-server={CLOSED} --docker-username=walker --docker-password=swordfish"));
    c.apply("apply -f -", &pod("friend", &closed, "{name: right}"));
    c.kubectl("wait --for=condition=Ready pod/friend --timeout=60s");

    c.apply("apply -f -", &pod("nowhere", &format!("{OPEN}/absent:1"), ""));
    c.wait("a missing image to be told of", |c| c.kubectl("describe pod nowhere").contains("not found"));
    c.kubectl("delete pods --all --now");
}
