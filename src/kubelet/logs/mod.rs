//! Logs of containers: read, followed through rotation, rotated.

pub mod line;
pub mod read;
pub mod rotate;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// The text of at most `lines_max` last lines and `bytes_max` last bytes of a log.
pub fn tail(path: &str, lines_max: usize, bytes_max: usize) -> String {
    // Entries carry a time and a stream in front of the text.
    const OVERHEAD: u64 = 64;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let wanted = bytes_max as u64 + lines_max as u64 * OVERHEAD;
        file.seek(SeekFrom::Start(length.saturating_sub(wanted)))?;
        let mut content = Vec::new();
        file.take(wanted).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = match read() {
        Ok(content) => content,
        Err(error) => return format!("Error on reading termination message from logs: {error}"),
    };
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let from = lines.len().saturating_sub(lines_max);
    let mut text = Vec::new();
    for entry in lines[from..].iter().filter_map(|line| line::parse(line)) {
        text.extend_from_slice(entry.text);
        if !entry.is_partial {
            text.push(b'\n');
        }
    }
    let from = text.len().saturating_sub(bytes_max);
    String::from_utf8_lossy(&text[from..]).into_owned()
}
