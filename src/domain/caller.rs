//! A caller: somebody who may do what they ask for. Whoever holds one need not check again.

use uuid::Uuid;

use super::{
    machine::AgentBinding,
    operation::{Operation, RoleMissing, Scope},
    principal::Principal,
};

/// What is known of a request besides who sent it.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// Ours alone, and unique; ties the audit events of one request together.
    pub operation_id: Uuid,
    /// The caller's or ours; echoed, logged, and sent to Azure.
    pub request_id: String,
    pub source_address: Option<String>,
}

/// Can only be made by [`Caller::authorize`], for one operation.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Principal,
    operation: Operation,
    scope: Scope,
    request: RequestFacts,
}

impl Caller {
    pub fn authorize(
        operation: Operation,
        principal: Principal,
        request: RequestFacts,
    ) -> Result<Self, RoleMissing> {
        let scope = operation.permit(&principal)?;
        Ok(Self { principal, operation, scope, request })
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub fn operation(&self) -> Operation {
        self.operation
    }

    pub fn request(&self) -> &RequestFacts {
        &self.request
    }

    pub fn tenant_id(&self) -> Uuid {
        self.principal.tenant_id
    }

    /// The identity that a machine must be bound to for this caller to see it; none: any machine.
    pub fn confined_to(&self) -> Option<AgentBinding> {
        match self.scope {
            Scope::Tenant => None,
            Scope::OwnMachine => Some(AgentBinding {
                tenant_id: self.principal.tenant_id,
                object_id: self.principal.object_id,
            }),
        }
    }
}
