//! Coverage as CSV: a reader of RFC 4180 takes it, a spreadsheet runs nothing of it, and a large one is not
//! held in memory.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{
    adoption_scan::readable,
    coverage::{coverage, machine_in},
    harness::{Actor, Answer, Broker, Setup, azure, full_size_or},
};

/// A reader of CSV, by RFC 4180.
pub fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(!quoted && field.is_empty() && row.is_empty(), "a line does not end");
    rows
}

#[tokio::test]
async fn the_csv_is_whole_and_safe_in_a_spreadsheet() {
    let broker = Broker::start(Setup::default()).await;
    let evil = ["=cmd|'/c calc'!A0", "+1+1", "-2", "@SUM(A1)", "a\",\"b;=1"];
    let rsv = readable("rsv-evil", &evil);
    machine_in(&broker, &rsv, "good.example", "generated").await;
    let answer =
        broker.portal().request(reqwest::Method::GET, "/v1/coverage").header("accept", "text/csv");
    let answer = Answer::of(answer).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/csv; charset=utf-8; header=present")
    );
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"coverage.csv\"");
    assert_eq!((answer.header("cache-control"), answer.header("vary")), ("no-store", "accept"));
    let rows = csv(&answer.text);
    assert_eq!((rows.len(), rows[0][1].as_str()), (7, "fqdn"));
    assert!(rows.iter().all(|row| row.len() == 15));
    let names: BTreeSet<&str> = rows[1..].iter().map(|row| row[1].as_str()).collect();
    let guarded = ["good.example", "'=cmd|'/c calc'!a0", "'+1+1", "'-2", "'@sum(a1)", "a\",\"b;=1"];
    assert_eq!(names, guarded.into());
    let json = coverage(&broker, "pageSize=200").await;
    assert_eq!(json.body["items"].as_array().unwrap().len(), 6);
    for wrong in [
        "format=csv&pageSize=10",
        "format=xml",
        "pageSize=0",
        "cursor=AAAA",
        "recoveryServicesVaultId=x",
    ] {
        let refused = broker.portal().get(&format!("/v1/coverage?{wrong}")).await;
        assert_eq!(refused.problem(), (400, "invalid-request"), "{wrong}: {}", refused.text);
    }
}

async fn fill(broker: &Broker, machines: u32) {
    let statement = format!(
        "insert into recovery_services_vaults (tenant_id, folded_id, id, last_checked_at, unreadable)
         select '{tenant}', lower(id), id, now(), 'forbidden' from (select '/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv-' || n as id
             from generate_series(0, {machines} / 50) n) made;
         insert into machines (id, tenant_id, fqdn, recovery_services_vault_id, key_vault_uri, secret_name, tags,
             state, created_at, updated_at, search_text)
         select gen_random_uuid(), '{tenant}', 'srv-' || n || '.corp.contoso.com',
             '/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09591/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/rsv-' || n / 50,
             'https://kv-mars.vault.azure.net/', 'AzBackup-srv-' || n || '-rsv', '{{}}', 'awaitingPassphrase', now(), now(), ''
         from generate_series(1, {machines}) n; analyze machines",
        tenant = broker.tenant
    );
    broker.database.execute(&statement).await;
}

/// KiB that the broker has in memory.
fn resident(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_report_is_streamed_with_little_memory() {
    let machines: u32 = full_size_or(100_000, 10_000);
    let broker = Broker::start(Setup {
        environment: [("DRIFT_CHECK_EVERY", "off".to_owned())].into(),
        ..Setup::default()
    })
    .await;
    fill(&broker, machines).await;
    coverage(&broker, "pageSize=1").await;
    let (before, began) = (resident(&broker), Instant::now());
    let mut response = broker
        .portal()
        .request(reqwest::Method::GET, "/v1/coverage?format=csv")
        .send()
        .await
        .unwrap();
    let (mut most, mut bytes, mut lines) = (before, 0, 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len();
        lines += String::from_utf8_lossy(&chunk).matches('\n').count();
        most = most.max(resident(&broker));
    }
    let took = began.elapsed();
    println!(
        "{machines} machines: {bytes} bytes in {took:?}, {} KiB more in memory",
        most - before
    );
    // A heading, and rsv-0 without machines has none of its own: n / 50 begins at 0.
    assert_eq!(lines, usize::try_from(machines).unwrap() + 1);
    assert!(most - before < 40 * 1024 && took < Duration::from_mins(2), "{most} {before} {took:?}");
}

#[tokio::test]
async fn another_tenants_machines_are_not_in_it() {
    let broker = Broker::shared().await;
    let machine = broker.portal().register().await;
    assert_eq!(coverage(broker, "pageSize=200").await.problem(), (200, "no problem"));
    let spec = azsim::TokenSpec::user(crate::harness::AUDIENCE, Uuid::new_v4())
        .in_tenant(azure().add_tenant().unwrap())
        .roles(&["Machines.Read"]);
    let stranger: Actor = broker.bearer(&azure().mint(&spec).unwrap());
    let refused = stranger.get("/v1/coverage?format=csv").await;
    assert!(
        refused.status == 401 && !refused.text.contains(machine.field("fqdn")),
        "{}",
        refused.text
    );
}
