//! `/problems/{code}`: what a problem means, and what to do about it as the caller and as the operator.

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};

use super::{codes::Code, problem::Problem};

/// Explains a problem code.
#[utoipa::path(get, path = "/problems/{code}", operation_id = "problem_page", tag = "operations",
    params(("code" = String, Path, description = "A problem's `code`")),
    responses(
        (status = 200, description = "What it means and what to do.", body = String, content_type = "text/html"),
        (status = 404, description = "There is no such code.", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn problem_page(Path(slug): Path<String>) -> Result<Response, Problem> {
    let code = Code::ALL.iter().copied().find(|code| code.slug() == slug);
    let code = code.ok_or_else(|| Problem::new(Code::NotFound, "there is no such problem code"))?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page(code)).into_response())
}

fn page(code: Code) -> String {
    let (caller, operator) = advice(code);
    let (slug, status, title) = (code.slug(), code.status(), code.title());
    let mars = code.mars_error_code().map(|mars| {
        format!("<p>The MARS agent reports the same cause as error <strong>{mars}</strong>.</p>\n")
    });
    let retry = if code.retryable() {
        "The same request may succeed later."
    } else {
        "The same request will be refused again."
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{slug}</title>\n<h1>{title}</h1>\n\
         <p><code>{slug}</code>, HTTP {status}. {retry}</p>\n{}<h2>If you called</h2>\n<p>{caller}</p>\n\
         <h2>If you operate this service</h2>\n<p>{operator}</p>\n</html>\n",
        mars.unwrap_or_default()
    )
}

