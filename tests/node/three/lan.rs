//! A network of namespaces with this program in the middle: every frame passes here, and is late, lost or
//! refused as the weather says. So it needs no more of the kernel than namespaces and TAP cards.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skiff::base::rand::{RandRef, SystemRand};

use super::tap;

const FRAME_BYTES_MAX: usize = 2_048;
/// This program's own card.
pub const CLIENT: usize = 0;

/// Clones are the same network; the last one takes it away.
#[derive(Clone)]
pub struct Lan(Arc<Inner>);

struct Inner {
    name: String,
    subnet: u32,
    cards: Vec<File>,
    weather: Mutex<Weather>,
    late: Mutex<Late>,
    arrived: Condvar,
}

/// What happens to frames between servers; those from and to the client are only cut.
struct Weather {
    delay: Duration,
    loss_percent: u64,
    /// From whom to whom nothing gets.
    cuts: BTreeSet<(usize, usize)>,
    rand: RandRef,
    carried: u64,
}

#[derive(Default)]
struct Late {
    frames: BinaryHeap<Reverse<(Instant, u64, usize, Vec<u8>)>>,
    count: u64,
    has_ended: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lan {
    /// A network of `servers` namespaces, and of this one as number 0.
    pub fn new(servers: usize, seed: u64) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let id = std::process::id();
        let (name, subnet) = (format!("skl{}", id % 100_000), id % 250);
        let mut cards = Vec::new();
        for number in 0..=servers {
            let card = format!("{name}c{number}");
            cards.push(tap::open(&card).expect("a card: is there /dev/net/tun?"));
            let hardware = format!("02:5f:00:00:00:{number:02x}");
            run("ip", &["link", "set", &card, "address", &hardware]);
            let mut ip: Vec<String> = Vec::new();
            if number != CLIENT {
                let space = format!("{name}-{number}");
                run("ip", &["netns", "add", &space]);
                run("ip", &["link", "set", &card, "netns", &space]);
                ip = ["-n", &space].map(str::to_owned).to_vec();
                run("ip", &["-n", &space, "link", "set", "lo", "up"]);
            }
            let address = format!("10.213.{subnet}.{}/24", 10 + number);
            let with = |rest: &[&str]| {
                let all: Vec<&str> = ip.iter().map(String::as_str).chain(rest.iter().copied()).collect();
                run("ip", &all);
            };
            with(&["address", "add", &address, "dev", &card]);
            with(&["link", "set", &card, "up"]);
        }
        let rand = SystemRand::seeded(seed);
        let weather = Weather { delay: Duration::ZERO, loss_percent: 0, cuts: BTreeSet::new(), rand, carried: 0 };
        let (late, arrived) = (Mutex::default(), Condvar::new());
        let inner = Arc::new(Inner { name, subnet, cards, weather: Mutex::new(weather), late, arrived });
        for from in 0..=servers {
            let (card, inner) = (inner.cards[from].try_clone().expect("a card"), Arc::downgrade(&inner));
            std::thread::spawn(move || carry(card, from, &inner));
        }
        let postman = inner.clone();
        std::thread::spawn(move || deliver_late(&postman));
        Self(inner)
    }

    /// Runs a command in the network of a server. Not by `ip netns exec`: that copies the mounts of the whole
    /// machine, and keeps others' from going.
    pub fn command(&self, number: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&format!("--net=/run/netns/{}-{number}", self.0.name), program]);
        command
    }

    pub fn address(&self, number: usize) -> String {
        format!("10.213.{}.{}", self.0.subnet, 10 + number)
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        lock(&self.0.weather)
    }

    /// Nothing gets from `from` to `to` any more.
    pub fn cut(&self, from: usize, to: usize) {
        self.weather().cuts.insert((from, to));
    }

    /// Nothing gets from or to `alone`, as far as the others are concerned.
    pub fn isolate(&self, alone: usize, others: &[usize]) {
        for other in others {
            self.cut(alone, *other);
            self.cut(*other, alone);
        }
    }

    pub fn worsen(&self, delay: Duration, loss_percent: u64) {
        let mut weather = self.weather();
        (weather.delay, weather.loss_percent) = (delay, loss_percent);
    }

    pub fn heal(&self) {
        self.weather().cuts.clear();
        self.worsen(Duration::ZERO, 0);
    }

    pub fn carried(&self) -> u64 {
        self.weather().carried
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // The thread for late frames holds one more.
        if Arc::strong_count(&self.0) > 2 {
            return;
        }
        lock(&self.0.late).has_ended = true;
        self.0.arrived.notify_all();
        for number in 1..self.0.cards.len() {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}-{number}", self.0.name)]).status();
        }
        let own = format!("{}c{CLIENT}", self.0.name);
        let _ = Command::new("ip").args(["link", "del", &own]).stderr(Stdio::null()).status();
    }
}

/// Carries what comes out of one card to those it is for, until the card is gone.
fn carry(mut card: File, from: usize, lan: &std::sync::Weak<Inner>) {
    let mut frame = vec![0; FRAME_BYTES_MAX];
    loop {
        // While the card is down there is nothing to read, and that is an error.
        let Ok(len) = card.read(&mut frame) else {
            std::thread::sleep(Duration::from_millis(5));
            if lan.strong_count() == 0 { return } else { continue }
        };
        let Some(lan) = lan.upgrade() else { return };
        let frame = &frame[..len];
        let Some(target) = frame.first_chunk::<6>() else { continue };
        match target[0] & 1 {
            0 => lan.pass(from, usize::from(target[5]), frame),
            _ => (0..lan.cards.len()).filter(|to| *to != from).for_each(|to| lan.pass(from, to, frame)),
        }
    }
}

impl Inner {
    fn pass(&self, from: usize, to: usize, frame: &[u8]) {
        let delay = {
            let mut weather = lock(&self.weather);
            let is_between_servers = from != CLIENT && to != CLIENT;
            let is_lost = is_between_servers && weather.rand.next_u64() % 100 < weather.loss_percent;
            if is_lost || to >= self.cards.len() || weather.cuts.contains(&(from, to)) {
                return;
            }
            weather.carried += 1;
            if is_between_servers { weather.delay } else { Duration::ZERO }
        };
        if delay.is_zero() {
            return self.put(to, frame);
        }
        let mut late = lock(&self.late);
        late.count += 1;
        let entry = (Instant::now() + delay, late.count, to, frame.to_vec());
        late.frames.push(Reverse(entry));
        self.arrived.notify_all();
    }

    fn put(&self, to: usize, frame: &[u8]) {
        let _ = (&self.cards[to]).write_all(frame); // a card that is full or gone loses it, as real ones do
    }
}

fn deliver_late(lan: &Inner) {
    let mut late = lock(&lan.late);
    while !late.has_ended {
        let wait = match late.frames.peek() {
            Some(Reverse((due, ..))) => due.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(1),
        };
        if wait.is_zero() {
            if let Some(Reverse((_, _, to, frame))) = late.frames.pop() {
                drop(late);
                lan.put(to, &frame);
                late = lock(&lan.late);
            }
            continue;
        }
        late = lan.arrived.wait_timeout(late, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

pub fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().expect("it starts").success(), "{program} {args:?}");
}
