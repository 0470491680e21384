//! A passphrase in JSON: the way in, and the one way out.

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::{broker::Error, domain::passphrase::Passphrase};

/// A passphrase in the answer that releases it. Only use cases make the [`Passphrase`] inside, out of
/// what a receipt opened.
#[derive(ToSchema)]
#[schema(value_type = String, example = "24679-fhkmr-twxy2-46679-fhkmr-twxy2-46679-fhkmr-twxy2")]
pub(super) struct ReleasedPassphrase(pub(super) Passphrase);

impl Serialize for ReleasedPassphrase {
    #[expect(clippy::disallowed_methods, reason = "the one answer that releases it")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// A passphrase that a caller chose, before it is looked at. Has no `Debug`.
#[derive(Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 16, max_length = 256)]
pub(super) struct GivenPassphrase(String);

impl GivenPassphrase {
    pub(super) fn parse(self) -> Result<Passphrase, Problem> {
        Passphrase::parse(self.0).map_err(|violation| Error::from(violation).into())
    }
}
