//! The grammar of conditions.
//!
//! AND and OR side by side without parentheses are refused, as Azure demands parentheses there.

use super::token::{Kind, Token, tokens};

/// Parentheses and negations within each other. Documented conditions need about five.
const DEEPEST: usize = 64;

const FUNCTIONS: [&str; 3] = ["ActionMatches", "SubOperationMatches", "Exists"];

#[derive(Debug)]
pub(super) enum Expression<'a> {
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    ActionMatches(&'a str),
    Comparison {
        attribute: Attribute<'a>,
        operator: &'a str,
        values: Values<'a>,
        /// The whole comparison as it is written.
        text: &'a str,
    },
    /// Well-formed, and about something else than names.
    Other(&'a str),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) source: &'a str,
    pub(super) name: &'a str,
}

/// The right side of a comparison.
#[derive(Debug)]
pub(super) enum Values<'a> {
    One(&'a str),
    Set(Vec<&'a str>),
}

enum Operand<'a> {
    Attribute(Attribute<'a>),
    Values(Values<'a>),
    Other,
}

/// `None` for what is not of this grammar.
pub(super) fn parse(condition: &str) -> Option<Expression<'_>> {
    let tokens = tokens(condition)?;
    let mut parser = Parser { condition, tokens: &tokens, next: 0, depth: 0 };
    let expression = parser.expression()?;
    (parser.next == tokens.len()).then_some(expression)
}

struct Parser<'a, 't> {
    condition: &'a str,
    tokens: &'t [Token<'a>],
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a, '_> {
    fn expression(&mut self) -> Option<Expression<'a>> {
        let first = self.negation()?;
        let Some(joint @ (Kind::And | Kind::Or)) = self.peek() else { return Some(first) };
        let mut parts = vec![first];
        while self.take(joint) {
            parts.push(self.negation()?);
        }
        match self.peek() {
            Some(Kind::And | Kind::Or) => None,
            _ if joint == Kind::And => Some(Expression::All(parts)),
            _ => Some(Expression::Any(parts)),
        }
    }

    fn negation(&mut self) -> Option<Expression<'a>> {
        if !self.take(Kind::Not) {
            return self.term();
        }
        let inner = self.deeper(Self::negation)?;
        Some(Expression::Not(Box::new(inner)))
    }

    fn term(&mut self) -> Option<Expression<'a>> {
        if self.take(Kind::Open) {
            let inner = self.deeper(Self::expression)?;
            return self.take(Kind::Close).then_some(inner);
        }
        let start = self.next;
        match self.peek()? {
            Kind::Word("ActionMatches") => {
                self.next += 1;
                let Operand::Values(Values::Set(patterns)) = self.operand()? else { return None };
                let [pattern] = patterns.as_slice() else { return None };
                Some(Expression::ActionMatches(pattern))
            }
            Kind::Word("SubOperationMatches" | "Exists") => {
                self.next += 1;
                self.operand()?;
                Some(Expression::Other(self.text(start)))
            }
            _ => self.comparison(start),
        }
    }

    fn comparison(&mut self, start: usize) -> Option<Expression<'a>> {
        let left = self.operand()?;
        let Some(Kind::Word(operator)) = self.peek() else { return None };
        if is_literal(operator) || FUNCTIONS.contains(&operator) {
            return None;
        }
        self.next += 1;
        let right = self.operand()?;
        let text = self.text(start);
        Some(match (left, right) {
            (Operand::Attribute(attribute), Operand::Values(values)) => {
                Expression::Comparison { attribute, operator, values, text }
            }
            _ => Expression::Other(text),
        })
    }

    fn operand(&mut self) -> Option<Operand<'a>> {
        let kind = self.peek()?;
        self.next += 1;
        match kind {
            Kind::Attribute { source, name } => {
                Some(Operand::Attribute(Attribute { source, name }))
            }
            Kind::Text(text) => Some(Operand::Values(Values::One(text))),
            Kind::Word(word) if is_literal(word) => Some(Operand::Other),
            Kind::OpenSet => self.set(),
            _ => None,
        }
    }

    /// After the opening brace.
    fn set(&mut self) -> Option<Operand<'a>> {
        let (mut texts, mut all_texts) = (Vec::new(), true);
        loop {
            match self.peek()? {
                Kind::Text(text) => texts.push(text),
                Kind::Word(word) if is_literal(word) => all_texts = false,
                _ => return None,
            }
            self.next += 1;
            if self.take(Kind::CloseSet) {
                let set = Operand::Values(Values::Set(texts));
                return Some(if all_texts { set } else { Operand::Other });
            }
            if !self.take(Kind::Comma) {
                return None;
            }
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let parsed = if self.depth > DEEPEST { None } else { parse(self) };
        self.depth -= 1;
        parsed
    }

    fn peek(&self) -> Option<Kind<'a>> {
        self.tokens.get(self.next).map(|token| token.kind)
    }

    fn take(&mut self, kind: Kind<'_>) -> bool {
        let taken = self.peek() == Some(kind);
        self.next += usize::from(taken);
        taken
    }

    /// What was read since the token at `start`.
    fn text(&self, start: usize) -> &'a str {
        let ends = (self.tokens.get(start), self.tokens.get(self.next.saturating_sub(1)));
        let (Some(first), Some(last)) = ends else { return "" };
        self.condition.get(first.start..last.end).unwrap_or_default()
    }
}

/// A number or a truth value, and not the name of an operator.
fn is_literal(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || c == '-') || matches!(word, "true" | "false")
}
