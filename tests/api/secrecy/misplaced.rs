//! Passphrases in the wrong place of a request: none is taken, none comes back.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::watched::Watched;
use crate::harness::{Actor, Answer};

impl Watched {
    pub(super) async fn misplace_passphrases(&self) {
        let machine = self.machine_of(&self.broker.agent(), "Target").await;
        let canary = self.mint("Misplaced");
        let mut requests = self.in_members(&canary);
        requests.extend(self.in_bodies(&canary));
        requests.extend(self.in_headers(&machine, &canary));
        requests.extend(self.in_later_steps(&machine, &canary));
        for (number, request) in requests.into_iter().enumerate() {
            self.see_error(&format!("misplaced {number}"), Answer::of(request).await);
        }
        // Taken, for who is to know? But a request's id is not what was sent there.
        let request = self.portal.request(Method::GET, "/v1/me");
        let answer = Answer::of(request.header("x-request-id", &canary).header("cookie", &canary));
        let answer = self.expect("odd headers", answer.await, 200);
        assert_ne!(answer.header("x-request-id"), canary);
    }

    fn in_members(&self, canary: &str) -> Vec<RequestBuilder> {
        let members = [
            json!({"fqdn": canary}),
            json!({"recoveryServicesVaultId": canary}),
            json!({"keyVaultUri": canary}),
            json!({"keyVaultUri": format!("https://{canary}.vault.azure.net/")}),
            json!({"secretName": canary}),
            json!({"agentVersion": canary}),
            json!({"agentObjectId": canary}),
            json!({"tags": canary}),
            json!({"tags": {canary: 5}}),
            json!({"tags": {"a": format!("{canary}\n")}}),
            json!({"passphrase": canary}),
            json!({"passphrase": [canary]}),
            json!({"passphrase": {"source": canary}}),
            json!({"passphrase": {"source": "generated", "value": canary}}),
            json!({"passphrase": {"source": "none", "value": canary}}),
            json!({"passphrase": {"source": "adopted", "value": canary}}),
            json!({"passphrase": {"source": "adopted", "version": canary}}),
            json!({"passphrase": {"source": "provided", "value": [canary]}}),
            json!({"passphrase": {"source": "provided", "value": {"text": canary}}}),
            json!({"passphrase": {"source": "provided", "value": format!("{canary} ")}}),
            json!({"passphrase": {"source": "provided", "value": format!(" {canary}")}}),
            json!({"passphrase": {"source": "provided", "value": format!("{canary}\u{e9}")}}),
            json!({"passphrase": {"source": "provided", "value": format!("{canary}\t")}}),
            json!({"passphrase": {"source": "provided", "value": canary.repeat(8)}}),
            json!({"passphrase": {"source": "provided", "value": &canary[..15]}}),
            json!({"passphrase": {"source": "provided", "value": canary, "version": canary}}),
            json!({"passphrase": {"source": "provided", "value": canary, canary: canary}}),
            json!({canary: canary}),
            json!({"value": canary}),
        ];
        let merged = members.into_iter().map(|members| {
            let mut body = Actor::registration(&json!({"source": "generated"}));
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            self.portal.request(Method::POST, "/v1/machines").json(&body)
        });
        merged.collect()
    }

    fn in_bodies(&self, canary: &str) -> Vec<RequestBuilder> {
        let quoted = Value::from(canary).to_string();
        let whole = Actor::registration(&json!({"source": "provided", "value": canary}));
        let bodies = [
            canary.to_owned(),
            quoted.clone(),
            format!("[{quoted}]"),
            format!("{{\"fqdn\": {quoted}"),
            format!("{{\"passphrase\": {{\"value\": {quoted}, \"value\": {quoted}}}}}"),
            format!("{whole}{quoted}"),
            format!("\u{feff}{whole}"),
            format!("{whole}{}", " ".repeat(70_000)),
        ];
        let post = || self.portal.request(Method::POST, "/v1/machines");
        let json = |body| post().header("content-type", "application/json").body(body);
        let mut requests: Vec<_> = bodies.into_iter().map(json).collect();
        requests.push(post().header("content-type", "text/plain").body(canary.to_owned()));
        requests.push(post().body(format!("value={canary}")));
        let wide: Vec<u8> = whole.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
        requests.push(post().header("content-type", "application/json").body(wide));
        let broken = [quoted.as_bytes(), b"\xff"].concat();
        requests.push(post().header("content-type", "application/json").body(broken));
        requests
    }

