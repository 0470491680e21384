//! Passphrases and tokens stay where they belong (reliability goal E1): marked ones go through every flow and through
//! every error, and then everything that the broker and PostgreSQL have written is searched for them.

mod broken;
mod canaries;
mod flows;
mod misplaced;
mod watched;

use regex::bytes::Regex;

use canaries::{SPELLINGS, Search, mint, spelled};
use watched::Watched;

use crate::harness::Answer;

#[tokio::test(flavor = "multi_thread")]
async fn no_passphrase_is_found_outside_of_key_vault_and_of_the_answers_that_release_it() {
    let watched = Watched::start().await;
    watched.walk_every_flow().await;
    watched.misplace_passphrases().await;
    watched.suffer_every_fault().await;
    watched.lose_the_log().await;
    let search = watched.search();
    let places = watched.places().await;
    for (place, bytes) in &places {
        assert_eq!(search.hits(bytes), Vec::<String>::new(), "in {place}");
    }
    let read: usize = places.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(watched.errors() >= 60, "{}", watched.errors());
    println!(
        "0 hits of {} canaries in {} encodings over {} error paths, in {} places of {} MiB",
        search.canaries,
        SPELLINGS.len(),
        watched.errors(),
        places.len(),
        read >> 20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_found_in_logs_or_tables() {
    let watched = Watched::start().await;
    watched.walk_every_flow().await;
    let _ = watched.broker.bearer(watched.portal.token()).get("/v1/nowhere").await;
    let _ = watched.broker.bearer(&watched.portal.token()[1..]).get("/v1/me").await;
    let token = Regex::new(r"(?-u)eyJ[A-Za-z0-9_-]{20}").unwrap();
    assert!(token.is_match(watched.portal.token().as_bytes()));
    let searched = ["the broker's output", "tables", "PostgreSQL's log", "metrics"];
    for (place, bytes) in watched.places().await {
        if searched.contains(&place) {
            let found = token.find(&bytes).map(|hit| String::from_utf8_lossy(hit.as_bytes()));
            assert_eq!(found, None, "in {place}");
        }
    }
    println!("0 tokens in {searched:?}");
}

/// The search finds what is there: in every spelling, in every place in which something can be put.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_passphrase_is_found_everywhere() {
    let watched = Watched::start().await;
    let planted = mint("Planted");
    let search = Search::new(&[("planted".to_owned(), planted.clone())]);
    watched.broker.database.execute("create table planted (it text)").await;
    let mut connection = watched.broker.database.superuser().await;
    for spelling in spelled(&planted) {
        let insert = sqlx::query("insert into planted values ($1)").bind(spelling);
        insert.execute(&mut connection).await.unwrap();
    }
    // Legal as a request's id, which is logged and answered.
    let request = watched.portal.request(reqwest::Method::GET, "/v1/nowhere");
    let answer = Answer::of(request.header("x-request-id", &planted[..23])).await;
    watched.see_error("planted", answer);
    for (place, bytes) in watched.places().await {
        let expected = match place {
            "tables" | "PostgreSQL's files and WAL" | "PostgreSQL's log" => SPELLINGS.len(),
            "the broker's output" | "answers" => 1,
            _ => 0,
        };
        let hits = search.hits(&bytes);
        assert_eq!(hits.len(), expected, "{place}: {hits:?}");
    }
}
