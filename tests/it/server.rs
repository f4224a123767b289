//! A server of its own for a test: the real program, without a node, on a free port.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with the test.
pub struct Server {
    dir: tempfile::TempDir,
    port: u16,
    name: String,
    args: Vec<String>,
    process: Option<Child>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more on its command line.
    pub async fn start_with(args: &[&str]) -> Self {
        let args: Vec<String> = ["--bind-address=127.0.0.1"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        Self::with("it", &args).await
    }

    /// A server of this name, with more flags, that others can join.
    pub async fn with(name: &str, args: &[String]) -> Self {
        let mut server = Self::stopped(name, args);
        server.launch().await;
        server
    }

    fn stopped(name: &str, args: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        Self { dir, port, name: name.to_owned(), args: args.to_vec(), process: None }
    }

    /// Another server of the cluster that this one is of.
    pub async fn joined_by(&self, name: &str) -> Self {
        let url = format!("--server=https://127.0.0.1:{}", self.port);
        Self::with(name, &[url, format!("--token={}", self.read("server/token").trim())]).await
    }

    /// A witness of the cluster that this server is of, which is ready some time later.
    pub async fn witnessed_by(&self, name: &str) -> Self {
        let url = format!("--server=https://127.0.0.1:{}", self.port);
        let token = format!("--token={}", self.read("server/token").trim());
        let mut witness = Self::stopped(name, &[url, token, "--witness".to_owned()]);
        witness.process =
            Some(witness.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
        let deadline = Instant::now() + PATIENCE;
        while !self.administer(&["member", "list"]).contains(name) {
            assert!(Instant::now() < deadline, "the witness does not join");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        witness
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What `skiff` with these arguments says, and whether it succeeded.
    pub fn skiff(args: &[&str]) -> (bool, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_skiff")).args(args).output().expect("the program starts");
        let said = [&done.stdout[..], &done.stderr[..]].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// As [`Server::skiff`], as the administrator of this server.
    pub fn ask(&self, args: &[&str]) -> (bool, String) {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig_path().display());
        Self::skiff(&[args, &[&kubeconfig]].concat())
    }

    /// As [`Server::ask`], while the test goes on.
    pub fn ask_aside(&self, args: &[&str]) -> std::thread::JoinHandle<(bool, String)> {
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig_path().display());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).chain([kubeconfig]).collect();
        std::thread::spawn(move || Self::skiff(&args.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// As [`Server::ask`]; it must succeed.
    pub fn administer(&self, args: &[&str]) -> String {
        let (done, said) = self.ask(args);
        assert!(done, "{args:?}: {said}");
        said
    }

    /// Starts it in the hope that it ends at once; tells what it said.
    pub fn fails(&self) -> String {
        let done = self.command().output().expect("the program starts");
        assert!(!done.status.success());
        String::from_utf8_lossy(&done.stderr).into_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skiff"));
        command
            .args(["server", "--disable-agent", "--node-name", &self.name])
            .args(&self.args)
            .arg("--data-dir")
            .arg(self.data())
            .arg("--write-kubeconfig")
            .arg(self.kubeconfig_path())
            .args(["--https-listen-port", &self.port.to_string()]);
        command
    }

    /// Starts the program on the same data, and returns when it is ready.
    pub async fn launch(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log");
        let process = self.command().stdout(log).stderr(Stdio::null()).spawn();
        self.process = Some(process.expect("the program starts"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.kubeconfig_path().exists() && self.is_ready().await {
                return;
            }
            assert!(Instant::now() < deadline, "the server is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Gives the process no chance to end in order.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running server");
        process.kill().expect("a running server");
        process.wait().expect("an ended server");
    }

    /// A client with the administrator's certificate.
    pub async fn admin(&self) -> kube::Client {
        self.client(|_| ()).await
    }

    /// A client of somebody else.
    pub async fn client(&self, change: impl FnOnce(&mut kube::Config)) -> kube::Client {
        let file = Kubeconfig::read_from(self.kubeconfig_path()).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(file, &options).await.expect("a usable kubeconfig");
        change(&mut config);
        kube::Client::try_from(config).expect("a client")
    }

    async fn is_ready(&self) -> bool {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
        self.admin().await.request_text(request).await.is_ok_and(|text| text == "ok")
    }

    /// What lies in its data directory under `path`.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect("a file")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.data().join(path)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("its state").is_none())
    }

    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}
