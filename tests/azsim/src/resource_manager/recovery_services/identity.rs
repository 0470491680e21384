//! The identity a client asks for: types in any case, user-assigned ones added by `{}` and taken away by `null`.
//!
//! Types without a list keep the user-assigned ones that are there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    access_control::new_guid,
    azure::Azure,
    resource_manager::{error::Refused, estate::same},
    world::VaultIdentity,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestedIdentity {
    r#type: String,
    #[serde(default)]
    user_assigned_identities: Option<BTreeMap<String, Value>>,
}

impl RequestedIdentity {
    /// A kept system-assigned identity keeps its principal; a new one is a new principal.
    pub(super) fn apply(
        self,
        azure: &Azure,
        former: Option<VaultIdentity>,
    ) -> Result<VaultIdentity, Refused> {
        let (mut system, mut user) = (false, false);
        for word in self.r#type.split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "systemassigned" => system = true,
                "userassigned" => user = true,
                "none" => {}
                _ => return Err(invalid_type(&self.r#type)),
            }
        }
        let former = former.unwrap_or_default();
        let principal_id = system.then(|| former.principal_id.unwrap_or_else(new_guid));
        let mut user_assigned = if user { former.user_assigned } else { Vec::new() };
        for (id, value) in self.user_assigned_identities.unwrap_or_default() {
            user_assigned.retain(|known| !same(known, &id));
            if value.is_null() {
                continue;
            }
            let known = azure.user_assigned(&id).ok_or_else(|| no_identity(&id))?;
            user_assigned.push(known.resource_id);
        }
        if user && user_assigned.is_empty() {
            return Err(Refused::new(
                400,
                "InvalidIdentityValues",
                "Invalid value for the identities 'userAssignedIdentities'. It must contain at least one identity.",
            ));
        }
        Ok(VaultIdentity { principal_id, user_assigned })
    }
}

fn invalid_type(given: &str) -> Refused {
    let message = format!("The identity type '{given}' is not valid for this resource.");
    Refused::new(400, "InvalidIdentityType", message)
}

fn no_identity(id: &str) -> Refused {
    let message = format!("The user-assigned identity '{id}' was not found.");
    Refused::new(400, "FailedIdentityOperation", message)
}
