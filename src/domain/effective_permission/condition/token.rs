//! A condition cut into tokens.

/// Azure keeps conditions far below this.
const LONGEST: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Open,
    Close,
    OpenSet,
    CloseSet,
    Comma,
    Not,
    And,
    Or,
    /// The name of an operator or function, a number, `true`.
    Word(&'a str),
    /// What is between quotes.
    Text(&'a str),
    /// `@Source[name]`.
    Attribute {
        source: &'a str,
        name: &'a str,
    },
}

/// With its place in the condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// `None` for what no condition can hold.
pub(super) fn tokens(condition: &str) -> Option<Vec<Token<'_>>> {
    if condition.len() > LONGEST {
        return None;
    }
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        let rest = condition[at..].trim_start();
        let start = condition.len() - rest.len();
        if rest.is_empty() {
            return Some(found);
        }
        let (kind, length) = first(rest)?;
        at = start + length;
        found.push(Token { kind, start, end: at });
    }
}

fn first(text: &str) -> Option<(Kind<'_>, usize)> {
    let fixed = [
        ("(", Kind::Open),
        (")", Kind::Close),
        ("{", Kind::OpenSet),
        ("}", Kind::CloseSet),
        (",", Kind::Comma),
        ("!", Kind::Not),
        ("&&", Kind::And),
        ("||", Kind::Or),
    ];
    if let Some((sign, kind)) = fixed.iter().find(|(sign, _)| text.starts_with(sign)) {
        return Some((*kind, sign.len()));
    }
    if let Some(inside) = text.strip_prefix('\'') {
        let (value, _) = inside.split_once('\'')?;
        // Whether a backslash can hide a quote is not documented.
        return (!value.ends_with('\\')).then_some((Kind::Text(value), value.len() + 2));
    }
    if let Some(inside) = text.strip_prefix('@') {
        let (source, after) = inside.split_once('[')?;
        let (name, _) = after.split_once(']')?;
        let fits = word(source) == source && !name.contains(['[', '\'', '\n']);
        let length = source.len() + name.len() + 3;
        return fits.then_some((Kind::Attribute { source, name }, length));
    }
    let word = word(text);
    let kind = match word {
        "" => return None,
        "NOT" => Kind::Not,
        "AND" => Kind::And,
        "OR" => Kind::Or,
        other => Kind::Word(other),
    };
    Some((kind, word.len()))
}

fn word(text: &str) -> &str {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
    &text[..text.find(|c| !belongs(c)).unwrap_or(text.len())]
}
