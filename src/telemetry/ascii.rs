//! Log lines in ASCII only. JSON escapes the control characters below U+0020 but not U+009B, which
//! begins an escape sequence in many terminals, nor the marks that make text run backwards.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(super) struct AsciiLines<W>(pub(super) W);

pub(super) struct AsciiWriter<W>(W);

impl<'writer, W: MakeWriter<'writer>> MakeWriter<'writer> for AsciiLines<W> {
    type Writer = AsciiWriter<W::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        AsciiWriter(self.0.make_writer())
    }
}

impl<W: Write> Write for AsciiWriter<W> {
    /// The formatter hands over one whole event at a time, so no character is cut in two.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.iter().all(|byte| byte.is_ascii() && *byte != 0x7f) {
            self.0.write_all(line)?;
        } else {
            self.0.write_all(escape(&String::from_utf8_lossy(line)).as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// In JSON such characters occur inside strings only, where `\uXXXX` means the same.
fn escape(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() * 2);
    for character in line.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            escaped.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let digit = |shift: u16| char::from(DIGITS[usize::from(*unit >> shift & 0xf)]);
                escaped.extend(['\\', 'u', digit(12), digit(8), digit(4), digit(0)]);
            }
        }
    }
    escaped
}