    fn in_headers(&self, machine: &str, canary: &str) -> Vec<RequestBuilder> {
        let get = |path: &str| self.portal.request(Method::GET, path);
        let nobody = self.broker.nobody();
        let path = format!("/v1/machines/{machine}");
        let registration = Actor::registration(&json!({"source": "generated"}));
        let method = Method::from_bytes(&self.mint("Method").as_bytes()[..26]).unwrap();
        vec![
            nobody.request(Method::GET, "/v1/me").bearer_auth(canary),
            nobody.request(Method::GET, "/v1/me").basic_auth("somebody", Some(canary)),
            nobody.request(Method::GET, "/v1/me").header("authorization", canary),
            get("/v1/machines").query(&[("cursor", canary)]),
            get("/v1/machines").query(&[("state", canary)]),
            get("/v1/machines").query(&[("pageSize", canary)]),
            get("/v1/machines").query(&[("passphrase", canary)]),
            get("/v1/audit/events").query(&[("machineId", canary)]),
            get(&format!("/v1/machines/{canary}")),
            get(&format!("/{canary}")).header("user-agent", canary),
            get(&format!("/problems/{canary}")).header("referer", canary),
            get(&format!("{path}/rotations/{canary}")),
            self.portal.request(Method::PATCH, &path).header("if-match", canary).json(&json!({})),
            self.portal
                .request(Method::POST, "/v1/machines")
                .header("idempotency-key", canary)
                .json(&registration),
            self.portal.request(method, "/v1/machines"),
        ]
    }

    fn in_later_steps(&self, machine: &str, canary: &str) -> Vec<RequestBuilder> {
        let path = format!("/v1/machines/{machine}");
        let rotation = format!("{path}/rotations/{}", uuid::Uuid::new_v4());
        let post = |path: String, body: Value| self.portal.request(Method::POST, &path).json(&body);
        let retrieve = |body: Value| {
            self.helpdesk.request(Method::POST, &format!("{path}/retrievals")).json(&body)
        };
        let provided = |value: &str| json!({"passphrase": {"source": "provided", "value": value}});
        let why = "the yearly restore drill";
        vec![
            retrieve(json!({"reason": canary, "justification": why})),
            retrieve(json!({"justification": canary})),
            retrieve(json!({"reason": "audit", "justification": why, "version": canary})),
            retrieve(json!({"reason": "audit", "justification": why, "passphrase": canary})),
            retrieve(json!({"reason": "audit", "justification": format!("{canary}\0")})),
            post(format!("{path}/rotations"), json!({"passphrase": canary})),
            post(format!("{path}/rotations"), provided(&format!("{canary}\u{7f}"))),
            post(format!("{path}/rotations"), provided(&canary[..12])),
            post(
                format!("{path}/rotations"),
                json!({"passphrase": {"source": "generated"}, "writer": canary}),
            ),
            post(
                format!("{path}/rotations"),
                json!({"passphrase": {"source": "generated"}, "expiresInSeconds": canary}),
            ),
            post(format!("{rotation}/confirm"), json!({"secretIdentifier": canary})),
            post(format!("{rotation}/confirm"), json!({"agentVersion": canary})),
            post(format!("{rotation}/fail"), json!({"marsErrorCode": canary})),
            post(format!("{rotation}/fail"), json!({"message": canary.repeat(20)})),
            post(format!("{rotation}/fail"), json!({"passphrase": canary})),
        ]
    }
}