/// What the caller, and what the operator, should do.
#[expect(clippy::too_many_lines, reason = "a table, one row a code")]
fn advice(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::Unauthenticated => (
            "Get an access token of Entra ID for this service's app registration (version 2) and send it as <code>Authorization: Bearer</code>. The detail says what was wrong with the one you sent. To retrieve a passphrase, a person's token is at most 75 minutes old.",
            "When it says that the token is of version 1, set <code>api.requestedAccessTokenVersion</code> to 2 in the app registration's manifest. Compare ENTRA_TENANT_IDS and ENTRA_AUDIENCE with the token's tid and aud.",
        ),
        Code::RoleMissing => (
            "The detail names the app role that your token lacks. <code>GET /v1/me</code> shows what you have. Ask for the role, then get a new token.",
            "Assign the role to the user, group or managed identity under Enterprise applications. Tokens of managed identities are cached for up to 24 hours.",
        ),
        Code::GuestNotAllowed => (
            "Ask a member of the tenant to retrieve it.",
            "Guests of the tenant are refused passphrases whatever roles they have; give the person an account of the tenant.",
        ),
        Code::NotFound => (
            "Check the id. To an agent, machines other than its own do not exist.",
            "If an agent is refused its own machine, compare the machine's agentObjectId with the object id that <code>GET /v1/me</code> shows the agent.",
        ),
        Code::NoSigningKey => (
            "There are no checkpoints of this log. Ask whoever operates the service to configure a signing key.",
            "Make a key pair with <code>passphrase-broker audit keygen</code> and set AUDIT_SIGNING_KEY_FILE or AUDIT_SIGNING_SECRET. When AUDIT_SIGNING_SECRET is set, the error log says why the key cannot be read.",
        ),
        Code::MethodNotAllowed => {
            ("The Allow header lists the methods of this resource.", "Nothing to do.")
        }
        Code::NotAcceptable => ("Ask for application/json.", "Nothing to do."),
        Code::InvalidRequest => (
            "The member <code>errors</code> says where and why. Values are never repeated in errors. <a href=\"/docs/\">The documentation</a> shows each request.",
            "Nothing to do.",
        ),
        Code::PayloadTooLarge => {
            ("No request of this API needs more than 64 KiB.", "Nothing to do.")
        }
        Code::UnsupportedMediaType => {
            ("Send JSON, with <code>Content-Type: application/json</code>.", "Nothing to do.")
        }
        Code::RequestTimeout => (
            "The body came too slowly. Send it again.",
            "If many callers meet this, look at the network in front of the service.",
        ),
        Code::PassphrasePolicyViolation => (
            "MARS wants at least 16 characters of printable ASCII. Leading and trailing spaces are refused because they are lost when somebody copies the text. Or let it be generated.",
            "Nothing to do.",
        ),
        Code::ReasonRequired => (
            "Give one of the reasons, and a justification of 10 to 500 characters (20 at least with <code>other</code>). Auditors read it.",
            "Nothing to do.",
        ),
        Code::TicketInvalid => (
            "A ticket is required, or yours has not the form that this organisation configured.",
            "TICKET_REQUIRED and TICKET_PATTERN decide; the pattern must match the whole ticket.",
        ),
        Code::MachineExists => (
            "Look it up with <code>GET /v1/machines?q=</code>. If a registration was interrupted, repeating it after 30 seconds and within 5 minutes finishes it.",
            "Nothing to do.",
        ),
        Code::SecretNameTaken => (
            "The detail says by what. If MARS saved the passphrase there, register with the source <code>adopted</code>; if two machines' names differ in dots only, choose a secretName for one of them.",
            "Nothing to do.",
        ),
        Code::RotationInProgress => (
            "Finish the open rotation: confirm it, report its failure, or abandon it if nobody collected it. It ends by itself at its deadline.",
            "Nothing to do.",
        ),
        Code::InvalidRotationState => (
            "The detail says which state is in the way. <code>GET</code> the rotation.",
            "When MARS saved another passphrase than the rotation's, somebody changed it on the server by hand, or another machine writes to this secret. All of them stay retrievable.",
        ),
        Code::AgentBindingMismatch => (
            "An identity acts for one machine. Unbind it from the other one first (PATCH with agentObjectId null), or retire that machine.",
            "After a re-image a machine has a new identity; the old binding is removed by PATCH.",
        ),
        Code::SecretNotDeleted => ("There is nothing to recover.", "Nothing to do."),
        Code::IdempotencyInProgress => {
            ("Wait for the first request, then repeat it with the same key.", "Nothing to do.")
        }
        Code::IdempotencyKeyReused => ("Use a new key for a new request.", "Nothing to do."),
        Code::PreconditionRequired => {
            ("GET the machine, and send its ETag as If-Match.", "Nothing to do.")
        }
        Code::PreconditionFailed => {
            ("Somebody changed the machine. GET it again and decide anew.", "Nothing to do.")
        }
        Code::RotationExpired => (
            "Request a new rotation. If the passphrase was collected and applied before the deadline, confirm the old rotation: late confirmations count.",
            "If agents meet this often, give rotations a longer expiresInSeconds.",
        ),
        Code::KeyVaultUriInvalid => (
            "Copy the Vault URI from the Key Vault's overview in the portal: https://NAME.vault.azure.net/ with nothing after it.",
            "Nothing to do.",
        ),
        Code::KeyVaultNotAllowed => (
            "Use one of the configured Key Vaults, or leave keyVaultUri out.",
            "Add the Key Vault to KEY_VAULT_URIS if this service should use it, and give its identity the role there.",
        ),
        Code::KeyVaultSecretSoftDeleted => (
            "Somebody deleted the secret; its name cannot be used until it is recovered. Nothing is lost: <code>POST /v1/machines/{machineId}/recover</code> brings it back, with the role Passphrases.Rotate.",
            "For a secret without a registered machine, <code>az keyvault secret recover --vault-name KV --name NAME</code>. Do not purge it: the passphrases in it would be gone.",
        ),
        Code::KeyVaultSecretBeingDeleted => (
            "Key Vault takes up to half a minute to delete or to recover a secret. Try again; when it is deleted by then, <code>POST /v1/machines/{machineId}/recover</code> brings it back.",
            "Somebody deletes or recovers this secret at this moment: Key Vault's own log says who.",
        ),
        Code::KeyVaultSoftDeleted => (
            "Tell the operators of the Key Vault.",
            "<code>az keyvault recover --name KV</code>; then assign the roles anew, they are not restored.",
        ),
        Code::RsvIdentityMissing => (
            "Switch the system-assigned identity of the Recovery Services vault on.",
            "<code>az backup vault identity assign --system-assigned --resource-group RG --name RSV</code>. Never switch it off again.",
        ),
        Code::RsvPermissionMissing => (
            "The Recovery Services vault's identity needs the permission to set secrets in the Key Vault.",
            "Assign a role with <code>Microsoft.KeyVault/vaults/secrets/setSecret/action</code> to the vault's principal id.",
        ),
        Code::KeyVaultSecretDisabled => (
            "The version is disabled. Ask an operator to enable it, or retrieve another version.",
            "<code>az keyvault secret set-attributes --id ID --enabled true</code>. This service never disables a machine's secret.",
        ),
        Code::KeyVaultSecretMissing => (
            "Nothing is stored for this machine. Request a rotation, or adopt what MARS saved.",
            "If there should be one, look at the Key Vault's own log for a deletion.",
        ),
        Code::BrokerPermissionMissing => (
            "This is not your fault. Tell the operators, with the request id.",
            "Assign the role of deploy/azure to this service's identity at the Key Vault. A new assignment takes up to ten minutes.",
        ),
        Code::KeyVaultFirewall => (
            "This is not your fault. Tell the operators, with the request id.",
            "Let this service's address or private endpoint through the Key Vault's firewall; such a change takes up to fifteen minutes.",
        ),
        Code::KeyVaultRefused => (
            "This is not your fault. Tell the operators, with the request id.",
            "<code>keyVault</code> has the status and the code of Key Vault's answer, and Key Vault's own id of the request for Microsoft's support. Its log has the message.",
        ),
        Code::KeyVaultThrottled => (
            "Try again after the time in Retry-After.",
            "Key Vault allows 4,000 operations in 10 seconds. Look for others that use the same Key Vault.",
        ),
        Code::KeyVaultUnavailable => (
            "Try again. If you were writing, repeating the request does not make a second passphrase.",
            "Look at <code>/readyz</code>, the Key Vault's health, its DNS name, and this service's identity endpoint.",
        ),
        Code::ArmUnavailable => ("Try again.", "Azure Resource Manager does not answer."),
        Code::IdentityUnavailable => (
            "Try again.",
            "This service must reach ENTRA_AUTHORITY over https to load its signing keys; OUTBOUND_PROXY and EXTRA_CA_FILE may be needed.",
        ),
        Code::DatabaseUnavailable => {
            ("Try again.", "Look at <code>/readyz</code> and at PostgreSQL.")
        }
        Code::AuditUnavailable => (
            "Nothing was released and nothing was changed, because it could not be put on record. Try again.",
            "The table audit_events cannot be written: look at PostgreSQL, its disk, and the rights of passphrase_broker. There is no switch to go on without it.",
        ),
        Code::Overloaded => (
            "Try again after the time in Retry-After.",
            "MAX_CONCURRENT_REQUESTS decides. Add replicas.",
        ),
        Code::TimedOut => (
            "Try again. If you were writing, the work may have ended after you were answered: look before you repeat it.",
            "REQUEST_TIMEOUT_SECONDS decides. Look at what is slow: <code>/metrics</code>.",
        ),
        Code::RateLimited => {
            ("Try again after the time in Retry-After.", "Somebody asks for more than they should.")
        }
        Code::Internal => (
            "This is not your fault. Tell the operators, with the request id.",
            "Look for the request id in the log, and report what you find there.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_advice_for_both() {
        for code in Code::ALL {
            let (caller, operator) = advice(*code);
            assert!(!caller.is_empty() && !operator.is_empty(), "{}", code.slug());
        }
    }
}
