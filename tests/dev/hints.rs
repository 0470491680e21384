//! What is printed when everything runs: lines to paste.

use crate::{
    calls::{curl, curl_for_text},
    directory::{AUDIT_CHECKPOINT, BROKER_LOG, Directory, ENV},
    supervisor::Supervisor,
    walkthrough::{
        CONFIRMATION, MACHINE, RETRIEVAL, ROTATION, preflight, registration, verification,
    },
};

/// A function of the shell: what preflight says to run can be pasted as it is.
const AZ: &str = r#"az() (export HTTPS_PROXY=$AZSIM_PROXY REQUESTS_CA_BUNDLE=$AZSIM_CA_FILE NO_PROXY=127.0.0.1,localhost AZURE_CONFIG_DIR=$AZ_CONFIG_DIR
       IDENTITY_ENDPOINT=$AZ_IDENTITY_ENDPOINT IDENTITY_HEADER=$AZ_IDENTITY_HEADER command az "$@")"#;

pub(crate) fn text(supervisor: &Supervisor, directory: &Directory, postgresql: u32) -> String {
    let url = &supervisor.url;
    let path = |name: &str| directory.file(name).display().to_string();
    let retrievals = format!("{MACHINE}/retrievals");
    let rotations = format!("{MACHINE}/rotations");
    let task = curl("TOKEN_AGENT", "/v1/agent/tasks", None);
    let confirm = format!("{rotations}/$ROTATION_ID/confirm");
    let events = "/v1/audit/events?machineId=$SAMPLE_MACHINE_ID&pageSize=5";
    format!(
        r#"
Everything runs until Ctrl-C. A broker that dies is started again (try: kill -9 $(cat "$BROKER_PID_FILE")).
The broker's log is {log}. PostgreSQL's keeper is process {postgresql}.
API documentation: {url}/docs/

In another shell:

source {env}

# The unmodified Azure CLI as an administrator of this Azure; it keeps its own files. Then: az login --identity
{az}

# Who am I, and what may I do?
{me}

# Machines, and a search
{list}
{search}

# Register another machine
{register}

# Retrieve a passphrase
{retrieve}

# What would MARS meet with a Recovery Services vault that has no identity? (.dev/env names more samples.)
{preflight}

# Rotate it as the agent; find what is to be confirmed; confirm
{rotate}
ROTATION_ID=$({task} | grep -o '"rotationId":"[^"]*' | cut -d'"' -f4)
{confirm}

# The log, a signed checkpoint of it, whether the log is what that says, and the service's own state
{events}
{checkpoint} > {checkpoint_file}
{verify}
curl -sS "$BROKER_URL/readyz"
"#,
        log = path(BROKER_LOG),
        env = path(ENV),
        az = AZ,
        me = curl("TOKEN_HELPDESK", "/v1/me", None),
        list = curl("TOKEN_PORTAL", "/v1/machines?pageSize=20", None),
        search = curl("TOKEN_PORTAL", "/v1/machines?q=web01", None),
        register = curl(
            "TOKEN_PORTAL",
            "/v1/machines",
            Some(&registration("srv-sql01.corp.contoso.com", None))
        ),
        retrieve = curl("TOKEN_HELPDESK", &retrievals, Some(RETRIEVAL)),
        preflight = curl_for_text("TOKEN_PORTAL", "/v1/preflight", &preflight("rsv-no-identity")),
        rotate = curl("TOKEN_AGENT", &rotations, Some(ROTATION)),
        confirm = curl("TOKEN_AGENT", &confirm, Some(CONFIRMATION)),
        events = curl("TOKEN_AUDITOR", events, None),
        checkpoint = curl("TOKEN_AUDITOR", "/v1/audit/checkpoint", None),
        checkpoint_file = path(AUDIT_CHECKPOINT),
        verify = verification(&supervisor.program, directory),
    )
}
