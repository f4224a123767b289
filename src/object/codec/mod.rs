//! Encodings: JSON, YAML, protobuf.
