//! Facts about the configuration: what is accepted, what is refused, what is never shown.

use std::{collections::HashMap, fs};

use super::*;

const SECRET: &str = "hunter2canary";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn minimal() -> HashMap<String, String> {
    let url = format!("postgres://broker:{SECRET}@db.example:5432/broker");
    [
        ("DATABASE_URL", url.as_str()),
        ("KEY_VAULT_URIS", "https://kv-one.vault.azure.net/, https://kv-two.vault.azure.net"),
        ("ENTRA_TENANT_IDS", "0b1f6471-1bf0-4dda-aec3-cb9272f09591"),
        ("ENTRA_AUDIENCE", "7c1b3a3e-5c0f-4c64-8d0c-6e4f1f3b2a10"),
        ("CURSOR_KEY", KEY),
    ]
    .map(|(variable, value)| (variable.to_owned(), value.to_owned()))
    .into()
}

/// The minimal configuration with these variables set, or unset where the value is empty.
fn with(variables: &[(&str, &str)]) -> Result<Config, Vec<Mistake>> {
    let mut environment = minimal();
    for (variable, value) in variables {
        environment.insert((*variable).to_owned(), (*value).to_owned());
    }
    Config::from_lookup(|variable| environment.get(variable).cloned())
}

/// The only mistake, as it is printed.
fn mistake(variables: &[(&str, &str)]) -> String {
    let mistakes = with(variables).expect_err("a mistake");
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    mistakes[0].to_string()
}

