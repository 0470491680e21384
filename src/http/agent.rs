//! `/v1/agent/tasks`: what the calling agent should do now. Which machine it is, its token says.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{App, problem::Problem};
use crate::{broker::agent_tasks::AgentTask, domain::caller::Caller};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentTaskResponse {
    /// `collectPassphrase`: get it, apply it, confirm. `confirmRotation`: it was collected; apply it if that has not happened, and confirm, or report the failure.
    task: &'static str,
    machine_id: Uuid,
    rotation_id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AgentTasks {
    items: Vec<AgentTaskResponse>,
}

/// Lists what this agent should do now; often nothing.
#[utoipa::path(
    get, path = "/v1/agent/tasks", operation_id = "list_agent_tasks", tag = "agents",
    responses((status = 200, description = "What to do.", body = AgentTasks))
)]
pub(super) async fn list_agent_tasks(
    caller: Caller,
    State(app): State<Arc<App>>,
) -> Result<axum::Json<AgentTasks>, Problem> {
    let tasks = app.broker.list_agent_tasks(&caller).await?;
    Ok(axum::Json(AgentTasks { items: tasks.into_iter().map(AgentTaskResponse::from).collect() }))
}

impl From<AgentTask> for AgentTaskResponse {
    fn from(task: AgentTask) -> Self {
        let (task, machine_id, rotation) = match task {
            AgentTask::CollectPassphrase { machine_id, rotation } => {
                ("collectPassphrase", machine_id, rotation)
            }
            AgentTask::ConfirmRotation { machine_id, rotation } => {
                ("confirmRotation", machine_id, rotation)
            }
        };
        Self {
            task,
            machine_id: machine_id.0,
            rotation_id: rotation.id.0,
            expires_at: rotation.expires_at,
        }
    }
}
