//! Places where a test makes this process fail, by name: it dies, errs, panics or lingers there, once.
//!
//! They stand at the three doors through which every use case acts: the log's transaction, Key Vault and
//! the answer. Only builds with debug assertions have them; in a release build [`fail_point!`] is nothing,
//! and this module is empty.

/// `fail_point!(("of {}", "this"), answer)`: the name, and what the function answers when a test wants an
/// error here.
macro_rules! fail_point {
    (($($name:tt)+), $answer:expr) => {
        #[cfg(debug_assertions)]
        if crate::fail_point::strikes(&format!($($name)+)).await {
            return $answer;
        }
    };
}

#[cfg(debug_assertions)]
pub use armed::{arm, strikes};

#[cfg(debug_assertions)]
mod armed {
    use std::{
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use rustix::process::{Signal, getpid, kill_process};

    static ARMED: Mutex<Option<FailPoint>> = Mutex::new(None);

    struct FailPoint {
        name: String,
        action: Action,
    }

    #[derive(Debug, Clone, Copy)]
    enum Action {
        /// As `kill -9` does it.
        Exit,
        Error,
        Panic,
        Delay(Duration),
    }

    /// Arms the one of `FAIL_POINT`, such as `put.after escrow=exit` (or `error`, `panic`, `delay:20000`
    /// for milliseconds).
    pub fn arm(text: &str) -> Result<(), String> {
        let (name, action) = text.split_once('=').ok_or_else(|| format!("is {text:?}"))?;
        let action = match action {
            "exit" => Action::Exit,
            "error" => Action::Error,
            "panic" => Action::Panic,
            other => {
                let milliseconds = other.strip_prefix("delay:").and_then(|text| text.parse().ok());
                let milliseconds = milliseconds.ok_or_else(|| format!("has {other:?}"))?;
                Action::Delay(Duration::from_millis(milliseconds))
            }
        };
        *ARMED.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(FailPoint { name: name.to_owned(), action });
        Ok(())
    }

    /// Whether an error is wanted here; the other actions happen by themselves.
    ///
    /// # Panics
    /// When a test asked for it.
    pub async fn strikes(name: &str) -> bool {
        let Some(action) = take(name) else { return false };
        tracing::error!(name, ?action, "a fail point was reached");
        match action {
            Action::Error => return true,
            Action::Delay(duration) => tokio::time::sleep(duration).await,
            #[expect(clippy::panic, reason = "what a test asked for")]
            Action::Panic => panic!("a fail point"),
            Action::Exit => {
                if let Err(error) = kill_process(getpid(), Signal::KILL) {
                    tracing::error!(%error, "this process does not die");
                }
                std::future::pending::<()>().await;
            }
        }
        false
    }

    fn take(name: &str) -> Option<Action> {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        let here = armed.as_ref().is_some_and(|point| point.name == name);
        if here { armed.take().map(|point| point.action) } else { None }
    }
}
