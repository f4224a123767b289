//! The wall clock of one process, set while it runs.
//!
//! A process asks the kernel what time it is through a page of code that the kernel lends it (the vDSO), and
//! each has a copy of its own once somebody writes to it. Here the function there is replaced by one that
//! makes the system call and adds a number of seconds to what the wall clock says. So nobody else's time
//! changes, clocks that only go forward stay as they are, and it works on static programs too, into which
//! nothing can be preloaded.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Elsewhere the code would be another.
pub const CAN_BE_SET: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));

const FUNCTION: &[u8] = b"__vdso_clock_gettime\0";
const STOP_MAX: Duration = Duration::from_secs(10);

/// Sets the clock of the process so many seconds off; zero sets it right again.
pub fn set_off(pid: Pid, secs: i32) {
    let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).expect("its memory");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("a vDSO: the kernel lends none");
    let (start, rest) = line.split_once('-').expect("a range");
    let end = rest.split_once(' ').expect("a range").0;
    let address = |text| u64::from_str_radix(text, 16).expect("an address");
    let page = address(start)..address(end);
    let mut image = vec![0; (page.end - page.start) as usize];
    memory.read_exact_at(&mut image, page.start).expect("the vDSO");
    let (place, size) = function(&image).expect("a function that tells the time");
    let code = code(secs);
    assert!(code.len() as u64 <= size, "no room for {} bytes in {size}", code.len());
    let began = Instant::now();
    while !stopped_outside(pid, &page) {
        kill(pid, Signal::SIGCONT).expect("a running process");
        assert!(began.elapsed() < STOP_MAX, "it always asks what time it is");
        std::thread::sleep(Duration::from_millis(1));
    }
    memory.write_all_at(&code, page.start + place).expect("the vDSO");
    kill(pid, Signal::SIGCONT).expect("a running process");
}

/// `int clock_gettime(clockid_t which /* edi */, struct timespec *told /* rsi */)`
fn code(secs: i32) -> Vec<u8> {
    let ask = [0xb8, 228, 0, 0, 0, 0x0f, 0x05]; // mov eax, SYS_clock_gettime; syscall
    let unless_wall = [0x85, 0xff, 0x75, 7]; // test edi, edi; jnz to the end, if it is not CLOCK_REALTIME
    let add = [0x48, 0x81, 0x06]; // add qword [rsi], secs
    [&ask[..], &unless_wall, &add, &secs.to_le_bytes(), &[0xc3]].concat()
}

/// Holds the process still; whether none of its threads was just running in there.
fn stopped_outside(pid: Pid, page: &std::ops::Range<u64>) -> bool {
    kill(pid, Signal::SIGSTOP).expect("a running process");
    let began = Instant::now();
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let is_still = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    let read = |thread: &std::fs::DirEntry, what: &str| std::fs::read_to_string(thread.path().join(what)).ok();
    while !threads().all(|thread| read(&thread, "stat").is_none_or(is_still)) {
        assert!(began.elapsed() < STOP_MAX, "it does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The last word is where the thread goes on.
    threads().filter_map(|thread| read(&thread, "syscall")).all(|told| {
        let at = told.trim().rsplit("0x").next().and_then(|at| u64::from_str_radix(at, 16).ok());
        at.is_some_and(|at| !page.contains(&at))
    })
}

/// Where in the image of the vDSO the function is, and its size.
fn function(image: &[u8]) -> Option<(u64, u64)> {
    const SYMBOLS: u64 = 11; // SHT_DYNSYM
    const SYMBOL_BYTES: u64 = 24;
    let number = |at: u64, bytes: usize| {
        let part = image.get(at as usize..at as usize + bytes)?;
        Some(part.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (table, count) = (number(0x28, 8)?, number(0x3c, 2)?);
    let section = |index: u64| table + index * 64;
    let symbols = section((0..count).find(|index| number(section(*index) + 4, 4) == Some(SYMBOLS))?);
    let names = number(section(number(symbols + 40, 4)?) + 24, 8)?;
    let (first, bytes) = (number(symbols + 24, 8)?, number(symbols + 32, 8)?);
    let mut all = (first..first + bytes).step_by(SYMBOL_BYTES as usize);
    let symbol = all.find(|symbol| {
        let name = number(*symbol, 4).map(|name| (names + name) as usize);
        name.and_then(|name| image.get(name..)).is_some_and(|name| name.starts_with(FUNCTION))
    })?;
    Some((number(symbol + 8, 8)?, number(symbol + 16, 8)?))
}
