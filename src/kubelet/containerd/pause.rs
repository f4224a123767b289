//! The program that holds a pod's namespaces: a static ELF of a few hundred bytes, assembled here.
//!
//! It blocks SIGINT, SIGTERM and SIGCHLD and waits for one of them: the first two end it with code
//! 0, the third makes it reap children, since it is process 1 where a pod shares its process
//! namespace. No signal handler, no memory beyond its one page of text.

/// Bit `n - 1` is signal `n`: SIGINT (2), SIGTERM (15), SIGCHLD (17).
const WAITED_SIGNALS: u64 = 1 << 1 | 1 << 14 | 1 << 16;

const LOAD_ADDRESS: u64 = 0x40_0000;
const FILE_HEADER_LEN: u64 = 64;
const PROGRAM_HEADER_LEN: u64 = 56;

/// A processor that pause is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    /// The processor this program was built for; `None` where there is no pause for it.
    pub fn current() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// As OCI and the `kubernetes.io/arch` label name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// The executable file.
pub fn elf(arch: Arch) -> Vec<u8> {
    let (machine, code) = match arch {
        Arch::Amd64 => (62u16, amd64()),
        Arch::Arm64 => (183u16, arm64()),
    };
    let text_offset = FILE_HEADER_LEN + PROGRAM_HEADER_LEN;
    let size = text_offset + code.len() as u64;
    let mut file = Vec::with_capacity(size as usize);
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"); // 64 bit, little endian, version 1
    file.extend(2u16.to_le_bytes()); // executable
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend((LOAD_ADDRESS + text_offset).to_le_bytes()); // entry
    file.extend(FILE_HEADER_LEN.to_le_bytes()); // program headers
    file.extend(0u64.to_le_bytes()); // no section headers
    file.extend(0u32.to_le_bytes());
    file.extend((FILE_HEADER_LEN as u16).to_le_bytes());
    file.extend((PROGRAM_HEADER_LEN as u16).to_le_bytes());
    for count in [1u16, 0, 0, 0] {
        file.extend(count.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // load
    file.extend(5u32.to_le_bytes()); // read and execute
    for field in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000] {
        file.extend(field.to_le_bytes());
    }
    file.extend(code);
    file
}

fn amd64() -> Vec<u8> {
    #[rustfmt::skip]
    let mut code: Vec<u8> = vec![
        // start: rt_sigprocmask(SIG_BLOCK, &mask, NULL, 8)
        0xb8, 14, 0, 0, 0,                      // mov eax, 14
        0x31, 0xff,                             // xor edi, edi
        0x48, 0x8d, 0x35, 82, 0, 0, 0,          // lea rsi, [rip + mask]
        0x31, 0xd2,                             // xor edx, edx
        0x41, 0xba, 8, 0, 0, 0,                 // mov r10d, 8
        0x0f, 0x05,                             // syscall
        // wait (24): rt_sigtimedwait(&mask, NULL, NULL, 8)
        0xb8, 128, 0, 0, 0,                     // mov eax, 128
        0x48, 0x8d, 0x3d, 60, 0, 0, 0,          // lea rdi, [rip + mask]
        0x31, 0xf6,                             // xor esi, esi
        0x31, 0xd2,                             // xor edx, edx
        0x41, 0xba, 8, 0, 0, 0,                 // mov r10d, 8
        0x0f, 0x05,                             // syscall
        0x83, 0xf8, 17,                         // cmp eax, SIGCHLD
        0x74, 19,                               // je reap
        0x83, 0xf8, 15,                         // cmp eax, SIGTERM
        0x74, 5,                                // je exit
        0x83, 0xf8, 2,                          // cmp eax, SIGINT
        0x75, 0xd9,                             // jne wait
        // exit (63): exit_group(0); nine bytes
        0x31, 0xff,                             // xor edi, edi
        0xb8, 231, 0, 0, 0,                     // mov eax, 231
        0x0f, 0x05,                             // syscall
        // reap (72): wait4(-1, NULL, WNOHANG, NULL) while it finds one
        0xb8, 61, 0, 0, 0,                      // mov eax, 61
        0x48, 0x83, 0xcf, 0xff,                 // or rdi, -1
        0x31, 0xf6,                             // xor esi, esi
        0xba, 1, 0, 0, 0,                       // mov edx, 1
        0x45, 0x31, 0xd2,                       // xor r10d, r10d
        0x0f, 0x05,                             // syscall
        0x85, 0xc0,                             // test eax, eax
        0x7f, 0xe7,                             // jg reap
        0xeb, 0xb5,                             // jmp wait
        // mask (99)
    ];
    let mask_at = code.len();
    set_relative(&mut code, 10, mask_at);
    set_relative(&mut code, 32, mask_at);
    code.extend(WAITED_SIGNALS.to_le_bytes());
    code
}

/// Points the 32-bit displacement at `at`, which ends its instruction, to `target`.
fn set_relative(code: &mut [u8], at: usize, target: usize) {
    let displacement = target as i32 - (at as i32 + 4);
    code[at..at + 4].copy_from_slice(&displacement.to_le_bytes());
}

fn arm64() -> Vec<u8> {
    const SVC: u32 = 0xd400_0001;
    let movz = |register: u32, value: u32| 0xd280_0000 | value << 5 | register;
    let cmp_x0 = |value: u32| 0xf100_001f | value << 10;
    // Distances are in instructions, from the branch itself.
    let branch_if = |condition: u32, distance: i32| 0x5400_0000 | (distance as u32 & 0x7ffff) << 5 | condition;
    let adr = |register: u32, distance: i32| 0x1000_0000 | (distance as u32 & 0x7ffff) << 5 | register;
    const EQ: u32 = 0;
    const NE: u32 = 1;
    const GT: u32 = 12;
    const MASK: i32 = 32;
    #[rustfmt::skip]
    let code = [
        // start: rt_sigprocmask(SIG_BLOCK, &mask, NULL, 8)
        movz(8, 135), movz(0, 0), adr(1, MASK - 2), movz(2, 0), movz(3, 8), SVC,
        // wait (6): rt_sigtimedwait(&mask, NULL, NULL, 8)
        movz(8, 137), adr(0, MASK - 7), movz(1, 0), movz(2, 0), movz(3, 8), SVC,
        cmp_x0(17), branch_if(EQ, 21 - 13),
        cmp_x0(15), branch_if(EQ, 18 - 15),
        cmp_x0(2), branch_if(NE, 6 - 17),
        // exit (18): exit_group(0)
        movz(0, 0), movz(8, 94), SVC,
        // reap (21): wait4(-1, NULL, WNOHANG, NULL) while it finds one
        0x9280_0000, movz(1, 0), movz(2, 1), movz(3, 0), movz(8, 260), SVC,
        cmp_x0(0), branch_if(GT, 21 - 28),
        0x1400_0000 | ((6 - 29) as u32 & 0x3ff_ffff),
        // padding: the mask lies at a multiple of eight
        0xd503_201f, 0xd503_201f,
        WAITED_SIGNALS as u32, (WAITED_SIGNALS >> 32) as u32,
    ];
    code.iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_where_the_code_looks_for_it() {
        let code = amd64();
        let mask_at = code.len() - 8;
        assert_eq!(mask_at, 99);
        let arm = arm64();
        assert_eq!(arm.len(), 34 * 4);
        assert_eq!(arm[128..136], WAITED_SIGNALS.to_le_bytes());
    }

    #[test]
    fn the_program_ends_on_sigterm_with_code_zero() {
        use std::os::unix::fs::PermissionsExt;
        if Arch::current() != Some(Arch::Amd64) && Arch::current() != Some(Arch::Arm64) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, elf(Arch::current().unwrap())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGCHLD)
            .unwrap();
        assert!(child.try_wait().unwrap().is_none(), "a dead child does not end it");
        // It sleeps only where it waits for signals; before that, SIGTERM would end it without a code.
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        while !std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("State:\tS") {
            std::thread::yield_now();
        }
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
