//! Line ends of a request's headers. The HTTP library takes a lone LF for a line's end, as it may;
//! whoever stands in front and takes it for part of a header's value sees other headers than it.

/// Reads along until the headers are over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LineEnds {
    after_cr: bool,
    in_line: bool,
    part: Part,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    /// Empty lines here are no end of the headers.
    #[default]
    BeforeRequest,
    Headers,
    Body,
}

impl LineEnds {
    /// Whether every LF in these bytes, as far as they are headers, follows a CR.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                _ if self.part == Part::Body => break,
                b'\n' if !self.after_cr => return false,
                b'\n' => {
                    self.part = match self.part {
                        _ if self.in_line => Part::Headers,
                        Part::BeforeRequest => Part::BeforeRequest,
                        Part::Headers | Part::Body => Part::Body,
                    };
                    (self.in_line, self.after_cr) = (false, false);
                }
                b'\r' => self.after_cr = true,
                _ => (self.in_line, self.after_cr) = (true, false),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(parts: &[&str]) -> bool {
        let mut line_ends = LineEnds::default();
        parts.iter().all(|part| line_ends.admit(part.as_bytes()))
    }

    #[test]
    fn a_lone_lf_is_refused_in_headers_and_in_headers_only() {
        assert!(admits(&["POST / HTTP/1.1\r\nA: b\r\n\r\n{\n}\n"]));
        assert!(admits(&["\r\n\r\nPOST / HTTP/1.1\r", "\nA: b\r\n\r", "\n{\n}\n", "\n"]));
        for wrong in ["GET / HTTP/1.1\n", "\n", "\r\n\r\nGET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"] {
            assert!(!admits(&[wrong]), "{wrong:?}");
        }
    }
}
