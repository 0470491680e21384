//! One HTTP answer, and the loop that serves a connection.
//!
//! An answer is made whole and synchronously; `ReplyBody` then sends it whole, drop by drop or cut short. A handler
//! that returns `Dropped` closes its connection without a byte.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::{HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::Sleep,
};

/// A whole answer. No body means no `Content-Type` either (204, 403 of the identity endpoint).
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        // Serialisation of our own structs and of JSON values cannot fail; an empty body would show it.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::empty(status).with("Content-Type", "application/json; charset=utf-8").containing(body)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn containing(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn whole(self) -> Response<ReplyBody> {
        self.reply(|body| ReplyBody::of([body]))
    }

    pub(crate) fn reply(self, shape: impl FnOnce(Bytes) -> ReplyBody) -> Response<ReplyBody> {
        let mut response = Response::new(shape(Bytes::from(self.body)));
        *response.status_mut() = self.status.try_into().unwrap_or_default();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// The connection is closed without an answer, or in the middle of one.
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

pub(crate) type Reply = Result<Response<ReplyBody>, Dropped>;

pub(crate) struct ReplyBody {
    chunks: VecDeque<Bytes>,
    unsent: u64,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ReplyBody {
    pub(crate) fn of(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        let chunks: VecDeque<Bytes> =
            chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        let unsent = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks, unsent, pause: Duration::ZERO, timer: None }
    }

    /// Promises the whole length, sends half of it, breaks the connection.
    pub(crate) fn truncated(body: &Bytes) -> Self {
        Self {
            unsent: body.len() as u64,
            // Lets head and first half out before the break overtakes them.
            pause: Duration::from_millis(20),
            ..Self::of([body.slice(..body.len() / 2)])
        }
    }

    pub(crate) fn dripping(body: &Bytes, size: usize, pause: Duration) -> Self {
        let chunks = body.chunks(size.max(1)).map(Bytes::copy_from_slice);
        Self { pause, ..Self::of(chunks) }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        if !self.pause.is_zero() && self.unsent > 0 {
            let pause = self.pause;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            ready!(timer.as_mut().poll(context));
            self.timer = None;
        }
        match self.chunks.pop_front() {
            Some(chunk) => {
                self.unsent -= chunk.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            None if self.unsent > 0 => Poll::Ready(Some(Err(Dropped))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unsent == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent)
    }
}

/// Serves HTTP/1.1 or h2 until the client goes, or until a handler asks for the connection to be dropped.
pub(crate) async fn serve<S, H, F>(stream: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| {
        // On its own task: a client that gives up does not call back what it asked for.
        let reply = tokio::spawn(handler(request));
        let cut = Arc::clone(&cut);
        async move {
            if let Ok(Ok(response)) = reply.await {
                return Ok::<_, Infallible>(response);
            }
            cut.notify_one();
            pending().await
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A client that goes away, and a body that breaks on purpose, end here; neither is news.
        _ended = connection => {}
        () = cut.notified() => {}
    }
}
