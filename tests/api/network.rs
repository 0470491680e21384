//! The broker connects to what its configuration names, and to nothing else (reliability goal D3): whatever a request
//! says, and whatever Key Vault or Entra ID answer.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use azsim::{Effect, Fault, KeyVaultSpec};
use serde_json::json;

use crate::harness::{Actor, Broker, Setup, azure};

/// Listens on loopback and counts who comes.
struct Sink {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, connections }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Hosts that a proxy was asked for although no configuration names them: each test has marked its own.
fn strangers(marker: &str) -> Vec<String> {
    let forbidden = ["169.254.", "127.0.0.1", "localhost", "evil.example", "metadata", marker];
    let seen = azure().hosts_seen().into_keys();
    seen.filter(|host| forbidden.iter().any(|part| host.contains(part))).collect()
}

/// `{own}` is the configured Key Vault, `{sink}` an address that listens, `{other}` a Key Vault that exists.
const URIS: &str = r"http://{sink}/ https://{sink}/ http://{sink} https://{sink}/secrets/x {sink}
http://localhost:1/ http://127.0.0.1/ https://127.0.0.1/ https://127.1/ https://2130706433/ https://0x7f000001/
https://0177.0.0.1/ https://0/ https://0.0.0.0/ https://[::1]/ https://[::]/ https://[::ffff:127.0.0.1]/
http://169.254.169.254/metadata/identity/oauth2/token https://169.254.169.254/ https://[fd00:ec2::254]/
https://169.254.169.254.nip.io/ https://metadata.google.internal/ https://168.63.129.16/ https://10.0.0.1/
http://{own}/ http://{own}:80/ https://{own}:443/ https://{own}:8443/ https://{own}:0/ https://{own}:/
https://{own}:65536/ https://{own}./ https://{own}../ https://.{own}/ https://{own}%00/ https://{own}%2f/
https://{own}%2eevil.example/ https://{own}.evil.example/ https://{own}@evil.example/ https://{own}@{sink}/
https://{own}:pw@{sink}/ https://user@{own}/ https://user:pw@{own}/ https://@{own}/ https://evil.example#{own}/
https://evil.example/{own}/ https://evil.example?{own}/ https://evil.example\{own}/ https://evil.example\@{own}/
https://{own}\@{sink}/ https:{own}/ https:/{own}/ https:///{own}/ https:////{own}/ //{own}/ {own} https://{own}//
https://{own}/secrets https://{own}/../ https://{own}/. https://{own}/?x=y https://{own}/#x https://{own}?x
https://{own}#x https://{own}/%2e%2e/ https://{own};{sink}/ https://{own},{sink}/ https://{own}|{sink}/
https://{sink}/?x=.vault.azure.net https://{sink}#.vault.azure.net https://{sink}%23.vault.azure.net/
https://{other}/ https://kv-{marker}.vault.azure.net/ https://kv-{marker}.vault.azure.cn/
https://kv-{marker}.vault.usgovcloudapi.net https://{marker}.managedhsm.azure.net/ https://vault.azure.net/
https://kv-{marker}.vault.azure.net.evil.example/ https://{marker}-vault.azure.net/ https://a.{own}/
https://xn--{marker}.vault.azure.net/ https://kv.{marker}.vault.azure.net/ ftp://{own}/ file:///etc/passwd
gopher://{sink}/_x data:text/plain,x javascript:alert(1) ldap://{sink}/ unix:/var/run/docker.sock HTTPS://{OTHER}";

