//! Microsoft Graph as a managed identity without rights there sees it: 403 to everything.
//!
//! `az role assignment list` asks it for display names and goes on without them.

use serde_json::json;

use crate::{access_control::new_guid, http::Answer};

pub(crate) fn answer() -> Answer {
    let id = new_guid();
    let body = json!({
        "error": {
            "code": "Authorization_RequestDenied",
            "message": "Insufficient privileges to complete the operation.",
            "innerError": {"request-id": id, "client-request-id": id},
        },
    });
    Answer::json(403, &body).with("request-id", &id)
}
