//! The control API: everything the Rust API can do, over plain HTTP on loopback. Examples: `README.md`.

use std::sync::Arc;

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpStream;

use crate::azure::Azure;

pub(crate) fn router(azure: Arc<Azure>) -> Router {
    Router::new().with_state(azure)
}

pub(crate) async fn serve(stream: TcpStream, router: Router) {
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(router);
    // A client that goes away is not news.
    drop(
        builder
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}
