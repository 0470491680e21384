//! `.dev/env`: what scripts need to use what runs.
//!
//! Tokens grow old, so it is written again every half hour; the people and programs stay the same.

use std::cell::Cell;

use passphrase_broker::domain::clock::Clock;
use time::{Duration, OffsetDateTime};

use crate::{
    directory::{AUDIT_PUBLIC_KEY, AZ_CONFIG, AZSIM_CA, BROKER_PID, Directory, ENV},
    samples,
    supervisor::Supervisor,
    world::{AUDIENCE, Token, World},
};

const HEADER: &str = "\
# Written by `make dev`, removed when it ends.
# Tokens of people are good for 2 hours, and for a retrieval until they are 75 minutes old; those of
# programs for 24 hours. This file is written anew, with new tokens, every 30 minutes: source it again
# when a call is refused with 401.
";
const RENEWED_AFTER: Duration = Duration::minutes(30);

pub(crate) struct EnvFile {
    pub sample_machine_id: String,
    /// What stays the same.
    settings: Vec<(&'static str, String)>,
    written: Cell<OffsetDateTime>,
}

impl EnvFile {
    pub(crate) fn new(world: &World, supervisor: &Supervisor, directory: &Directory) -> Self {
        let path = |name: &str| directory.file(name).display().to_string();
        let azsim = &world.azsim;
        let mut settings = vec![
            ("BROKER_URL", supervisor.url.clone()),
            ("BROKER_PID_FILE", path(BROKER_PID)),
            ("DATABASE_URL", world.service_url.clone()),
            ("DATABASE_SUPERUSER_URL", world.superuser_url.clone()),
            ("ENTRA_TENANT_ID", azsim.tenant_id().to_owned()),
            ("ENTRA_AUDIENCE", AUDIENCE.to_owned()),
            ("OIDC_ISSUER", azsim.issuer()),
            ("IDENTITY_ENDPOINT", azsim.identity_endpoint()),
            ("IDENTITY_HEADER", azsim.identity_header().to_owned()),
            ("AUDIT_PUBLIC_KEY_FILE", path(AUDIT_PUBLIC_KEY)),
            ("AZSIM_CA_FILE", path(AZSIM_CA)),
            ("AZSIM_PROXY", azsim.proxy_url()),
            ("AZSIM_CONTROL_URL", azsim.control_url()),
            ("AZ_IDENTITY_ENDPOINT", world.administrators_endpoint()),
            ("AZ_IDENTITY_HEADER", azsim.identity_header().to_owned()),
            ("AZ_CONFIG_DIR", path(AZ_CONFIG)),
            ("AZSIM_ARC_ENDPOINT", azsim.arc_endpoint()),
            ("AZSIM_ARC_KEY_DIRECTORY", azsim.arc_key_directory().display().to_string()),
        ];
        settings.extend(samples::names());
        let written = Cell::new(Clock::system().now());
        Self { sample_machine_id: String::new(), settings, written }
    }

    pub(crate) fn write(&self, directory: &Directory, tokens: &[Token]) -> anyhow::Result<()> {
        let settings = self.settings.iter().map(|(name, value)| line(name, value));
        let sample = line("SAMPLE_MACHINE_ID", &self.sample_machine_id);
        let tokens = tokens.iter().map(|token| line(token.variable, &token.value));
        let lines: String = settings.chain([sample]).chain(tokens).collect();
        directory.write(ENV, &format!("{HEADER}{lines}"))?;
        self.written.set(Clock::system().now());
        Ok(())
    }

    /// By the wall clock: a laptop that slept has old tokens, too.
    pub(crate) fn renew(&self, world: &World, directory: &Directory) -> anyhow::Result<()> {
        if Clock::system().now() - self.written.get() < RENEWED_AFTER {
            return Ok(());
        }
        self.write(directory, &world.tokens()?)
    }
}

fn line(name: &str, value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    if value.bytes().all(plain) {
        format!("export {name}={value}\n")
    } else {
        format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
    }
}
