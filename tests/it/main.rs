//! Tests of the program's parts as its users meet them: real files, real processes, no privileges.

mod crash;
mod servers;
