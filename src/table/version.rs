use std::fmt;

/// The number of a published state of a table: zero for the table as it was built, and one more with each
/// publish.
///
/// Versions of one table are totally ordered; versions of different tables are unrelated. A version number is
/// never reused: at one publish per nanosecond, they last for 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of a table before its first publish.
    pub const ZERO: Self = Self(0);

    /// Returns the version as a number, for logs and wire formats.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Never published.
    pub(super) const MAX: Self = Self(u64::MAX);

    pub(super) const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns the smallest version that is newer, for any version that a caller may have made up.
    pub(super) const fn newer(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
