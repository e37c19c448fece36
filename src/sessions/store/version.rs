//! The version of stored data.

use std::fmt;

/// The version of stored data: the opening of the store, and the number of the change since then.
///
/// Versions of one key are ordered by opening, then by number.
///
/// # Examples
/// ```
/// use switchboard::sessions::store::Version;
///
/// assert!(Version::new(2, 1) > Version::new(1, 1000), "a later opening is newer");
/// assert!(Version::new(2, 2) > Version::new(2, 1));
/// assert_eq!(Version::new(2, 1).to_string(), "2.1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Version {
    /// The opening of the store in which the change was made.
    pub opening: u64,
    /// The number of the change, which grows per key.
    pub number: u64,
}

impl Version {
    /// Creates a version.
    #[must_use]
    pub const fn new(opening: u64, number: u64) -> Self {
        Self { opening, number }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.opening, self.number)
    }
}
