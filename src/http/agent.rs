//! `/v1/agent/tasks`: what the calling agent should do now. Which machine it is, its token says.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{App, problem::Problem};
use crate::{
    broker::agent_tasks::AgentTask,
    domain::{caller::Caller, machine::MachineId, rotation::Rotation},
};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentTaskResponse {
    /// `rotate`: the passphrase is older than the service's policy says; request a rotation. `collectPassphrase`: one is prepared; collect it, apply it, confirm. `confirmRotation`: it was collected; confirm it if it is applied. If it is not, or nobody remembers: in state `collected`, collect it again (it is the same passphrase), apply it and confirm; in state `indeterminate`, request a new rotation.
    #[schema(example = "collectPassphrase")]
    task: &'static str,
    machine_id: Uuid,
    /// Absent with `rotate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_id: Option<Uuid>,
    /// The rotation's: `prepared`, `collected` or `indeterminate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// `broker`, or `agent`: then MARS saves the passphrase by itself, and the confirmation waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<&'static str>,
    /// When the rotation expires. A confirmation counts after that, too.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    expires_at: Option<OffsetDateTime>,
    /// Only with `rotate`: since when.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    due_at: Option<OffsetDateTime>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AgentTasks {
    items: Vec<AgentTaskResponse>,
}

/// Lists what this agent should do now: one thing, or nothing.
#[utoipa::path(
    get, path = "/v1/agent/tasks", operation_id = "list_agent_tasks", tag = "agents",
    responses((status = 200, description = "What to do. Nothing for an identity that is bound to no machine, and while a rotation is still being prepared.", body = AgentTasks))
)]
pub(super) async fn list_agent_tasks(
    caller: Caller,
    State(app): State<Arc<App>>,
) -> Result<axum::Json<AgentTasks>, Problem> {
    let tasks = app.broker.list_agent_tasks(&caller).await?;
    Ok(axum::Json(AgentTasks { items: tasks.into_iter().map(AgentTaskResponse::from).collect() }))
}

impl AgentTaskResponse {
    fn on(task: &'static str, machine_id: MachineId, rotation: &Rotation) -> Self {
        Self {
            task,
            machine_id: machine_id.0,
            rotation_id: Some(rotation.id.0),
            state: Some(rotation.state.name()),
            writer: Some(rotation.writer.name()),
            expires_at: Some(rotation.expires_at),
            due_at: None,
        }
    }
}

impl From<AgentTask> for AgentTaskResponse {
    fn from(task: AgentTask) -> Self {
        match task {
            AgentTask::Rotate { machine_id, due_at } => Self {
                task: "rotate",
                machine_id: machine_id.0,
                rotation_id: None,
                state: None,
                writer: None,
                expires_at: None,
                due_at: Some(due_at),
            },
            AgentTask::CollectPassphrase { machine_id, rotation } => {
                Self::on("collectPassphrase", machine_id, &rotation)
            }
            AgentTask::ConfirmRotation { machine_id, rotation } => {
                Self::on("confirmRotation", machine_id, &rotation)
            }
        }
    }
}
