//! Verifies a receipt by itself: whether its event is in the log that the key's owner signed.

use super::{Finding, Report, Verdict};
use crate::audit::tlog_proof::{Receipt, ReceiptError};

/// Whatever is wrong with a receipt that can be read is a verdict. Of completeness it says nothing.
pub fn receipt(opened: &Result<Receipt, ReceiptError>) -> Report {
    let (first_bad, checkpoint) = match opened {
        Ok(receipt) => (None, Some(receipt.tree.size)),
        Err(ReceiptError::NotInTheLog(index)) => (Some(*index), None),
        Err(_) => (None, None),
    };
    let finding = opened
        .as_ref()
        .err()
        .map(|error| Finding { sequence: first_bad, problem: error.to_string() });
    Report {
        integrity: if finding.is_none() { Verdict::Ok } else { Verdict::Failed },
        completeness: Verdict::Unknown,
        first_bad_sequence: first_bad,
        events: 1,
        checkpoint_size: checkpoint,
        archived: Vec::new(),
        findings: finding.into_iter().collect(),
    }
}
