//! containerd, started and watched over when the host has none running.
//!
//! It outlives this process: it gets a process group of its own and a pid file, and the next start
//! takes it over if it still runs with the same configuration. Containers hang on their shims, not
//! on containerd, so that even replacing it stops none of them.

pub mod config;
pub mod events;
pub mod image;
pub mod import;
pub mod pause;
pub mod view;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::config::Machine;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::kubelet::config::{Config, Paths};

/// Where distributions put programs, for when `PATH` is bare.
const PROGRAM_DIRS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often a containerd that is not our child is looked at.
const ADOPTED_CHECK_PERIOD: Duration = Duration::from_secs(2);

/// How long containerd has to end when it must be replaced.
const STOP_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "{program} is not installed: install the packages containerd and runc, or name a running runtime with --container-runtime-endpoint"
    )]
    Missing { program: &'static str },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot start {}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("containerd ended ({status}); its log is {}", log.display())]
    Ended { status: String, log: PathBuf },
    #[error("containerd (pid {pid}) does not end")]
    Stuck { pid: i32 },
}

/// Connects to a runtime's unix socket. The connection is made again by itself when it breaks.
pub async fn dial(socket: &Path) -> Result<tonic::transport::Channel, tonic::transport::Error> {
    containerd_client::connect(socket).await
}

/// Keeps a containerd running at [`Paths::containerd_socket`] until the scope stops; it goes on then.
pub fn supervise(scope: &Scope, config: &Config) {
    let paths = config.paths();
    let pause_image = config.pause_image.clone().unwrap_or_else(|| image::PAUSE_IMAGE.to_owned());
    scope.supervise("containerd", move || {
        let paths = paths.clone();
        let pause_image = pause_image.clone();
        async move { run(&paths, &pause_image).await.map_err(|error| Chain(&error).to_string()) }
    });
}

/// Takes over or starts containerd, and returns when it has ended.
async fn run(paths: &Paths, pause_image: &str) -> Result<(), StartError> {
    let program = find_program("containerd").ok_or(StartError::Missing { program: "containerd" })?;
    find_program("runc").ok_or(StartError::Missing { program: "runc" })?;
    let config_path = paths.run.join("containerd/config.toml");
    let log = paths.containerd.join("containerd.log");

    let for_probe = paths.clone();
    let machine = Scope::blocking(move || probe_machine(&for_probe)).await;
    let rendered = config::render(paths, pause_image, machine);
    let unchanged = fs::read_to_string(&config_path).is_ok_and(|old| old == rendered);
    if let Some(pid) = running(paths, &config_path) {
        if unchanged {
            tracing::info!(pid, "took over the running containerd");
            return watch_adopted(paths, &config_path).await;
        }
        tracing::info!(pid, "replacing containerd: its configuration changed");
        stop(pid).await?;
    }

    for dir in [&paths.containerd, &paths.cni_bin, &paths.cni_conf, &paths.registries, &paths.run.join("containerd")] {
        write_error(dir, fs::create_dir_all(dir))?;
    }
    write_error(&config_path, fs::write(&config_path, rendered))?;
    rotate_log(&log);
    let opened = fs::OpenOptions::new().create(true).append(true).open(&log);
    let output = write_error(&log, opened)?;
    let errors = write_error(&log, output.try_clone())?;

    let mut command = Command::new(&program);
    command.arg("--config").arg(&config_path).stdin(Stdio::null()).stdout(output).stderr(errors);
    command.env("PATH", search_path()).process_group(0);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(false);
    let mut child = command.spawn().map_err(|source| StartError::Spawn { program, source })?;
    let pid = child.id().unwrap_or_default();
    write_error(&pid_file(paths), fs::write(pid_file(paths), pid.to_string()))?;
    tracing::info!(pid, "started containerd");
    let status = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Err(StartError::Ended { status, log })
}

fn write_error<T>(path: &Path, result: io::Result<T>) -> Result<T, StartError> {
    result.map_err(|source| StartError::Write { path: path.to_owned(), source })
}

fn pid_file(paths: &Paths) -> PathBuf {
    paths.run.join("containerd/skiff.pid")
}

/// The pid in the pid file, if that process is a containerd with our configuration file.
fn running(paths: &Paths, config_path: &Path) -> Option<i32> {
    let pid: i32 = fs::read_to_string(pid_file(paths)).ok()?.trim().parse().ok()?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = config_path.as_os_str().as_encoded_bytes();
    cmdline.split(|byte| *byte == 0).any(|argument| argument == ours).then_some(pid)
}

async fn watch_adopted(paths: &Paths, config_path: &Path) -> Result<(), StartError> {
    while running(paths, config_path).is_some() {
        tokio::time::sleep(ADOPTED_CHECK_PERIOD).await;
    }
    Err(StartError::Ended { status: "not our child".into(), log: paths.containerd.join("containerd.log") })
}

async fn stop(pid: i32) -> Result<(), StartError> {
    let process = Pid::from_raw(pid);
    let _ = kill(process, Signal::SIGTERM);
    let ended = async {
        while kill(process, None).is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(STOP_LIMIT, ended).await.map_err(|_| StartError::Stuck { pid })
}

/// Keeps the log of the run before, and no more.
fn rotate_log(log: &Path) {
    const LOG_BYTES_MAX: u64 = 10 << 20;
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        let _ = fs::rename(log, log.with_extension("log.1"));
    }
}

fn search_path() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{PROGRAM_DIRS}"),
        _ => PROGRAM_DIRS.to_owned(),
    }
}

/// The first executable file called `name` on the search path.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = search_path();
    path.split(':').map(|dir| Path::new(dir).join(name)).find(|candidate| candidate.is_file())
}

fn probe_machine(paths: &Paths) -> Machine {
    Machine { can_lower_oom_score: can_lower_oom_score(), has_overlayfs: has_overlayfs(&paths.containerd) }
}

/// Whether this process holds CAP_SYS_RESOURCE.
pub fn can_lower_oom_score() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    bits >> CAP_SYS_RESOURCE & 1 == 1
}

/// Mounts an overlay below `dir` and takes it away again: the only answer that counts.
fn has_overlayfs(dir: &Path) -> bool {
    let probe = dir.join(".overlay-probe");
    let parts = ["lower", "upper", "work", "merged"].map(|name| probe.join(name));
    let made = parts.iter().try_for_each(fs::create_dir_all);
    let [lower, upper, work, merged] = &parts;
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let mounted = made.is_ok()
        && nix::mount::mount(Some("overlay"), merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .is_ok();
    if mounted {
        let _ = nix::mount::umount2(merged, MntFlags::MNT_DETACH);
    }
    let _ = fs::remove_dir_all(&probe);
    mounted
}
