//! What an operator should hear of, through the `log` facade where it is built in.
use std::fmt::Arguments;

pub fn warn(text: Arguments<'_>) {
    #[cfg(feature = "cli")]
    log::warn!("{text}");
    #[cfg(not(feature = "cli"))]
    let _ = text;
}
