//! Text from outside (a script's log lines, a child's stderr) made fit for a terminal and a log: one line,
//! of bounded length, that shows what it is and does nothing.

use std::fmt::Write as _;

/// Bytes of a line that an operator's log keeps.
pub const MAX_LINE: usize = 8 << 10;

/// `text` as one line of at most about `most` bytes: colours and other CSI sequences (ECMA-48, section
/// 5.4) removed; other control characters, line separators and what changes the order or the look of the
/// text around it (bidi controls, invisible characters, tags) written as `\u{…}`, line breaks as `\n`.
/// Tabs stay. What is cut off is counted.
pub fn sanitize(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most) + 32);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if line.len() >= most {
            let _ = write!(line, "… ({} bytes more)", rest.len());
            break;
        }
        let after = &rest[c.len_utf8()..];
        let parameters = match c {
            '\u{1b}' => after.strip_prefix('['),
            '\u{9b}' => Some(after),
            _ => None,
        };
        if let Some(end) = parameters.and_then(csi) {
            rest = end;
            continue;
        }
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push(c),
            c if is_hidden(c) => {
                let _ = write!(line, "{}", c.escape_unicode());
            }
            c => line.push(c),
        }
        rest = after;
    }
    line
}

/// As [`sanitize`], of bytes: what is not UTF-8 becomes U+FFFD.
pub fn sanitize_bytes(bytes: &[u8], most: usize) -> String {
    // Far more than can be shown is not even looked at: each character shown is at most 4 bytes, and
    // sequences that are removed do not make room for ever.
    let head = &bytes[..bytes.len().min(most.saturating_mul(8))];
    let mut line = sanitize(&String::from_utf8_lossy(head), most);
    if head.len() < bytes.len() {
        let _ = write!(line, "… ({} bytes more)", bytes.len() - head.len());
    }
    line
}

/// What follows a control sequence whose parameters begin `text`, if it is one.
fn csi(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().take(64).position(|byte| !(0x20..=0x3f).contains(byte))?;
    (0x40..=0x7e).contains(&bytes[end]).then(|| &text[end + 1..])
}

/// Control and format characters. U+200C and U+200D stay: scripts of many languages need them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The first `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_nothing_but_show_what_they_are() {
        for (text, shown) in [
            ("plain, é 日本 😀", "plain, é 日本 😀"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[38;5;1;4mx\u{1b}[2J\u{1b}[1;1Hy", "xy"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}[?25lx", "x"),
            ("\u{1b}[1 qx", "x"),
            ("\u{1b}]0;title\u{7}x", "\\u{1b}]0;title\\u{7}x"),
            ("\u{1b}]8;;http://evil\u{1b}\\x", "\\u{1b}]8;;http://evil\\u{1b}\\x"),
            ("\u{1b}P1$r\u{1b}\\", "\\u{1b}P1$r\\u{1b}\\"),
            ("\u{1b}cx", "\\u{1b}cx"),
            ("\u{1b}[31", "\\u{1b}[31"),
            ("\u{1b}[é", "\\u{1b}[é"),
            ("\u{1b}", "\\u{1b}"),
            ("\u{1b}[\u{1b}[31mx", "\\u{1b}[x"),
            ("a\nINFO forged", "a\\nINFO forged"),
            ("a\r\nb\rc", "a\\r\\nb\\rc"),
            ("a\tb", "a\tb"),
            ("a\0b\u{8}\u{7f}", "a\\u{0}b\\u{8}\\u{7f}"),
            ("a\u{85}\u{90}", "a\\u{85}\\u{90}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\u{2066}\u{2069}\u{200f}\u{61c}", "\\u{2066}\\u{2069}\\u{200f}\\u{61c}"),
            ("a\u{200b}\u{feff}b", "a\\u{200b}\\u{feff}b"),
            ("\u{e0041}", "\\u{e0041}"),
            ("👨\u{200d}👩", "👨\u{200d}👩"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("back\\slash \"quoted\"", "back\\slash \"quoted\""),
            ("", ""),
        ] {
            assert_eq!(sanitize(text, MAX_LINE), shown, "{text:?}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        assert_eq!(sanitize("abcdef", 3), "abc… (3 bytes more)");
        assert_eq!(sanitize("abc", 3), "abc");
        assert_eq!(sanitize("éééé", 3), "éé… (4 bytes more)");
        assert!(sanitize(&"\n".repeat(1 << 20), 100).len() < 150);
        assert!(sanitize(&"\u{202e}".repeat(1 << 20), 100).len() < 150);
        assert_eq!(sanitize(&"\u{1b}[31m".repeat(1000), 10), "");
    }

    #[test]
    fn bytes_that_are_not_utf8_show_as_such() {
        assert_eq!(sanitize_bytes(b"a\xff\x1b[1mb\n", MAX_LINE), "a\u{fffd}b\\n");
        let long = sanitize_bytes(&vec![b'x'; 1 << 20], 10);
        assert!(long.starts_with("xxxxxxxxxx… (") && long.len() < 80, "{long}");
    }
}
