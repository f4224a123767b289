//! Tests of the node's parts on the real kernel. They need root and say so when they do not have it.

mod cni;
mod three;
