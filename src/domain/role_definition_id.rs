//! The id of a role, as role assignments name it. Built-in roles are found everywhere, others in a
//! subscription or at the root.

use thiserror::Error;
use uuid::Uuid;

/// `[/subscriptions/{guid}]/providers/Microsoft.Authorization/roleDefinitions/{guid}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinitionId {
    text: String,
    guid: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a role definition's id ends with /providers/Microsoft.Authorization/roleDefinitions/<guid>"
)]
pub struct InvalidRoleDefinitionId;

impl RoleDefinitionId {
    /// Parses the `roleDefinitionId` of a role assignment.
    pub fn parse(text: &str) -> Result<Self, InvalidRoleDefinitionId> {
        let parts: Vec<&str> = text.split('/').collect();
        let (subscription, rest) = match *parts.as_slice() {
            ["", subscriptions, subscription, ref rest @ ..]
                if subscriptions.eq_ignore_ascii_case("subscriptions") =>
            {
                let id = Uuid::try_parse(subscription).map_err(|_| InvalidRoleDefinitionId)?;
                (format!("/subscriptions/{id}"), rest)
            }
            ["", ref rest @ ..] => (String::new(), rest),
            _ => return Err(InvalidRoleDefinitionId),
        };
        let &[providers, provider, kind, guid] = rest else {
            return Err(InvalidRoleDefinitionId);
        };
        let words = [
            (providers, "providers"),
            (provider, "Microsoft.Authorization"),
            (kind, "roleDefinitions"),
        ];
        let guid = Uuid::try_parse(guid).map_err(|_| InvalidRoleDefinitionId)?;
        if !words.iter().all(|(given, wanted)| given.eq_ignore_ascii_case(wanted)) {
            return Err(InvalidRoleDefinitionId);
        }
        let text =
            format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}");
        Ok(Self { text, guid })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same role has the same GUID in every subscription.
    pub fn guid(&self) -> Uuid {
        self.guid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_found_in_a_subscription_or_at_the_root() {
        let guid = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";
        let root = format!("/providers/Microsoft.Authorization/roleDefinitions/{guid}");
        let own = format!("/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591{root}");
        for id in [&root, &own] {
            let role = RoleDefinitionId::parse(id).unwrap();
            assert_eq!((role.as_str(), role.guid().to_string().as_str()), (id.as_str(), guid));
            assert_eq!(RoleDefinitionId::parse(&id.to_uppercase()).unwrap(), role);
        }
        for wrong in [
            "",
            guid,
            &root.replace(guid, "Owner"),
            &root.replace("roleDefinitions", "roleAssignments"),
            &root[1..],
            &own.replace("0b1f6471", ".."),
            &format!("{own}/.."),
            &format!("https://evil.example{root}"),
            &format!("/providers/Microsoft.Management/managementGroups/..{root}"),
        ] {
            assert_eq!(RoleDefinitionId::parse(wrong), Err(InvalidRoleDefinitionId), "{wrong}");
        }
    }
}