/// With characters that a list parted by spaces cannot hold.
fn odd_uris(own: &str, sink: &str) -> Vec<String> {
    vec![
        String::new(),
        " ".to_owned(),
        format!(" https://{own}/"),
        format!("https://{own}/ "),
        format!("https://{own} @{sink}/"),
        format!("https://{own}\n@{sink}/"),
        format!("https://{own}\t/"),
        format!("https://{own}/\r\nHost: {sink}"),
        format!("https://{own}\0/"),
        format!("https://{}/", own.replace('v', "\u{24e5}")),
        format!("https://{}/", own.replace('.', "\u{3002}")),
        format!("https://{}/", own.replace('a', "\u{430}")),
        format!("https://\u{ff4b}\u{ff56}-x.vault.azure.net/"),
        format!("https://{own}/").repeat(100),
        format!("https://{}.vault.azure.net/", "a".repeat(60_000)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_vault_uri_of_a_request_makes_it_connect_elsewhere() {
    let (broker, sink) = (Broker::shared().await, Sink::start());
    let marker = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
    let other = azure().add_key_vault(KeyVaultSpec::default()).unwrap();
    let other = other.trim_start_matches("https://").trim_end_matches('/').to_owned();
    let own = format!("{}.vault.azure.net", broker.key_vault);
    let fill = |uri: &str| {
        let uri = uri.replace("{own}", &own).replace("{sink}", &sink.address);
        let uri = uri.replace("{marker}", &marker).replace("{OTHER}", &other.to_uppercase());
        uri.replace("{other}", &other)
    };
    let mut uris: Vec<String> = URIS.split_whitespace().map(fill).collect();
    uris.extend(odd_uris(&own, &sink.address));
    let portal = broker.portal();
    for uri in &uris {
        let mut body = Actor::registration(&json!({"source": "adopted"}));
        body["keyVaultUri"] = json!(uri);
        let answer = portal.post("/v1/machines", body).await;
        let expected = ["key-vault-uri-invalid", "key-vault-not-allowed"];
        assert!(
            answer.status == 400 && expected.contains(&answer.problem().1),
            "{uri:?}: {}",
            answer.text
        );
    }
    assert!(uris.len() >= 70, "{}", uris.len());
    assert_eq!((sink.count(), strangers(&marker)), (0, Vec::new()));
    assert!(!azure().hosts_seen().contains_key(&other));
    println!("0 connections outside of the configuration over {} URIs", uris.len());
}

fn to(location: &str, status: u16) -> Effect {
    let headers = BTreeMap::from([("Location".to_owned(), location.to_owned())]);
    Effect::Refuse { status, body: String::new(), headers }
}

fn places(sink: &Sink, marker: &str) -> [String; 4] {
    [
        format!("http://{}/", sink.address),
        format!("https://{}/", sink.address),
        format!("https://kv-{marker}.vault.azure.net/secrets/x"),
        "https://evil.example/".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_of_key_vault_is_not_followed() {
    let (broker, sink) = (Broker::shared().await, Sink::start());
    let marker = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
    let machine = broker.portal().register().await;
    let secret = machine.field("secretName");
    let mut redirects = 0;
    for location in places(&sink, &marker) {
        for status in [301, 302, 303, 307, 308] {
            let fault = Fault::new("key_vault.", to(&location, status)).secret(secret);
            let fault = azure().inject(fault.key_vault(&broker.key_vault));
            let answer = broker.helpdesk().retrieve(machine.id()).await;
            assert!(answer.status >= 500, "{status}: {}", answer.text);
            assert!(!answer.text.contains(&location));
            let versions = format!("/v1/machines/{}/versions", machine.id());
            assert!(broker.portal().get(&versions).await.status >= 500);
            redirects += fault.hits();
        }
    }
    assert!(redirects >= 40, "{redirects}");
    assert_eq!((sink.count(), strangers(&marker)), (0, Vec::new()));
    println!("0 of {redirects} redirects of Key Vault were followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_link_that_leads_elsewhere_is_not_followed() {
    let (broker, sink) = (Broker::shared().await, Sink::start());
    let marker = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
    let machine = broker.portal().register().await;
    let own = format!("{}.vault.azure.net", broker.key_vault);
    let path = format!("secrets/{}/versions", machine.field("secretName"));
    let mut links: Vec<String> = places(&sink, &marker).map(|place| place + &path).into();
    for host in [
        format!("http://{own}"),
        format!("https://{own}:8443"),
        format!("https://{own}@{}", sink.address),
        format!("https://{own}.evil.example"),
        format!("https://user@{own}"),
        format!("https://{own}\\@{}", sink.address),
        format!("//{}", sink.address),
    ] {
        links.push(format!("{host}/{path}"));
    }
    links.push(format!("https://{own}/secrets/another/versions"));
    links.push(format!("https://{own}/{path}/../../x"));
    for link in &links {
        let body = json!({"value": [], "nextLink": link}).to_string();
        let fault = Fault::new("key_vault.list_versions", Effect::refuse(200, body));
        let fault = fault.secret(machine.field("secretName")).key_vault(&broker.key_vault);
        let fault = azure().inject(fault);
        let answer = broker.portal().get(&format!("/v1/machines/{}/versions", machine.id())).await;
        assert!(answer.status >= 500 && fault.hits() == 1, "{link}: {}", answer.text);
    }
    assert_eq!((sink.count(), strangers(&marker)), (0, Vec::new()));
    println!("0 of {} next links that lead elsewhere were followed", links.len());
}

/// At the start, when keys are fetched: it is not ready before the second attempt, which is let through.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_of_entra_id_is_not_followed() {
    let sink = Sink::start();
    let location = format!("http://{}/keys", sink.address);
    let issuer = |tenant: &str| azure().issuer_of(tenant);
    let starts = ["oidc.discovery", "oidc.jwks", "elsewhere"].map(|place| {
        let location = location.clone();
        async move {
            let tenant = azure().add_tenant().unwrap();
            let uri = azure().add_key_vault(KeyVaultSpec::default()).unwrap();
            let name = uri.trim_start_matches("https://").split('.').next().unwrap().to_owned();
            let effect = match place {
                "elsewhere" => {
                    let body = json!({"issuer": issuer(&tenant), "jwks_uri": location});
                    Effect::refuse(200, body.to_string())
                }
                _ => to(&location, 302),
            };
            let place = if place == "elsewhere" { "oidc.discovery" } else { place };
            let fault = azure().inject(Fault::new(place, effect).tenant(&tenant).times(1));
            let replica_of = Some((name, tenant));
            let broker = Broker::start(Setup { replica_of, ..Setup::default() }).await;
            assert_eq!(broker.portal().get("/v1/me").await.status, 200);
            fault.hits()
        }
    });
    assert_eq!(futures_util::future::join_all(starts).await, [1, 1, 1]);
    assert_eq!(sink.count(), 0);
    println!("0 of 3 redirects of Entra ID were followed");
}
