//! The log: to standard error, as text for people or JSON for machines.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// What is logged: a level, or directives such as `info,skiff::store=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |level: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
        let directive = |part: &str| match part.split_once('=') {
            Some((target, level)) => !target.is_empty() && known(level),
            None => known(part),
        };
        if text.split(',').all(directive) && EnvFilter::try_new(text).is_ok() {
            return Ok(Self(text.into()));
        }
        Err("want error, warn, info, debug or trace, or directives such as info,skiff::store=debug".into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("want text or json".into()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
}

/// Starts logging for the whole process. Called once; a second call changes nothing.
pub fn start(settings: &LogSettings) {
    let filter = EnvFilter::new(&settings.level.0);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call finds the first one's subscriber in place.
    let _ = match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}
