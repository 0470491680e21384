//! OCSF on standard output, one event a line, among the lines of the log stream. Whoever collects those tells them
//! apart by `class_uid`.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Refusal, ocsf};
use crate::audit::Batch;

pub struct Stdout(Arc<Mutex<dyn Write + Send>>);

impl Stdout {
    /// Each line is handed over in one piece.
    pub fn new(lines: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Taken is what was written. A full pipe holds a thread of its own up, and nothing else.
    pub(super) async fn deliver(&self, batch: &Batch) -> Result<(), Refusal> {
        let lines: Vec<String> =
            batch.events.iter().map(|event| format!("{}\n", ocsf::api_activity(event))).collect();
        let output = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().try_for_each(|line| output.write_all(line.as_bytes()))?;
            output.flush()
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refusal { reason: "cannot be written".to_owned(), retry_after: None }),
        }
    }
}
