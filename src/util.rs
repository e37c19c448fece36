//! Utilities that are independent of links and managers.

pub(crate) mod count;
pub(crate) mod defer_drop;
pub(crate) mod histogram;
pub(crate) mod random;
pub(crate) mod time;
