//! Utilities that are independent of links and managers.

pub(crate) mod count;
#[cfg(feature = "manager")]
pub(crate) mod defer_drop;
#[cfg(feature = "manager")]
pub(crate) mod histogram;
#[cfg(feature = "manager")]
pub(crate) mod random;
#[cfg(feature = "manager")]
pub(crate) mod time;
