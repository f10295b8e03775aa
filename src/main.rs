//! The `runwire` command.
fn main() {}
