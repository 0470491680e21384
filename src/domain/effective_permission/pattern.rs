//! Wildcards: of actions in roles, and of `StringLike` in conditions.
//!
//! Matching remembers the last `*` only, so it takes at most pattern times text steps whatever the pattern.

/// One place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// `*`: any run of characters, slashes and nothing included.
    Run,
    /// `?`: any one character.
    One,
    Character(char),
}

/// Whether the action pattern of a role covers `action`. Without case; `*` is the only wildcard.
pub(super) fn covers(pattern: &str, action: &str) -> bool {
    let piece = |c: char| if c == '*' { Piece::Run } else { Piece::Character(c) };
    let pieces: Vec<Piece> = pattern.chars().map(piece).collect();
    matches(&pieces, action, true)
}

/// Whether `text` is like `pattern`: `*`, `?`, and both of them literally after a backslash. `None` when the
/// backslash stands before anything else, which is not documented.
pub(super) fn like(pattern: &str, text: &str, ignore_case: bool) -> Option<bool> {
    let (mut pieces, mut characters) = (Vec::new(), pattern.chars());
    while let Some(character) = characters.next() {
        pieces.push(match character {
            '*' => Piece::Run,
            '?' => Piece::One,
            '\\' => Piece::Character(characters.next().filter(|next| "*?".contains(*next))?),
            other => Piece::Character(other),
        });
    }
    Some(matches(&pieces, text, ignore_case))
}

fn matches(pieces: &[Piece], text: &str, ignore_case: bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut piece, mut at) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: after it, one character further.
    let mut retry = None;
    while at < text.len() {
        match pieces.get(piece) {
            Some(Piece::Run) => {
                piece += 1;
                retry = Some((piece, at));
            }
            Some(wanted) if fits(*wanted, text[at], ignore_case) => {
                piece += 1;
                at += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return false };
                (piece, at) = (after, from + 1);
                retry = Some((after, at));
            }
        }
    }
    pieces[piece..].iter().all(|left| *left == Piece::Run)
}

fn fits(piece: Piece, character: char, ignore_case: bool) -> bool {
    match piece {
        Piece::Run | Piece::One => true,
        Piece::Character(wanted) if ignore_case => wanted.eq_ignore_ascii_case(&character),
        Piece::Character(wanted) => wanted == character,
    }
}
