//! A network card whose frames this program reads and writes.

#![allow(unsafe_code)] // the kernel gives a card a name by an ioctl, and there is no other way

use std::fs::File;
use std::os::fd::AsRawFd;

/// Ethernet frames, without anything before them.
const FLAGS: i16 = 0x0002 | 0x1000;

/// The kernel's `struct ifreq`, as far as it is read here.
#[repr(C)]
pub struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

nix::ioctl_write_ptr_bad!(set_interface, 0x4004_54ca, Request);

/// A new card of this name; it goes with the file.
pub fn open(name: &str) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = Request { name: [0; 16], flags: FLAGS, rest: [0; 22] };
    assert!(name.len() < request.name.len(), "a name that is short enough");
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the request is as long as the kernel's and outlives the call.
    unsafe { set_interface(file.as_raw_fd(), &request) }?;
    Ok(file)
}
