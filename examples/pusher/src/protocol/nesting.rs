//! The depth of JSON text, found before anything parses it.

/// Whether no array or object is nested deeper than `max`. Does not check anything else about the text. One pass, without
/// recursion and allocation.
pub fn is_shallow(text: &str, max: usize) -> bool {
    let mut depth = 0_usize;
    let mut is_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_string = !is_string,
            b'\\' if is_string => {
                bytes.next();
            }
            b'[' | b'{' if !is_string => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_objects_count_and_strings_do_not() {
        assert!(is_shallow("[[{}]]", 3));
        assert!(!is_shallow("[[{}]]", 2));
        assert!(is_shallow(r#"["[[[[", {"\"[[[": "\\"}]"#, 2));
        assert!(!is_shallow(r#"["\\", [[[]]]]"#, 3));
        assert!(is_shallow("[][][][]]]]]{}", 1));
        assert!(is_shallow("", 0));
    }

    #[test]
    fn a_hundred_thousand_brackets_are_too_many() {
        assert!(!is_shallow(&"[".repeat(100_000), 32));
        assert!(!is_shallow(&"{\"a\":".repeat(100_000), 32));
    }
}