fn file(name: &str, content: &str) -> String {
    let path = std::env::temp_dir().join(format!("broker-config-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn five_variables_are_enough() {
    let config = with(&[]).unwrap();
    assert_eq!(config.listen_address.to_string(), "0.0.0.0:8080");
    assert_eq!(config.key_vaults.default_uri().host(), "kv-one.vault.azure.net");
    assert_eq!(config.key_vaults.iter().count(), 2);
    assert_eq!(config.entra_authority.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(config.azure_credential, AzureCredential::ManagedIdentity);
    assert_eq!(config.request_timeout, Duration::from_secs(15));
    assert_eq!(config.cursor_key.as_bytes()[31], 31);
    assert!(!config.migrate_on_start && config.metrics_address.is_none());
}

#[test]
fn nothing_counts_as_interrupted_that_may_still_be_running() {
    assert_eq!(with(&[]).unwrap().interrupted_after, Duration::from_secs(20));
    let slow = with(&[("REQUEST_TIMEOUT_SECONDS", "60")]).unwrap();
    assert_eq!(slow.interrupted_after, Duration::from_secs(65));
    let wrong = mistake(&[("INTERRUPTED_AFTER_SECONDS", "15")]);
    assert!(wrong.contains("not more than REQUEST_TIMEOUT_SECONDS"), "{wrong}");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mistakes = Config::from_lookup(|variable| match variable {
        "LISTEN_ADDRESS" => Some("localhost".to_owned()),
        "MAX_CONNECTIONS" => Some("0".to_owned()),
        _ => None,
    });
    let mistakes = mistakes.unwrap_err();
    let variables: Vec<&str> = mistakes.iter().map(|it| it.variable.as_str()).collect();
    let expected = [
        "LISTEN_ADDRESS",
        "DATABASE_URL",
        "CURSOR_KEY",
        "KEY_VAULT_URIS",
        "ENTRA_TENANT_IDS",
        "ENTRA_AUDIENCE",
        "MAX_CONNECTIONS",
    ];
    assert_eq!(variables, expected);
}

#[test]
fn values_out_of_range_or_form_are_refused() {
    for (variable, value) in [
        ("METRICS_ADDRESS", "0.0.0.0:8080"),
        ("MIGRATE_ON_START", "yes"),
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("KEY_VAULT_URIS", "https://kv-one.vault.azure.net,HTTPS://KV-ONE.vault.azure.net/"),
        ("KEY_VAULT_URIS", "https://kv-one.vault.azure.net,"),
        ("KEY_VAULT_URIS", "https://evil.example/"),
        ("ENTRA_TENANT_IDS", "common"),
        ("ENTRA_TENANT_IDS", "00000000-0000-0000-0000-000000000000"),
        ("ENTRA_AUTHORITY", "http://login.microsoftonline.com"),
        ("ENTRA_AUTHORITY", "https://login.microsoftonline.com/common"),
        ("ENTRA_USER_SCOPE", "a b"),
        ("AZURE_CREDENTIAL", "default"),
        ("AZURE_CLIENT_ID", "broker"),
        ("OUTBOUND_PROXY", "http://proxy.example:8080/path"),
        ("SECRET_NAME_STYLE", "dots"),
        ("TICKET_PATTERN", "INC["),
        ("TICKET_PATTERN", "((a{1000}){1000}){1000}"),
        ("ROTATION_AGE_DAYS", "6"),
        ("ROTATION_JITTER_DAYS", "366"),
        ("LOG_LEVEL", "verbose"),
        ("REQUEST_TIMEOUT_SECONDS", "121"),
        ("MAX_CONNECTIONS_PER_PEER", "-1"),
        ("CURSOR_KEY", "AAAA"),
    ] {
        let mistake = mistake(&[(variable, value)]);
        assert!(mistake.starts_with(variable) && !mistake.contains('\n'), "{mistake}");
    }
}

#[test]
fn an_application_id_uri_as_audience_is_explained() {
    let mistake = mistake(&[("ENTRA_AUDIENCE", "api://passphrase-broker")]);
    assert!(mistake.contains("v2 tokens") && mistake.contains("client id"), "{mistake}");
}

#[test]
fn a_mistake_in_a_secret_does_not_show_it() {
    for (variable, value) in [
        ("DATABASE_URL", SECRET),
        ("DATABASE_URL", "mysql://broker:hunter2canary@db/broker"),
        ("DATABASE_URL", "postgres://broker:hunter2canary@db:port/broker"),
        ("CURSOR_KEY", SECRET),
        ("DATABASE_URL_FILE", "/nowhere"),
        ("OUTBOUND_PROXY", "http://user:hunter2canary@proxy:8080"),
        ("ENTRA_AUTHORITY", "https://user:hunter2canary@login.microsoftonline.com"),
    ] {
        let mistake = mistake(&[(variable, value)]);
        assert!(!mistake.contains("hunter2"), "{mistake}");
    }
}

#[test]
fn secrets_are_neither_debugged_nor_described() {
    let migration = ("MIGRATION_DATABASE_URL", "postgres://owner:hunter2canary@db/broker");
    let config = with(&[migration]).unwrap();
    for text in [format!("{config:?}"), config.describe()] {
        assert!(!text.contains("hunter2") && !text.contains("AAEC"), "{text}");
        assert!(!text.contains("[0, 1, 2"), "{text}");
    }
    assert!(config.describe().contains("\nMIGRATION_DATABASE_URL=(set)\n"));
    assert!(config.describe().contains("\nAZURE_CLIENT_ID=(not set)\n"));
}

#[test]
fn an_empty_variable_is_unset() {
    let config = with(&[("METRICS_ADDRESS", ""), ("LOG_LEVEL", "  ")]).unwrap();
    assert_eq!((config.metrics_address, config.log_level.as_str()), (None, "info"));
    assert!(mistake(&[("CURSOR_KEY", "")]).starts_with("CURSOR_KEY is not set"));
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_both() {
    use secrecy::ExposeSecret;
    let path = file("url", "postgres://broker@db/from-file\n");
    let config = with(&[("DATABASE_URL", ""), ("DATABASE_URL_FILE", &path)]).unwrap();
    #[expect(clippy::disallowed_methods, reason = "to see that the newline is gone")]
    let url = config.database_url.expose_secret();
    assert_eq!(url, "postgres://broker@db/from-file");
    assert!(mistake(&[("DATABASE_URL_FILE", &path)]).contains("both set"));
}

#[test]
fn what_is_not_utf_8_is_not_taken_for_unset() {
    assert!(mistake(&[("DATABASE_URL", "postgres://a:\u{fffd}@b/c")]).contains("not UTF-8"));
}

#[test]
fn an_extra_ca_file_holds_a_certificate() {
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let config = with(&[("EXTRA_CA_FILE", &file("ca", pem))]).unwrap();
    assert_eq!(config.extra_ca.unwrap().pem, pem.as_bytes());
    assert!(mistake(&[("EXTRA_CA_FILE", &file("key", "PRIVATE KEY"))]).contains("no certificate"));
    assert!(mistake(&[("EXTRA_CA_FILE", "/nowhere")]).contains("cannot be read"));
}

#[test]
fn migrating_at_the_start_needs_the_role_that_may() {
    let mistake = mistake(&[("MIGRATE_ON_START", "true")]);
    assert!(mistake.starts_with("MIGRATION_DATABASE_URL is not set"), "{mistake}");
}

#[test]
fn a_migration_needs_nothing_but_its_role() {
    let url = |variable: &str| {
        (variable == "MIGRATION_DATABASE_URL").then(|| "postgres://owner@db/broker".to_owned())
    };
    assert_eq!(MigrationConfig::from_lookup(url).unwrap().log_level, "info");
    let mistakes = MigrationConfig::from_lookup(|_| None).unwrap_err();
    assert_eq!(mistakes.len(), 1);
}

#[test]
fn a_time_has_a_unit_or_is_off() {
    let every = |text| with(&[("DRIFT_CHECK_EVERY", text)]).unwrap().drift_check_every;
    assert_eq!(every(""), Some(Duration::from_hours(1)));
    for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400)] {
        assert_eq!(every(text), Some(Duration::from_secs(seconds)), "{text}");
    }
    assert_eq!((every("off"), every("0")), (None, None));
    for wrong in
        ["1", "h", "0s", "-1h", "1.5h", "31d", "1hh", "99999999999999999999d", "1 h", "1\u{e4}"]
    {
        assert!(mistake(&[("DRIFT_CHECK_EVERY", wrong)]).contains("such as 90s"), "{wrong}");
    }
}

#[test]
fn a_webhook_is_https_and_has_a_secret_and_neither_is_shown() {
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let url = ("AUDIT_WEBHOOK_URL", "https://siem.example/services/hunter2canary");
    let config = with(&[url, ("AUDIT_WEBHOOK_SECRET", secret)]).unwrap();
    assert_eq!(config.siem.webhook.as_ref().unwrap().secret[31], 31);
    let shown = format!("{config:?}{}", config.describe());
    assert!(shown.contains("AUDIT_WEBHOOK_URL=https://siem.example/...\n"), "{shown}");
    assert!(!shown.contains(SECRET) && !shown.contains(&secret[6..]), "{shown}");
    assert!(mistake(&[url]).starts_with("AUDIT_WEBHOOK_SECRET is not set"));
    for wrong in
        ["http://siem.example/", "https://a:b@siem.example/", "https://siem.example/#x", "siem"]
    {
        let mistake = mistake(&[("AUDIT_WEBHOOK_URL", wrong), ("AUDIT_WEBHOOK_SECRET", secret)]);
        assert!(mistake.contains("https://<host>/<path>"), "{mistake}");
    }
    for wrong in ["hunter2canary", "whsec_hunter2canary!", "whsec_AAECAwQFBgc="] {
        let mistake = mistake(&[url, ("AUDIT_WEBHOOK_SECRET", wrong)]);
        assert!(mistake.contains("24 to 64") && !mistake.contains(SECRET), "{mistake}");
    }
}

/// Made up for the tests.
const SIGNING_KEY: &str = "PRIVATE+KEY+audit.test.example/passphrase-broker+0ad5dbde+ARLThoy8gI7xEmYOOxZAJRkt+nURFOJigsLta/KMs/wx";

#[test]
fn signing_keys_are_parsed_and_shown_to_nobody() {
    let config = with(&[("AUDIT_SIGNING_KEY", SIGNING_KEY)]).unwrap();
    assert!(config.describe().contains("\nAUDIT_SIGNING_KEY=(set)\n"));
    assert!(!format!("{config:?}{}", config.describe()).contains("PRIVATE"));
    let wrong = mistake(&[("AUDIT_SIGNING_KEY", &SIGNING_KEY.replace("PRIVATE", "SECRET"))]);
    assert!(wrong.contains("PRIVATE+KEY+name") && !wrong.contains("ARLT"), "{wrong}");
}

#[test]
fn a_secret_of_the_services_own_is_no_passphrase_and_in_an_allowed_key_vault() {
    let secret = "https://kv-two.vault.azure.net/secrets/audit-key";
    let config = with(&[("AUDIT_SIGNING_SECRET", secret)]).unwrap();
    assert_eq!(config.audit_signing_secret.unwrap().to_string(), secret);
    for wrong in [
        "audit-key",
        "https://kv-three.vault.azure.net/secrets/audit-key",
        "https://kv-two.vault.azure.net/secrets/AzBackup-web01-rsv",
    ] {
        let mistake = mistake(&[("AUDIT_CHECKPOINT_SECRET", wrong)]);
        assert!(mistake.starts_with("AUDIT_CHECKPOINT_SECRET "), "{mistake}");
    }
    let both = [("AUDIT_SIGNING_KEY", SIGNING_KEY), ("AUDIT_SIGNING_SECRET", secret)];
    assert!(mistake(&both).contains("both set"));
}
