//! A pod as the runtime has it: its sandboxes, and every instance of its containers still kept.

use crate::object::Timestamp;

/// Newest first, both lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub sandboxes: Vec<Sandbox>,
    pub instances: Vec<Instance>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
    pub id: String,
    pub attempt: u32,
    pub is_ready: bool,
    pub on_host_network: bool,
    pub ips: Vec<String>,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub id: String,
    pub name: String,
    /// How often the container was started before this one.
    pub attempt: u32,
    pub sandbox_id: String,
    pub state: State,
    pub created_at: Timestamp,
    pub image: String,
    pub image_id: String,
    /// Of the part of its specification that needs a new instance when changed.
    pub spec_hash: String,
    pub log_path: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Made and never started: its start failed, or is under way.
    Created,
    Running {
        started_at: Timestamp,
    },
    Exited(Exit),
    /// The runtime lost track of it.
    Unknown,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    pub code: i32,
    pub reason: String,
    pub message: String,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
}

impl Seen {
    /// The newest instance of a container.
    pub fn newest(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// The newest instance of a container that ran in `sandbox`.
    pub fn newest_in(&self, name: &str, sandbox: &Sandbox) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name && instance.sandbox_id == sandbox.id)
    }

    /// The instance before the newest one.
    pub fn previous(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().filter(|instance| instance.name == name).nth(1)
    }

    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.id == id)
    }

    pub fn running(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| instance.is_running())
    }

    /// What has not ended as far as the runtime knows.
    pub fn live_ids(&self) -> impl Iterator<Item = &String> {
        let sandboxes = self.sandboxes.iter().filter(|sandbox| sandbox.is_ready).map(|sandbox| &sandbox.id);
        sandboxes.chain(self.running().map(|instance| &instance.id))
    }

    /// Whether nothing of the pod uses the machine any more.
    pub fn is_quiet(&self) -> bool {
        !self.sandboxes.iter().any(|sandbox| sandbox.is_ready)
            && !self.instances.iter().any(|instance| matches!(instance.state, State::Running { .. } | State::Unknown))
    }

    pub fn sort(&mut self) {
        self.sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.attempt));
        self.instances.sort_by_key(|instance| std::cmp::Reverse((instance.attempt, instance.created_at)));
    }
}

impl Instance {
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}
