//! Text forms of node addresses.

use switchboard::NodeAddr;

/// Checks that a parsed address survives its text form, and that the text of any number parses.
pub fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        match text.parse::<NodeAddr>() {
            Ok(addr) => {
                let again = addr.to_string();
                assert_eq!(again.parse(), Ok(addr));
                // There are two text forms, each of a fixed length; both ignore case.
                match text.strip_prefix("0x") {
                    Some(digits) => assert_eq!(digits.to_uppercase(), again.replace("::", "")),
                    None => assert_eq!(text.to_uppercase(), again),
                }
            }
            Err(error) => assert!(error.to_string().len() < 1024),
        }
    }
    if let Some(first) = bytes.first_chunk::<8>() {
        let addr = NodeAddr(u64::from_le_bytes(*first));
        assert_eq!(addr.to_string().parse(), Ok(addr));
        assert_eq!(addr.to_string().to_lowercase().parse(), Ok(addr));
        assert_eq!(format!("{:#018x}", addr.0).parse(), Ok(addr));
    }
}
