//! Azure's answers as facts of a preflight.

use crate::{
    azure::{CallFacts, ResourceManagerError, Told},
    domain::preflight::facts::{Seen, Source},
};

impl From<&CallFacts> for Source {
    fn from(facts: &CallFacts) -> Self {
        Self {
            call: format!("{} https://management.azure.com{}", facts.method, facts.path),
            status: facts.status,
            code: facts.code.clone(),
            request_id: facts.request_id.clone(),
            milliseconds: u64::try_from(facts.duration.as_millis()).unwrap_or(u64::MAX),
            answered_at: facts.answered_at,
        }
    }
}

pub(super) fn seen<T>(outcome: Result<Told<T>, ResourceManagerError>) -> Seen<T> {
    let error = match outcome {
        Ok(told) => return Seen::Found(told.value, Source::from(&told.facts)),
        Err(error) => error,
    };
    let source = Source::from(error.facts());
    match &error {
        ResourceManagerError::NotFound(_) => Seen::Absent(source),
        ResourceManagerError::Forbidden { .. } => {
            Seen::Forbidden { action: error.action().to_owned(), source }
        }
        ResourceManagerError::Throttled { .. }
        | ResourceManagerError::Credential { .. }
        | ResourceManagerError::Unavailable(_)
        | ResourceManagerError::InvalidAnswer(_)
        | ResourceManagerError::Refused(_) => Seen::Unreadable { why: error.to_string(), source },
    }
}

/// None found is not an answer of its own: it is absent.
pub(super) fn present<T>(seen: Seen<Option<T>>) -> Seen<T> {
    match seen {
        Seen::Found(Some(value), source) => Seen::Found(value, source),
        Seen::Found(None, source) | Seen::Absent(source) => Seen::Absent(source),
        Seen::Forbidden { action, source } => Seen::Forbidden { action, source },
        Seen::Unreadable { why, source } => Seen::Unreadable { why, source },
        Seen::NotAsked(reason) => Seen::NotAsked(reason),
        Seen::Closed(reason) => Seen::Closed(reason),
    }
}
