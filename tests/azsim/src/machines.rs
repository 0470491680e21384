//! Where machines ask for tokens on loopback: IMDS of a virtual machine, and the Azure Arc agent with its key files.
//!
//! One listener for each. A path that begins with `/machines/<name>` asks as that machine; any other as the first one
//! of the listener's kind.

mod arc;
mod imds;

use std::sync::Arc;

use hyper::{Request, body::Incoming};
use url::form_urlencoded;

use crate::{
    azure::{Azure, epoch_seconds, read},
    faults::{Point, around},
    http::{Answer, Reply},
    oidc::token::managed_identity,
    world::{Identity, Machine, MachineKind},
};

pub(crate) use self::arc::KeyFiles;

pub(crate) const PATH: &str = "/metadata/identity/oauth2/token";
const INSTANCE: &str = "/metadata/instance";

pub(crate) async fn answer(
    azure: Arc<Azure>,
    kind: MachineKind,
    request: Request<Incoming>,
) -> Reply {
    let operation = match kind {
        MachineKind::VirtualMachine => "imds.token",
        MachineKind::Arc => "arc.token",
    };
    let fault = azure.faults.take(&Point { operation, ..Point::default() });
    let act = || {
        let (machine, path) = azure.machine(kind, request.uri().path());
        let ask = Ask { azure: &azure, request: &request, machine };
        match kind {
            MachineKind::VirtualMachine => imds::answer(&ask, path),
            MachineKind::Arc => arc::answer(&ask, path),
        }
    };
    around(fault, act, |answer| answer).await
}

struct Ask<'a> {
    azure: &'a Azure,
    request: &'a Request<Incoming>,
    /// None: no machine of this kind or name, so nobody listens there in Azure.
    machine: Option<Machine>,
}

struct Issued {
    access_token: String,
    identity: Identity,
    now: i64,
}

impl Ask<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name).and_then(|value| value.to_str().ok())
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.uri().query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The identity asked for; without a name the system-assigned one, or the only user-assigned one.
    fn identity(&self, resource_id: &[&str]) -> Option<Identity> {
        let machine = self.machine.as_ref()?;
        let named = resource_id.iter().find_map(|name| self.parameter(name));
        let by_client = self.parameter("client_id");
        let by_object = self.parameter("object_id").or_else(|| self.parameter("principal_id"));
        let fits = |asked: &Option<String>, is: &str| {
            asked.as_ref().is_none_or(|asked| asked.eq_ignore_ascii_case(is))
        };
        if named.is_none() && by_client.is_none() && by_object.is_none() {
            let only = (machine.user_assigned.len() == 1).then(|| machine.user_assigned.first());
            return machine.system_assigned.as_ref().or(only.flatten()).cloned();
        }
        let mut all = machine.system_assigned.iter().chain(&machine.user_assigned);
        let found = all.find(|identity| {
            fits(&named, &identity.resource_id)
                && fits(&by_client, &identity.client_id)
                && fits(&by_object, &identity.principal_id)
        });
        found.cloned()
    }

    fn issue(&self, identity: Identity, resource: &str) -> Option<Issued> {
        let tenant_id = self.azure.default_tenant_id();
        let spec = managed_identity(&identity, tenant_id, resource);
        let tenant = self.azure.tenant(tenant_id).ok()?;
        let access_token = spec.mint(&tenant).ok()?;
        Some(Issued { access_token, identity, now: epoch_seconds() })
    }
}

impl Azure {
    /// The machine that a path speaks for, and the rest of the path.
    fn machine<'a>(&self, kind: MachineKind, path: &'a str) -> (Option<Machine>, &'a str) {
        let machines = read(&self.machines);
        let mut of_kind = machines.iter().filter(|machine| machine.kind == kind);
        let named = path.strip_prefix("/machines/").and_then(|tail| tail.split_once('/'));
        match named {
            None => (of_kind.next().cloned(), path),
            Some((name, tail)) => {
                let found = of_kind.find(|machine| machine.name.eq_ignore_ascii_case(name));
                (found.cloned(), &path[path.len() - tail.len() - 1..])
            }
        }
    }
}

fn not_found() -> Answer {
    Answer::empty(404)
}
