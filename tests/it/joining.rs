//! Servers that cannot be taken in: each is told why, and what to do. One that is only a witness. And
//! three that are all somewhere else when they start again.

use std::path::Path;
use std::time::{Duration, Instant};

use super::servers::{PORTS, Server, config_map, ports, until};
use skiff::object::kind::CONFIG_MAP;

/// What a server says that ends by itself.
fn refusal(root: &Path, number: u16, arguments: &[String]) -> String {
    let port = ports() + 9; // none of them gets so far as to be asked anything
    let mut command = Server::command_at(root, number, port);
    command.args(arguments);
    let mut server = Server::spawn_at(root, number, port, command);
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        match server.child.try_wait().expect("a server") {
            Some(status) => break status,
            None if Instant::now() > deadline => panic!("it should have given up"),
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    assert!(!status.success());
    std::fs::read_to_string(server.dir.join("log")).expect("a log")
}

fn at_first() -> String {
    format!("--server=https://127.0.0.1:{}", ports() + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_join_is_told_why() {
    PORTS.set(10);
    let root = tempfile::tempdir().expect("a directory");
    let first = Server::start(root.path(), 1);
    first.ready().await;
    let token = std::fs::read_to_string(root.path().join("1/data/server/token")).expect("a token").trim().to_owned();
    let (authority, _) = token.split_once("::").expect("a whole token");

    let wrong = refusal(root.path(), 2, &[at_first(), format!("--token={authority}::server:guessed")]);
    assert!(wrong.contains("not the token of this cluster") && wrong.contains("skiff token"), "{wrong}");
    let other = format!("--token=K10{}::server:guessed", "0".repeat(64));
    let other = refusal(root.path(), 3, &[at_first(), other]);
    assert!(other.contains("its authority is another") && other.contains("skiff token"), "{other}");
    let elsewhere = tempfile::tempdir().expect("another machine");
    let twice = refusal(elsewhere.path(), 1, &[at_first(), format!("--token={token}")]);
    assert!(twice.contains("has the name") && twice.contains("choose another --node-name"), "{twice}");
    let witness = refusal(root.path(), 5, &["--witness".into()]);
    assert!(witness.contains("--server and --token"), "{witness}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_and_a_witness_go_on_without_their_leader() {
    PORTS.set(20);
    let root = tempfile::tempdir().expect("a directory");
    let mut first = Server::start(root.path(), 1);
    first.ready().await;
    let second = Server::start(root.path(), 2);
    second.ready().await;
    let token = std::fs::read_to_string(root.path().join("1/data/server/token")).expect("a token").trim().to_owned();
    let mut command = Server::command(root.path(), 3);
    command.args([at_first(), format!("--token={token}"), "--witness".into()]);
    let witness = Server::spawn(root.path(), 3, command);
    let three = async || first.members().await.is_some_and(|(_, voters)| voters == 3);
    until("all three vote", three).await;
    let (_, members) = first.get("/v1-skiff/members").await.expect("members");
    let names: Vec<&str> = members
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["isWitness"] == true)
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert_eq!(names, ["server-3"]);

    let client = second.client().expect("a kubeconfig");
    client.create(&CONFIG_MAP, config_map("before")).await.expect("a write");
    first.kill();
    let goes_on = async || client.create(&CONFIG_MAP, config_map("after")).await.is_ok();
    until("the others accept writes", goes_on).await;
    assert!(client.find(&CONFIG_MAP, "default", "before").await.expect("an answer").is_some());
    let status = std::fs::read_to_string(format!("/proc/{}/status", witness.child.id())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("its memory");
    println!("the witness: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_find_each_other_after_all_have_moved() {
    PORTS.set(30);
    let root = tempfile::tempdir().expect("a directory");
    let mut servers = Vec::new();
    for number in 1..=3u16 {
        let server = Server::start(root.path(), number);
        server.ready().await;
        servers.push(server);
        let all = async || servers[0].members().await.is_some_and(|(_, voters)| voters == usize::from(number));
        until("it votes", all).await;
    }
    servers[0].client().expect("a kubeconfig").create(&CONFIG_MAP, config_map("before")).await.expect("a write");
    servers.iter_mut().for_each(Server::kill);
    drop(servers);

    let port = |number: u16| ports() + 3 + number;
    let moved = |number: u16| {
        let mut command = Server::command_at(root.path(), number, port(number));
        command.arg(format!("--server=https://127.0.0.1:{}", port(2)));
        Server::spawn_at(root.path(), number, port(number), command)
    };
    let servers: Vec<Server> = (1..=3).map(moved).collect();
    for server in &servers {
        server.ready().await;
        let client = server.client().expect("a kubeconfig");
        until("it has everything", async || {
            client.find(&CONFIG_MAP, "default", "before").await.is_ok_and(|found| found.is_some())
        })
        .await;
    }
    let addresses = async || {
        let (_, members) = servers[0].get("/v1-skiff/members").await?;
        let addresses = members.as_array()?.iter().map(|it| it["address"].as_str().unwrap_or_default().to_owned());
        Some(addresses.collect::<Vec<_>>())
    };
    let known = |address: &String| (1..=3).any(|number| address.ends_with(&format!(":{}", port(number))));
    until("each has said where it is", async || addresses().await.is_some_and(|all| all.iter().all(known))).await;
}
