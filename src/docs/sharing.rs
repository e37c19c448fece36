//! Many threads change one table.
