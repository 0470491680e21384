//! Answers read as JSON: one resource, or a list of many pages, on one host and not for ever.

use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    HOST, Outcome, ResourceManager,
    call::Call,
    error::{CallFacts, ResourceManagerError},
};
use crate::azure::answer::Told;

/// A resource, or one page.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
const PAGE_COUNT_LIMIT: usize = 200;
/// All pages together.
const LIST_LIMIT: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "nextLink")]
    next_link: Option<String>,
}

impl ResourceManager {
    /// One resource; `read` says none when the answer is not about what was asked.
    pub(super) async fn resource<W: DeserializeOwned, T>(
        &self,
        call: &Call<'_>,
        path: &str,
        read: impl FnOnce(W) -> Option<T>,
    ) -> Outcome<T> {
        let answer = self.get(call, &with_version(call, path, ""), ANSWER_LIMIT).await?;
        match serde_json::from_slice(&answer.body).ok().and_then(read) {
            Some(value) => Ok(Told { value, facts: answer.facts }),
            None => Err(invalid(answer.facts)),
        }
    }

    /// All pages of a list; `read` says none when an item cannot be in the list that was asked for.
    pub(super) async fn list<W: DeserializeOwned, T>(
        &self,
        call: &Call<'_>,
        path: &str,
        filter: &str,
        read: impl Fn(W) -> Option<T>,
    ) -> Outcome<Vec<T>> {
        let (mut value, mut bytes_left) = (Vec::new(), LIST_LIMIT);
        let mut next = with_version(call, path, filter);
        let mut last_facts = None;
        for _page in 0..PAGE_COUNT_LIMIT {
            let answer = self.get(call, &next, ANSWER_LIMIT.min(bytes_left)).await?;
            bytes_left = bytes_left.saturating_sub(answer.body.len());
            let Ok(page) = serde_json::from_slice::<Page<W>>(&answer.body) else {
                return Err(invalid(answer.facts));
            };
            let Some(items) = page.value.into_iter().map(&read).collect::<Option<Vec<T>>>() else {
                return Err(invalid(answer.facts));
            };
            value.extend(items);
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else {
                return Ok(Told { value, facts: answer.facts });
            };
            let Some(following) = following(&link, path) else {
                return Err(invalid(answer.facts));
            };
            next = following;
            last_facts = Some(answer.facts);
        }
        tracing::warn!(operation = call.operation.name, "a list of ARM did not end");
        Err(last_facts.map_or_else(|| call.unavailable(path), invalid))
    }
}

fn invalid(facts: CallFacts) -> ResourceManagerError {
    ResourceManagerError::InvalidAnswer(Box::new(facts))
}

/// Filters are made of letters, digits, hyphens and what is replaced here.
fn with_version(call: &Call<'_>, path: &str, filter: &str) -> String {
    let version = call.operation.api_version;
    if filter.is_empty() {
        return format!("{path}?api-version={version}");
    }
    let filter = filter.replace(' ', "%20").replace('\'', "%27");
    format!("{path}?api-version={version}&$filter={filter}")
}

/// The next page, if the link leads on in the same list on the same host: our token goes with it. Of
/// the link only the query is used.
fn following(link: &str, path: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    let ours = Url::parse(&format!("{HOST}{path}")).ok()?;
    let same_host = url.origin() == ours.origin();
    let anonymous = url.username().is_empty() && url.password().is_none();
    let same_list = url.path().eq_ignore_ascii_case(ours.path());
    let query = url.query().filter(|query| !query.is_empty())?;
    (same_host && anonymous && same_list).then(|| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::{resource_manager::operation, retry::Deadline};

    const PATH: &str = "/subscriptions/s/providers/Microsoft.KeyVault/deletedVaults";

    #[test]
    fn a_next_link_stays_in_its_list() {
        let query = "api-version=2026-02-01&%24skiptoken=a%2Bb%3D";
        let next = Some(format!("{PATH}?{query}"));
        assert_eq!(following(&format!("{HOST}{PATH}?{query}"), PATH), next);
        assert_eq!(following(&format!("{HOST}:443{PATH}?{query}"), PATH), next);
        let shouted = format!("{HOST}{PATH}").to_uppercase();
        assert_eq!(following(&format!("{shouted}?{query}"), PATH), next);
        for wrong in [
            format!("http://management.azure.com{PATH}?{query}"),
            format!("{HOST}:8443{PATH}?{query}"),
            format!("https://management.azure.com.evil.example{PATH}?{query}"),
            format!("https://management.azure.com@evil.example{PATH}?{query}"),
            format!("https://user@management.azure.com{PATH}?{query}"),
            format!("https://evil.example{PATH}?{query}"),
            format!("{HOST}{PATH}/more?{query}"),
            format!("{HOST}{PATH}/../vaults?{query}"),
            format!("{HOST}{PATH}"),
            format!("{HOST}{PATH}?"),
            format!("{PATH}?{query}"),
            "javascript:alert(1)".to_owned(),
        ] {
            assert_eq!(following(&wrong, PATH), None, "{wrong}");
        }
    }

    #[test]
    fn a_filter_is_quoted_for_a_url() {
        let call = Call::new(
            &operation::ROLE_ASSIGNMENTS,
            "r",
            Deadline::after(std::time::Duration::ZERO),
        );
        assert_eq!(
            with_version(&call, "/p", "atScope() and assignedTo('a-1')"),
            "/p?api-version=2022-04-01&$filter=atScope()%20and%20assignedTo(%27a-1%27)"
        );
        assert_eq!(with_version(&call, "/p", ""), "/p?api-version=2022-04-01");
    }
}
