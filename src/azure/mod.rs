//! Azure: the only room that uses `reqwest` and Microsoft's crates.
//!
//! - [`credential`]: tokens of this service's own identity
//! - [`key_vault`]: secrets; what it reads comes out sealed
//! - [`resource_manager`]: what ARM says about resources and rights; it never writes
//! - [`sealed`]: passphrases that open with an audit receipt only
//! - [`entra_id`]: whether a caller's token is to be believed
//!
//! All share the one client of [`http_client`], which decides about TLS, proxies and redirects.

mod answer;
pub mod credential;
pub mod entra_id;
mod http_client;
pub mod key_vault;
pub mod resource_manager;
mod retry;
pub mod sealed;

pub use answer::Told;
pub use credential::{AccessToken, Credential, CredentialError, CredentialKind, OwnIdentity};
pub use entra_id::{EntraSettings, KeysError, TokenError, TokenVerifier};
pub use http_client::{HttpClientError, HttpSettings, http_client};
pub use key_vault::{
    DeletedSecret, Evidence, KeyVault, KeyVaultError, KeyVaultFacts, ListedSecret, Listing,
    Position, SecretPage, SecretTags, SetError, Stored, StoredHow, VersionProperties,
};
pub use resource_manager::{CallFacts, ResourceManager, ResourceManagerError};
pub use retry::Deadline;
pub use sealed::{Opened, SealedPassphrases, WrongReceipt};
