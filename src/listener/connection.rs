//! One connection, from the accepted socket to its end.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, StatusCode, Version, header},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Limits, Shutdown,
    activity::{Activity, Answer, Expired, Watched},
    slots::{Slot, Slots},
};

const KIBIBYTE: u32 = 1024;
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const PING: Duration = Duration::from_secs(20);

/// What all connections share.
pub(super) struct Connections {
    pub(super) slots: Arc<Slots>,
    app: Router,
    limits: Limits,
    server: auto::Builder<TokioExecutor>,
    shutdown: Shutdown,
    /// The grace time is over.
    abort: CancellationToken,
}

impl Connections {
    pub(super) fn new(
        app: Router,
        limits: Limits,
        shutdown: Shutdown,
        abort: CancellationToken,
    ) -> Self {
        let slots = Slots::new(limits.max_connections, limits.max_connections_per_peer);
        Self { slots, app, limits, server: server(&limits), shutdown, abort }
    }

    pub(super) async fn run(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "answers may be delayed");
        }
        let activity = Activity::new(self.limits);
        let io = TokioIo::new(Watched { stream, activity: Arc::clone(&activity) });
        let service = service_fn(|request| {
            let old = request.version() < Version::HTTP_2;
            let in_flight = activity.request(request.version());
            let app = self.app.clone();
            let announced = self.shutdown.announced.clone();
            async move {
                let mut answer = answer(app, request, peer).await;
                // HTTP/2 has GOAWAY for this, once the shutdown begins; its version refuses the header.
                if announced.is_cancelled() && old {
                    answer.headers_mut().insert(header::CONNECTION, CLOSE);
                }
                Ok::<_, Infallible>(answer.map(|body| Answer { body, in_flight }))
            }
        });
        let mut connection = pin!(self.server.serve_connection(io, service));
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, error, "connection ended early");
                    }
                    break;
                }
                () = self.abort.cancelled() => break,
                () = self.shutdown.begun.cancelled(), if !leaving => {}
                expired = activity.expired() => if leaving || expired == Expired::Stuck {
                    tracing::debug!(%peer, "connection closed because nothing happened on it");
                    break;
                },
            }
            leaving = true;
            activity.leave();
            connection.as_mut().graceful_shutdown();
        }
        drop(slot);
    }
}

fn server(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        // hyper starts this clock when it begins to wait, so it bounds the idle time as well; the
        // shorter bound on headers is ours.
        .header_read_timeout(limits.keep_alive + limits.header_read_timeout)
        .max_buf_size(64 * KIBIBYTE as usize)
        .max_headers(64);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_frame_size(16 * KIBIBYTE)
        .max_header_list_size(16 * KIBIBYTE)
        // A body has 64 KiB at most, and a peer may have four of them on their way.
        .initial_stream_window_size(64 * KIBIBYTE)
        .initial_connection_window_size(256 * KIBIBYTE)
        .max_send_buf_size(64 * KIBIBYTE as usize);
    server
}

async fn answer(app: Router, mut request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    if !names_one_host(&request) {
        return refusal();
    }
    request.extensions_mut().insert(ConnectInfo(peer));
    match app.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// RFC 9112 3.2. Two servers in a row that pick different ones of several hosts disagree about who
/// is asked.
fn names_one_host<T>(request: &Request<T>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() != Version::HTTP_11)
}

fn refusal() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONNECTION, CLOSE);
    response
}
