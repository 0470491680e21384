//! Logs and metrics. Logs are JSON on standard output, one event a line, in ASCII only; metrics
//! are rendered for Prometheus on request.
//!
//! No log filter, however it is set, lets a library be more talkative than `info`: below that,
//! HTTP and database libraries print headers, frames and statements.

mod ascii;
mod metrics;

use thiserror::Error;
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
};

use ascii::AsciiLines;
pub use metrics::{MetricsHandle, install_metrics};

const OWN_TARGET: &str = "passphrase_broker";

/// Standard output for lines of JSON that are no log events, in ASCII like those.
pub fn lines() -> impl std::io::Write + Send + 'static {
    AsciiLines(std::io::stdout).make_writer()
}

/// The filter is not one.
#[derive(Debug, Error)]
#[error("the log filter {0}")]
pub struct InvalidFilter(String);

/// Logs to standard output from now on. A process has one log: where several servers start in one,
/// the first sets it up. Records of the `log` crate are not bridged: rustls is the only library
/// here that writes them, and what it writes is about handshakes.
pub fn init(log_level: &str) -> Result<(), InvalidFilter> {
    let subscriber = subscriber(log_level, std::io::stdout)?;
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("the log is set up already");
    }
    Ok(())
}

/// What [`init`] installs, with another destination.
pub fn subscriber<W>(
    log_level: &str,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, InvalidFilter>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    check_filter(log_level).map_err(InvalidFilter)?;
    let asked = EnvFilter::builder()
        .with_regex(false)
        .parse(log_level)
        .map_err(|error| InvalidFilter(error.to_string()))?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(AsciiLines(writer))
        .with_filter(asked.and(filter_fn(is_harmless)));
    Ok(tracing_subscriber::registry().with(lines))
}

/// Says what is wrong with a log filter, to follow the name of the variable that holds it.
pub fn check_filter(text: &str) -> Result<(), String> {
    // A word alone is a target, all of whose events are wanted, and nothing else: LOG_LEVEL=verbose
    // would silence this service.
    let is_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if !text.contains('[')
        && let Some(part) = text.split(',').find(|part| !is_level(part.trim()))
    {
        return Err(format!("contains {part:?}, which is no level"));
    }
    let parsed = EnvFilter::builder().with_regex(false).parse(text);
    parsed.map(drop).map_err(|error| format!("is {text:?} ({error})"))
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let own = metadata
        .target()
        .strip_prefix(OWN_TARGET)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    own || *metadata.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged under `filter` while `work` runs.
    fn logged(filter: &str, work: impl FnOnce()) -> String {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let subscriber = subscriber(filter, Buffer(Arc::clone(&buffer))).unwrap();
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(buffer.lock().unwrap().clone()).unwrap()
    }

    #[derive(Clone)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'writer> MakeWriter<'writer> for Buffer {
        type Writer = Self;

        fn make_writer(&'writer self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn no_filter_makes_a_library_print_what_it_sends() {
        for filter in ["trace", "hyper=trace", "info,h2=trace,sqlx=debug", "[{header}]=trace"] {
            let text = logged(filter, || {
                tracing::trace!(target: "hyper::proto::h1::io", header = "authorization", "canary");
                tracing::trace!(target: "h2::codec::framed_read", header = "x", "canary");
                tracing::debug!(target: "azure_core::http::policies", header = "x", "canary");
                tracing::debug!(target: "sqlx::query", header = "x", "canary");
                tracing::debug!(target: "passphrase_broker_else", header = "x", "canary");
                let _span =
                    tracing::debug_span!(target: "reqwest", "canary", header = "x").entered();
                tracing::info!(target: "passphrase_broker::x", "said");
            });
            assert!(!text.contains("canary"), "{filter}: {text}");
        }
    }

    #[test]
    fn own_events_obey_the_filter() {
        let work = || tracing::debug!(target: "passphrase_broker::store", "said");
        assert!(logged("debug", work).contains("said"));
        assert!(logged("warn,passphrase_broker=debug", work).contains("said"));
        assert!(!logged("info", work).contains("said"));
    }

    #[test]
    fn an_event_is_one_line_of_json_with_the_time_in_utc() {
        let text = logged("info", || {
            let _span = tracing::info_span!("request", request_id = "r-1").entered();
            tracing::info!(target: "passphrase_broker", machine = 7, "done");
        });
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&event["message"], &event["machine"]), (&"done".into(), &7.into()));
        assert_eq!(event["span"]["request_id"], "r-1");
        let at = event["timestamp"].as_str().unwrap();
        let format = &time::format_description::well_known::Rfc3339;
        assert!(time::OffsetDateTime::parse(at, format).unwrap().offset().is_utc());
    }

    #[test]
    fn what_a_caller_sends_cannot_break_a_line_or_reach_the_terminal() {
        let hostile =
            "a\r\n{\"level\":\"INFO\"}\u{1b}[2J\u{9b}31m\u{7f}\u{0}\u{202e}\u{2028}é\u{1f600}";
        let text = logged("info", || {
            let _span = tracing::info_span!("request", path = hostile).entered();
            tracing::info!(value = hostile, debug = ?hostile, "{hostile}");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["value"], hostile);
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        assert_eq!(check_filter("info"), Ok(()));
        assert_eq!(check_filter("info,passphrase_broker=debug"), Ok(()));
        for wrong in ["verbose", "info,loud", "passphrase_broker=loud", "[x"] {
            assert!(check_filter(wrong).is_err(), "{wrong}");
        }
    }
}
